package controller_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/workload/deployment"
)

// brokenImage is one whose pods never get ready.
const brokenImage = "broken"

// world plays the Deployment controller, the kubelet and the EndpointSlice controller for one namespace. The status of
// Deployments is written to the API server; ReplicaSets and EndpointSlices, which Weighlock only reads, are put into the history
// alone. Pods are ready at once, or never.
type world struct {
	lab      *lab
	versions int
	// live has ReplicaSets and EndpointSlices be on the API server too, for controllers that look there.
	live bool
}

var (
	deployments = schema.GroupKind{Group: "apps", Kind: "Deployment"}
	replicaSets = schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}
	services    = schema.GroupKind{Kind: "Service"}
	slicesKind  = schema.GroupKind{Group: "discovery.k8s.io", Kind: "EndpointSlice"}
)

// held reads the latest objects of a kind, by name.
func held[T any](l *lab, kind schema.GroupKind) map[string]*T {
	out := map[string]*T{}
	for key, u := range l.history.latest[kind] {
		if key.Namespace != l.namespace {
			continue
		}
		obj := new(T)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj); err != nil {
			panic(err)
		}
		out[key.Name] = obj
	}
	return out
}

// turn lets the cluster do what it does next, and says whether that was anything.
func (w *world) turn(ctx context.Context) (bool, error) {
	sets := held[appsv1.ReplicaSet](w.lab, replicaSets)
	all := held[appsv1.Deployment](w.lab, deployments)
	place := len(w.lab.history.entries)
	for name, set := range sets {
		if owner := all[set.OwnerReferences[0].Name]; owner == nil || owner.UID != set.OwnerReferences[0].UID {
			w.lab.history.add(entry{kind: replicaSets, name: types.NamespacedName{Namespace: w.lab.namespace, Name: name}, by: "cluster"})
			delete(sets, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := w.deploy(ctx, all[name], sets); err != nil {
			return false, err
		}
	}
	w.endpoints(sets)
	return len(w.lab.history.entries) > place, nil
}

// deploy does what the Deployment controller does.
func (w *world) deploy(ctx context.Context, d *appsv1.Deployment, sets map[string]*appsv1.ReplicaSet) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&d.Spec.Template)
	if err != nil {
		return err
	}
	hash, err := deployment.RevisionOf(content)
	if err != nil {
		return err
	}
	w.scale(d, hash, sets)
	status := appsv1.DeploymentStatus{ObservedGeneration: d.Generation}
	for _, set := range sets {
		if set.OwnerReferences[0].UID != d.UID {
			continue
		}
		status.Replicas += set.Status.Replicas
		status.ReadyReplicas += set.Status.ReadyReplicas
		status.AvailableReplicas += set.Status.ReadyReplicas
		if set.Name == d.Name+"-"+hash {
			status.UpdatedReplicas = set.Status.Replicas
		}
		if set.Status.Replicas > set.Status.ReadyReplicas && set.Name == d.Name+"-"+hash {
			status.Conditions = []appsv1.DeploymentCondition{{
				Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", Message: "its pods don't get ready",
			}}
		}
	}
	if equality.Semantic.DeepEqual(status, d.Status) {
		return nil
	}
	patch := client.MergeFrom(d.DeepCopy())
	d.Status = status
	if err := quickClient.Status().Patch(ctx, d, patch); err != nil {
		return fmt.Errorf("write the status of %s: %w", d.Name, err)
	}
	return w.lab.returned(ctx, "cluster", d)
}

// scale makes, grows and shrinks the ReplicaSets of a Deployment. The old pods go in the turn after that in which new ones are
// ready.
func (w *world) scale(d *appsv1.Deployment, hash string, sets map[string]*appsv1.ReplicaSet) {
	var active []*appsv1.ReplicaSet
	for _, set := range sets {
		if set.OwnerReferences[0].UID == d.UID && *set.Spec.Replicas > 0 {
			active = append(active, set)
		}
	}
	want := *d.Spec.Replicas
	current := sets[d.Name+"-"+hash]
	if d.Spec.Paused {
		if current != nil && len(active) == 0 {
			active = append(active, current)
		}
		if len(active) == 1 {
			w.size(active[0], want)
		}
		return
	}
	if current == nil {
		current = newSet(d, hash)
		sets[current.Name] = current
	}
	if w.size(current, want) || current.Status.ReadyReplicas != want {
		return
	}
	for _, set := range active {
		if set != current {
			w.size(set, 0)
		}
	}
}

// size gives a ReplicaSet as many pods, and says whether that changed anything.
func (w *world) size(set *appsv1.ReplicaSet, want int32) bool {
	if *set.Spec.Replicas == want && set.Status.Replicas == want {
		return false
	}
	set.Spec.Replicas, set.Status.Replicas, set.Status.ReadyReplicas = &want, want, want
	if set.Spec.Template.Spec.Containers[0].Image == brokenImage {
		set.Status.ReadyReplicas = 0
	}
	w.put(set)
	return true
}

