package deployment_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

// rig is an Adapter in a namespace of its own.
type rig struct {
	*testing.T
	*deployment.Adapter
	ref     workload.Reference
	written []client.Object
	deleted []client.Object
}

func newRig(t *testing.T) *rig {
	t.Helper()
	namespace := newNamespace(t)
	r := &rig{T: t, ref: workload.Reference{
		Namespace: namespace, Rollout: "checkout", UID: "uid-of-" + namespace, Name: "checkout", Service: "checkout", Port: 8080,
	}}
	r.Adapter = deployment.New(deployment.Options{
		Reader: informers, Live: server, Writer: server, Mapper: server.RESTMapper(),
		Written: func(obj client.Object) { r.written = append(r.written, obj) },
		Deleted: func(obj client.Object) { r.deleted = append(r.deleted, obj) },
	})
	return r
}

// newDeployment is a Deployment as a user has it.
func newDeployment(namespace, name, image string) *appsv1.Deployment {
	labels := map[string]string{"app": name, "tier": "web"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      map[string]string{"app.kubernetes.io/managed-by": "git", "argocd.argoproj.io/instance": "shop"},
			Annotations: map[string]string{"team": "shop"},
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name, "tier": "web", "extra": "yes"}},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: new(int64(1)),
					Containers: []corev1.Container{{
						Name: "shop", Image: image, Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
					}},
				},
			},
		},
	}
}

func newService(namespace, name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"argocd.argoproj.io/instance": "shop"}},
		Spec: corev1.ServiceSpec{
			Selector: selector,
			Ports: []corev1.ServicePort{
				{Name: "http", Port: 8080, TargetPort: intstr.FromString("http"), AppProtocol: new("http")},
				{Name: "metrics", Port: 9090, TargetPort: intstr.FromInt32(9091)},
			},
		},
	}
}

// create makes objects on the API server.
func (r *rig) create(objects ...client.Object) {
	r.Helper()
	for _, obj := range objects {
		if err := server.Create(r.Context(), obj); err != nil {
			r.Fatalf("create %T %s: %v", obj, obj.GetName(), err)
		}
	}
}

