package deployment_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

func TestAdopt_RestartsNothing_AndDisownLeavesNothing(t *testing.T) {
	r := newRig(t)
	r.commit("v1")
	r.create(newService(r.ref.Namespace, "checkout", map[string]string{"app": "checkout"}))
	o := r.until("the workload to be available", func(o *workload.Observation) bool {
		return o.Workload != nil && o.Workload.Ready == 2
	})
	if o.Workload.Adopted || o.Workload.Template.Revision != "" || o.Workload.Template.Content != nil {
		t.Errorf("nobody adopted it, but it observes %s", describe(o))
	}
	pods, before, root := r.pods(nil), r.live(), r.service("checkout")

	r.retry("adopt", func(state *workload.State) error { return r.Adopt(t.Context(), r.ref, state) })
	o = r.until("the workload to be adopted", func(o *workload.Observation) bool { return o.Workload.Adopted && o.Workload.Rolled })
	if revision := o.Workload.Template.Revision; len(revision) != 10 || !cmp.Equal(o.Workload.Running, []string{revision}) || o.Workload.Template.Content == nil {
		t.Errorf("adopted, but it observes %s", describe(o))
	}
	adopted := r.live()
	if adopted.Labels[v1alpha1.LabelHeld] != "checkout" || adopted.Annotations[v1alpha1.AnnotationClaim] != r.ref.UID {
		t.Errorf("the labels are %v and the annotations %v", adopted.Labels, adopted.Annotations)
	}
	if r.service("checkout").Annotations[v1alpha1.AnnotationClaim] != r.ref.UID {
		t.Error("the root service is not claimed")
	}
	writes := len(r.written)
	r.must("adopt again", r.Adopt(t.Context(), r.ref, o.Workload))
	if len(r.written) != writes {
		t.Errorf("adopting again wrote %d objects", len(r.written)-writes)
	}

	r.retry("disown", func(state *workload.State) error { return r.Disown(t.Context(), r.ref, state, "") })
	after, rootAfter := r.live(), r.service("checkout")
	if diff := cmp.Diff(before.Labels, after.Labels) + cmp.Diff(before.Annotations, after.Annotations) + cmp.Diff(root.Annotations, rootAfter.Annotations); diff != "" {
		t.Errorf("something is left (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(before.Spec, adopted.Spec) + cmp.Diff(before.Spec, after.Spec); diff != "" {
		t.Errorf("the spec was changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(pods, r.pods(nil)); diff != "" {
		t.Errorf("pods were replaced (-before +after):\n%s", diff)
	}
	for _, entry := range after.ManagedFields {
		if entry.Manager == v1alpha1.FieldManager {
			t.Errorf("Weighlock still owns %s", entry.FieldsV1.GetRawString())
		}
	}
}

func TestHold_OwnsThePauseOfThePolicy_AndReleaseLetsTheWorkloadRoll(t *testing.T) {
	r := newRig(t)
	first := r.shop().Workload.Template.Revision
	pods := r.pods(nil)

	r.commit("v2")
	o := r.until("the new template to be held", func(o *workload.Observation) bool { return o.Workload.Template.Revision != first })
	if w := o.Workload; !w.Paused || w.Held || w.Rolled || !cmp.Equal(w.Running, []string{first}) || !o.HeldByAdmission {
		t.Fatalf("the policy should have paused it, but it observes %s", describe(o))
	}
	second := o.Workload.Template.Revision
	o = r.hold()
	r.commit("v2")
	if live := r.live(); !live.Spec.Paused || r.pods(nil) != pods {
		t.Fatalf("git applied the same again: paused is %v, pods went from %s to %s", live.Spec.Paused, pods, r.pods(nil))
	}
	if o.Workload.PausedBy != "" {
		t.Errorf("it is paused by %q", o.Workload.PausedBy)
	}

	r.retry("release", func(state *workload.State) error { return r.Release(t.Context(), r.ref, state) })
	o = r.until("the workload to roll", func(o *workload.Observation) bool { return o.Workload.Rolled && !o.Workload.Paused })
	if !cmp.Equal(o.Workload.Running, []string{second}) || !o.Workload.Adopted {
		t.Errorf("it rolled, but it observes %s", describe(o))
	}
	r.commit("v2")
	if r.live().Spec.Paused {
		t.Error("git applied the same again, and it is paused")
	}

	restart := `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-01T00:00:00Z"}}}}}`
	r.must("restart", server.Patch(t.Context(), r.live(), client.RawPatch(types.StrategicMergePatchType, []byte(restart))))
	o = r.until("the restart to be held", func(o *workload.Observation) bool { return o.Workload.Template.Revision != second })
	if !o.Workload.Paused || !cmp.Equal(o.Workload.Running, []string{second}) {
		t.Errorf("a restart should be held, but it observes %s", describe(o))
	}
}

func TestAdopt_KeepsAPauseThatIsHeld(t *testing.T) {
	r := newRig(t)
	first := r.shop().Workload.Template.Revision
	r.commit("v2")
	r.until("the new template to be held", func(o *workload.Observation) bool { return o.Workload.Template.Revision != first })
	r.hold()
	stripped := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"`+v1alpha1.LabelHeld+`":null}}}`))
	r.must("take the label off", server.Patch(t.Context(), r.live(), stripped, client.FieldOwner("somebody")))
	r.until("the label to be off", func(o *workload.Observation) bool { return !o.Workload.Adopted && o.Workload.Held })
	r.retry("adopt", func(state *workload.State) error { return r.Adopt(t.Context(), r.ref, state) })
	if live := r.live(); !live.Spec.Paused || live.Labels[v1alpha1.LabelHeld] == "" {
		t.Errorf("adopting lifted the pause: paused %v, labels %v", live.Spec.Paused, live.Labels)
	}
}

func TestDisown_LeavesTheWorkloadPausedForAReason(t *testing.T) {
	r := newRig(t)
	first := r.shop().Workload.Template.Revision
	pods := r.pods(nil)
	r.commit("v2")
	r.until("the new template to be held", func(o *workload.Observation) bool { return o.Workload.Template.Revision != first })
	r.hold()
	r.retry("disown", func(state *workload.State) error {
		return r.Disown(t.Context(), r.ref, state, "the template was rolled back")
	})
	live := r.live()
	if !live.Spec.Paused || live.Annotations[v1alpha1.AnnotationLeft] != "the template was rolled back" || live.Labels[v1alpha1.LabelHeld] != "" {
		t.Errorf("paused is %v, annotations %v, labels %v", live.Spec.Paused, live.Annotations, live.Labels)
	}
	r.commit("v2")
	if !r.live().Spec.Paused || r.pods(nil) != pods {
		t.Error("git applied the same again, and that rolled the workload")
	}
}

func TestHoldAndRelease_RefuseAWorkloadThatChangedSinceItWasLookedAt(t *testing.T) {
	r := newRig(t)
	stale := r.shop().Workload
	changed := r.live()
	changed.Annotations["touched"] = "yes"
	r.must("touch the workload", server.Update(t.Context(), changed))
	if err := r.Hold(t.Context(), r.ref, stale); !apierrors.IsConflict(err) {
		t.Errorf("hold: the error is %v, want a conflict", err)
	}
	stale.Paused = true
	if err := r.Release(t.Context(), r.ref, stale); !apierrors.IsConflict(err) {
		t.Errorf("release: the error is %v, want a conflict", err)
	}
	if r.live().Spec.Paused {
		t.Error("it was paused all the same")
	}

	stale.Paused = false
	r.must("delete the workload", server.Delete(t.Context(), changed, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	eventually(t, "the workload to be gone", func() error { return gone(changed) })
	if err := r.Hold(t.Context(), r.ref, stale); err == nil {
		t.Error("a workload that is gone was held")
	}
	if err := gone(changed); err != nil {
		t.Errorf("holding made it anew: %v", err)
	}
}

func TestObserve_SeesThePolicyComeAndGo(t *testing.T) {
	r := newRig(t)
	r.until("the policy", func(o *workload.Observation) bool { return o.HeldByAdmission })
	binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "weighlock-hold"}}
	r.must("delete the binding", server.Delete(t.Context(), binding))
	defer func() { r.must("install the policy again", apiServer.InstallHold(t.Context())) }()
	r.until("the policy to be gone", func(o *workload.Observation) bool { return !o.HeldByAdmission })
}
