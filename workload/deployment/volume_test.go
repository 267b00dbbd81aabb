package deployment_test

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

func claim(modes ...corev1.PersistentVolumeAccessMode) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "store"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes,
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
}

func claimVolume(readOnly bool) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "store", ReadOnly: readOnly},
		}}}
	}
}

// counting counts what is read from the API server itself.
type counting struct {
	client.Reader
	reads int
}

func (c *counting) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	c.reads++
	return c.Reader.Get(ctx, key, obj, opts...)
}

func (c *counting) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	c.reads++
	return c.Reader.List(ctx, list, opts...)
}

func TestObserve_ReadsAClaimOncePerTemplate(t *testing.T) {
	r := newRig(t)
	live := &counting{Reader: server}
	now := clocktesting.NewFakePassiveClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	r.Adapter = deployment.New(deployment.Options{Reader: informers, Live: live, Writer: server, Mapper: server.RESTMapper(), Clock: now})
	r.make(shape{workload: claimVolume(false)})
	refused := func(o *workload.Observation) bool { return o.Workload != nil && o.Problem != nil }
	r.until("the missing claim to be refused", refused)
	reads := live.reads

	made := claim(corev1.ReadWriteMany)
	made.Namespace = r.ref.Namespace
	r.create(made)
	now.SetTime(now.Now().Add(59 * time.Second))
	if o := r.until("the workload", refused); live.reads != reads {
		t.Errorf("the claim was read again before a minute was over: %+v", o.Problem)
	}
	now.SetTime(now.Now().Add(2 * time.Second))
	r.until("the claim to be found", func(o *workload.Observation) bool { return o.Problem == nil })
	if live.reads != reads+1 {
		t.Errorf("there were %d reads, want 1", live.reads-reads)
	}
	reads = live.reads
	now.SetTime(now.Now().Add(24 * time.Hour))
	for range 5 {
		r.until("the workload", func(o *workload.Observation) bool { return o.Problem == nil })
	}
	if live.reads != reads {
		t.Errorf("a claim that is good was read %d times again", live.reads-reads)
	}

	r.must("take the claim's finalizer off", server.Patch(t.Context(), made, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))))
	r.must("delete the claim", client.IgnoreNotFound(server.Delete(t.Context(), made)))
	again := claim(corev1.ReadWriteOnce)
	again.Namespace = r.ref.Namespace
	r.create(again)
	image := client.RawPatch("application/strategic-merge-patch+json", []byte(`{"spec":{"template":{"metadata":{"labels":{"release":"second"}}}}}`))
	r.must("change the template", server.Patch(t.Context(), r.live(), image))
	r.until("the claim that was made anew to be refused", refused)
}