// commit applies a Deployment as git has it, server-side, saying nothing of spec.paused.
func (r *rig) commit(image string) {
	r.Helper()
	d := newDeployment(r.ref.Namespace, r.ref.Name, image)
	d.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	data, err := yaml.Marshal(d)
	if err != nil {
		r.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, u); err != nil {
		r.Fatal(err)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	if err := server.Apply(r.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("git")); err != nil {
		r.Fatalf("apply %s from git: %v", image, err)
	}
}

// shop makes the workload and its Service, waits until it runs, and adopts it.
func (r *rig) shop() *workload.Observation {
	r.Helper()
	r.commit("v1")
	r.create(newService(r.ref.Namespace, "checkout", map[string]string{"app": "checkout"}))
	r.until("the workload to be available", func(o *workload.Observation) bool {
		return o.Problem == nil && o.Workload != nil && o.Workload.Ready == 2
	})
	r.retry("adopt", func(state *workload.State) error { return r.Adopt(r.Context(), r.ref, state) })
	return r.until("the workload to be adopted and rolled", func(o *workload.Observation) bool {
		return o.Workload.Adopted && o.Workload.Rolled
	})
}

// until observes until want holds, and returns that observation.
func (r *rig) until(what string, want func(*workload.Observation) bool) *workload.Observation {
	r.Helper()
	var found *workload.Observation
	eventually(r.T, what, func() error {
		o, err := r.Observe(r.Context(), r.ref)
		if err != nil {
			return err
		}
		if !want(o) {
			return fmt.Errorf("observed: %s", describe(o))
		}
		found = o
		return nil
	})
	return found
}

func describe(o *workload.Observation) string {
	text := "no workload"
	state := func(s *workload.State) string {
		short := *s
		short.Template.Content = nil
		return fmt.Sprintf("%+v", short)
	}
	if o.Workload != nil {
		text = state(o.Workload)
	}
	for revision, s := range o.Copies {
		text += "\n  copy " + revision + ": " + state(s)
	}
	return fmt.Sprintf("%s\n  records %d, problem %+v, admission %v", text, len(o.Records), o.Problem, o.HeldByAdmission)
}

func (r *rig) must(what string, err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// live reads the workload from the API server, whole.
func (r *rig) live() *appsv1.Deployment {
	r.Helper()
	return r.deployment(r.ref.Name)
}

func (r *rig) deployment(name string) *appsv1.Deployment {
	r.Helper()
	d := &appsv1.Deployment{}
	r.must("read the Deployment "+name, server.Get(r.Context(), types.NamespacedName{Namespace: r.ref.Namespace, Name: name}, d))
	return d
}

func (r *rig) service(name string) *corev1.Service {
	r.Helper()
	s := &corev1.Service{}
	r.must("read the Service "+name, server.Get(r.Context(), types.NamespacedName{Namespace: r.ref.Namespace, Name: name}, s))
	return s
}

// pods are the UIDs of the pods that labels select, sorted.
func (r *rig) pods(labels map[string]string) string {
	r.Helper()
	pods := &corev1.PodList{}
	r.must("list pods", server.List(r.Context(), pods, client.InNamespace(r.ref.Namespace), client.MatchingLabels(labels)))
	var uids []string
	for i := range pods.Items {
		uids = append(uids, string(pods.Items[i].UID))
	}
	slices.Sort(uids)
	return strings.Join(uids, " ")
}

// retry does what may meet a conflict with the Deployment controller's own writes, as a controller does it.
func (r *rig) retry(what string, do func(*workload.State) error) {
	r.Helper()
	eventually(r.T, what, func() error {
		o, err := r.Observe(r.Context(), r.ref)
		if err != nil {
			return err
		}
		return do(o.Workload)
	})
}

func (r *rig) hold() *workload.Observation {
	r.Helper()
	r.retry("hold", func(state *workload.State) error { return r.Hold(r.Context(), r.ref, state) })
	return r.until("the hold", func(o *workload.Observation) bool { return o.Workload.Held })
}

// record keeps the workload's template, and waits until that is seen.
func (r *rig) record(template workload.Template) {
	r.Helper()
	r.must("record", r.Record(r.Context(), r.ref, template))
	r.until("the record to be seen", func(o *workload.Observation) bool {
		_, ok := o.Records[template.Revision]
		return ok
	})
}

// copy makes a copy, and waits until it is ready.
func (r *rig) copy(o *workload.Observation, revision string, replicas int32) *workload.Observation {
	r.Helper()
	r.must("copy", r.Copy(r.Context(), r.ref, o.Workload, revision, replicas))
	return r.until("the copy to be ready", func(o *workload.Observation) bool {
		c := o.Copies[revision]
		return c != nil && c.Served && c.Rolled && c.Ready == replicas
	})
}

// snapshot is the Adapter with caches that stand still from now on.
func (r *rig) snapshot() *deployment.Adapter {
	r.Helper()
	frozen := &frozen{Reader: informers, seen: map[string]client.Object{}, lists: map[string]client.ObjectList{}}
	adapter := deployment.New(deployment.Options{Reader: frozen, Writer: server, Mapper: server.RESTMapper()})
	o, err := adapter.Observe(r.Context(), r.ref)
	r.must("look at all", err)
	for _, state := range o.Copies {
		key := client.ObjectKey{Namespace: r.ref.Namespace, Name: state.Name}
		r.must("look at a copy", frozen.Get(r.Context(), key, unstructuredDeployment()))
	}
	return adapter
}

// frozen answers as it did at first.
type frozen struct {
	client.Reader
	seen  map[string]client.Object
	lists map[string]client.ObjectList
}

func (f *frozen) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	memo := fmt.Sprintf("%T %s %s", obj, obj.GetObjectKind().GroupVersionKind().Kind, key)
	if first := f.seen[memo]; first != nil {
		reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(first.DeepCopyObject()).Elem())
		return nil
	}
	if err := f.Reader.Get(ctx, key, obj, opts...); err != nil {
		return err
	}
	f.seen[memo] = obj.DeepCopyObject().(client.Object)
	return nil
}

func (f *frozen) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	asked := client.ListOptions{}
	asked.ApplyOptions(opts)
	memo := fmt.Sprintf("%T %s %s %v", list, list.GetObjectKind().GroupVersionKind().Kind, asked.Namespace, asked.LabelSelector)
	if first := f.lists[memo]; first != nil {
		reflect.ValueOf(list).Elem().Set(reflect.ValueOf(first.DeepCopyObject()).Elem())
		return nil
	}
	if err := f.Reader.List(ctx, list, opts...); err != nil {
		return err
	}
	f.lists[memo] = list.DeepCopyObject().(client.ObjectList)
	return nil
}