func newSet(d *appsv1.Deployment, hash string) *appsv1.ReplicaSet {
	set := &appsv1.ReplicaSet{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-" + hash, UID: uuid.NewUUID(),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(-1)), Template: *d.Spec.Template.DeepCopy()},
	}
	if set.Spec.Template.Labels == nil {
		set.Spec.Template.Labels = map[string]string{}
	}
	set.Spec.Template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	set.Labels = set.Spec.Template.Labels
	set.Spec.Selector = &metav1.LabelSelector{MatchLabels: set.Spec.Template.Labels}
	return set
}

// endpoints brings the EndpointSlices up to the pods.
func (w *world) endpoints(sets map[string]*appsv1.ReplicaSet) {
	existing := held[discoveryv1.EndpointSlice](w.lab, slicesKind)
	all := held[corev1.Service](w.lab, services)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var endpoints []discoveryv1.Endpoint
		selector := labels.SelectorFromSet(all[name].Spec.Selector)
		for _, setName := range slices.Sorted(maps.Keys(sets)) {
			set := sets[setName]
			if !selector.Matches(labels.Set(set.Spec.Template.Labels)) {
				continue
			}
			for i := range set.Status.Replicas {
				pod := fmt.Sprintf("%s-%d", setName, i)
				endpoints = append(endpoints, discoveryv1.Endpoint{
					Addresses: []string{addressOf(pod)}, TargetRef: &corev1.ObjectReference{Name: pod},
					Conditions: discoveryv1.EndpointConditions{Ready: new(i < set.Status.ReadyReplicas)},
				})
			}
		}
		slice := existing[name]
		if slice != nil && equality.Semantic.DeepEqual(slice.Endpoints, endpoints) {
			continue
		}
		if slice == nil {
			slice = &discoveryv1.EndpointSlice{
				TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
				ObjectMeta: metav1.ObjectMeta{
					Namespace: w.lab.namespace, Name: name, UID: uuid.NewUUID(), Labels: map[string]string{},
				},
				AddressType: discoveryv1.AddressTypeIPv4,
			}
		}
		maps.Copy(slice.Labels, all[name].Labels)
		slice.Labels[discoveryv1.LabelServiceName] = name
		slice.Endpoints = endpoints
		w.put(slice)
	}
	for name := range existing {
		if all[name] == nil {
			w.lab.history.add(entry{kind: slicesKind, name: types.NamespacedName{Namespace: w.lab.namespace, Name: name}, by: "cluster"})
		}
	}
}

// addressOf is a pod's address, the same every time.
func addressOf(pod string) string {
	sum := sha256.Sum256([]byte(pod))
	return fmt.Sprintf("10.%d.%d.%d", sum[0], sum[1], sum[2])
}

// put notes an object that is in the history only, unless all is live.
func (w *world) put(obj client.Object) {
	if w.live {
		w.publish(obj)
		return
	}
	w.versions++
	obj.SetResourceVersion(fmt.Sprint(w.versions))
	if err := w.lab.history.wrote("cluster", obj); err != nil {
		panic(err)
	}
}

// publish writes an object to the API server.
func (w *world) publish(obj client.Object) {
	ctx := context.Background()
	wanted := obj.DeepCopyObject()
	var err error
	if obj.GetResourceVersion() == "" {
		err = quickClient.Create(ctx, obj)
	} else {
		err = quickClient.Update(ctx, obj)
	}
	if set, is := obj.(*appsv1.ReplicaSet); is && err == nil {
		set.Status = wanted.(*appsv1.ReplicaSet).Status
		err = quickClient.Status().Update(ctx, set)
	}
	if err == nil {
		err = w.lab.returned(ctx, "cluster", obj)
	}
	// What somebody else changed meanwhile is done in the next turn.
	if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
		panic(err)
	}
}

// liveCluster plays the cluster for a namespace by what is on the API server, until the test ends.
func liveCluster(t *testing.T, namespace string) {
	t.Helper()
	w := &world{lab: &lab{namespace: namespace}, live: true}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			err := w.refresh(ctx)
			if err == nil {
				_, err = w.turn(ctx)
			}
			if err != nil && ctx.Err() == nil {
				t.Logf("the cluster: %v", err) // what failed is done in the next turn
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// refresh reads what there is.
func (w *world) refresh(ctx context.Context) error {
	w.lab.history = newHistory()
	for _, list := range []client.ObjectList{&appsv1.DeploymentList{}, &appsv1.ReplicaSetList{}, &corev1.ServiceList{}, &discoveryv1.EndpointSliceList{}} {
		if err := quickClient.List(ctx, list, client.InNamespace(w.lab.namespace)); err != nil {
			return err
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := w.lab.history.wrote("cluster", item.(client.Object)); err != nil {
				return err
			}
		}
	}
	return nil
}
