package deployment_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload/deployment"
)

func TestSubjectOf_TellsWhomAnAutoscalerAndABudgetAreAbout(t *testing.T) {
	r := newRig(t)
	r.make(shape{})
	r.create(newDeployment(r.ref.Namespace, "cart", "v1"))
	asCached := func(obj client.Object) *unstructured.Unstructured {
		u := r.applied(obj)
		u.SetLabels(nil)
		return u
	}
	for name, test := range map[string]struct {
		obj  *unstructured.Unstructured
		want deployment.Subject
	}{
		"an autoscaler": {asCached(newAutoscaler(r.ref.Namespace, "any")), deployment.Subject{Namespace: r.ref.Namespace, Workload: "checkout"}},
		"a budget":      {asCached(aBudget(r.ref.Namespace)), deployment.Subject{Namespace: r.ref.Namespace, Selects: true}},
	} {
		if diff := cmp.Diff(test.want, deployment.SubjectOf(test.obj)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		test.obj.SetLabels(map[string]string{v1alpha1.LabelRollout: "rollout"})
		if got := deployment.SubjectOf(test.obj); got.Rollout != "rollout" || got.Selects {
			t.Errorf("%s of a copy: %+v", name, got)
		}
	}
	eventually(t, "the workload that a budget selects", func() error {
		selected, err := deployment.SelectedBy(t.Context(), informers, asCached(aBudget(r.ref.Namespace)))
		if diff := cmp.Diff([]deployment.Subject{{Namespace: r.ref.Namespace, Workload: "checkout"}}, selected); diff != "" {
			return errors.Join(errors.New(diff), err)
		}
		return err
	})
}

func TestChanged_IsDeafToWhatAutoscalersReport(t *testing.T) {
	r := newRig(t)
	r.create(newAutoscaler(r.ref.Namespace, "checkout"))
	cached := func() *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"))
		eventually(t, "the cache to be up to date", func() error {
			if err := informers.Get(t.Context(), client.ObjectKey{Namespace: r.ref.Namespace, Name: "checkout"}, u); err != nil {
				return err
			}
			if live := r.autoscaler("checkout"); live.ResourceVersion != u.GetResourceVersion() {
				return errors.New("it lags behind")
			}
			return nil
		})
		return u
	}
	first := cached()
	if _, kept := first.Object["status"]; kept || len(first.GetManagedFields()) > 0 {
		t.Errorf("the cache holds more than it needs: %v", first.Object)
	}
	live := r.autoscaler("checkout")
	live.Status.DesiredReplicas = 3
	r.must("report", server.Status().Update(t.Context(), live))
	second := cached()
	if first.GetResourceVersion() == second.GetResourceVersion() || deployment.Changed(first, second) {
		t.Error("a report is taken for a change")
	}
	live = r.autoscaler("checkout")
	live.Spec.MaxReplicas = 12
	r.must("change it", server.Update(t.Context(), live))
	third := cached()
	if !deployment.Changed(second, third) {
		t.Error("a change is not seen")
	}
	d := unstructuredDeployment()
	if !deployment.Changed(d, d) {
		t.Error("a Deployment's status is not seen")
	}
}
