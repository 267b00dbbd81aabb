package deployment_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

// newBudget is a disruption budget as a user has it.
func newBudget(namespace, name string, selector map[string]string) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"argocd.argoproj.io/instance": "shop"}},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable:               new(intstr.FromString("50%")),
			Selector:                   &metav1.LabelSelector{MatchLabels: selector},
			UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow),
		},
	}
}

func (r *rig) budget(name string) *policyv1.PodDisruptionBudget {
	r.Helper()
	budget := &policyv1.PodDisruptionBudget{}
	r.must("read the budget", server.Get(r.Context(), types.NamespacedName{Namespace: r.ref.Namespace, Name: name}, budget))
	return budget
}

// unprotected makes a copy with two pods beside a workload that has objects.
func (r *rig) unprotected(objects ...func(namespace string) client.Object) (revision string) {
	r.Helper()
	o, _, second := r.candidate()
	for _, newObject := range objects {
		r.create(newObject(r.ref.Namespace))
	}
	r.copy(o, second, 2)
	return second
}

// protect protects a copy, and waits until that is seen.
func (r *rig) protect(revision string) *workload.Observation {
	r.Helper()
	r.must("protect", r.Protect(r.Context(), r.ref, revision))
	return r.until("the copy to be protected", func(o *workload.Observation) bool { return o.Copies[revision].Protected })
}

func anAutoscaler(namespace string) client.Object { return newAutoscaler(namespace, "checkout") }

func aBudget(namespace string) client.Object {
	return newBudget(namespace, "checkout", map[string]string{"app": "checkout"})
}

func TestProtect_GivesACopyWhatProtectsTheWorkload(t *testing.T) {
	r := newRig(t)
	second := r.unprotected(func(namespace string) client.Object {
		mine := newAutoscaler(namespace, "checkout")
		mine.Spec.MinReplicas = new(int32(1))
		mine.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{
			ScaleUp:   &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 3, PeriodSeconds: 30}}},
			ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: new(int32(60))},
		}
		return mine
	}, aBudget, func(namespace string) client.Object {
		unrelated := newBudget(namespace, "cart", map[string]string{"app": "cart"})
		return unrelated
	})
	r.until("a copy that lacks both", func(o *workload.Observation) bool {
		return o.Autoscaler != nil && !o.Copies[second].Protected && !o.Copies[second].Autoscaled
	})
	o := r.protect(second)
	if !o.Copies[second].Autoscaled || o.Problem != nil {
		t.Errorf("it observes %s", describe(o))
	}

	name := "checkout-" + second
	mine, twin, copied := r.autoscaler("checkout"), r.autoscaler(name), r.deployment(name)
	want := mine.Spec.DeepCopy()
	want.ScaleTargetRef.Name = name
	want.MinReplicas = new(int32(2)) // What is there already.
	want.Behavior.ScaleDown.SelectPolicy = new(autoscalingv2.DisabledPolicySelect)
	if diff := cmp.Diff(*want, twin.Spec); diff != "" {
		t.Errorf("the copy's autoscaler (-want +got):\n%s", diff)
	}
	mineBudget, twinBudget := r.budget("checkout"), r.budget(name)
	wantBudget := mineBudget.Spec.DeepCopy()
	wantBudget.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelTrack: name}}
	if diff := cmp.Diff(*wantBudget, twinBudget.Spec); diff != "" {
		t.Errorf("the copy's budget (-want +got):\n%s", diff)
	}
	selects := labels.SelectorFromSet(twinBudget.Spec.Selector.MatchLabels)
	if !selects.Matches(labels.Set(copied.Spec.Template.Labels)) || selects.Matches(labels.Set(r.live().Spec.Template.Labels)) {
		t.Errorf("the copy's budget selects %s", selects)
	}
	if err := gone(newBudget(r.ref.Namespace, "cart-"+second, nil)); err != nil {
		t.Errorf("the budget of other pods was followed: %v", err)
	}
	for _, made := range []client.Object{twin, twinBudget} {
		if diff := cmp.Diff(copied.Labels, made.GetLabels()); diff != "" {
			t.Errorf("labels of %T (-copy's +its):\n%s", made, diff)
		}
		if owners := made.GetOwnerReferences(); len(owners) != 1 || owners[0].UID != copied.UID {
			t.Errorf("owners of %T: %v", made, owners)
		}
	}
	writes := len(r.written)
	r.must("protect again", r.Protect(t.Context(), r.ref, second))
	if len(r.written) != writes {
		t.Errorf("%d objects were written though nothing changed", len(r.written)-writes)
	}
}

func TestProtect_HasNothingToDoWhereTheWorkloadHasNothing(t *testing.T) {
	r := newRig(t)
	second := r.unprotected()
	o := r.until("a copy that has all that the workload has", func(o *workload.Observation) bool { return o.Copies[second].Protected })
	if o.Copies[second].Autoscaled || o.Autoscaler != nil {
		t.Errorf("it observes %s", describe(o))
	}
	writes := len(r.written)
	r.must("protect", r.Protect(t.Context(), r.ref, second))
	if len(r.written) != writes {
		t.Error("something was written")
	}
	if err := r.Protect(t.Context(), r.ref, "none"); err == nil {
		t.Error("a copy that isn't there was protected")
	}
}

func TestProtect_NeverTakesAwayPodsThatAreThere(t *testing.T) {
	r := newRig(t)
	second := r.unprotected(func(namespace string) client.Object {
		mine := newAutoscaler(namespace, "checkout")
		mine.Spec.MinReplicas, mine.Spec.MaxReplicas = new(int32(1)), 1
		return mine
	})
	r.until("the autoscaler", func(o *workload.Observation) bool { return o.Autoscaler != nil })
	r.protect(second)
	if spec := r.autoscaler("checkout-" + second).Spec; *spec.MinReplicas != 2 || spec.MaxReplicas != 2 {
		t.Errorf("two pods are there, the bounds are %d and %d", *spec.MinReplicas, spec.MaxReplicas)
	}
	eventually(t, "raise the copy", func() error { return r.Scale(t.Context(), r.ref, second, 3) })
	r.until("a copy above its maximum", func(o *workload.Observation) bool {
		return o.Copies[second].Replicas == 3 && !o.Copies[second].Protected
	})
	r.protect(second)
	if spec := r.autoscaler("checkout-" + second).Spec; *spec.MinReplicas != 2 || spec.MaxReplicas != 3 {
		t.Errorf("three pods are there, the bounds are %d and %d", *spec.MinReplicas, spec.MaxReplicas)
	}
}

func TestProtect_FollowsTheWorkloads(t *testing.T) {
	r := newRig(t)
	second := r.unprotected(anAutoscaler, aBudget)
	name := "checkout-" + second
	r.until("both", func(o *workload.Observation) bool { return o.Autoscaler != nil && !o.Copies[second].Protected })
	r.protect(second)
	stale := func(what string) {
		t.Helper()
		r.until(what, func(o *workload.Observation) bool { return !o.Copies[second].Protected })
		r.protect(second)
	}

	mine := r.autoscaler("checkout")
	mine.Spec.Metrics[0].Resource.Target.AverageUtilization = new(int32(50))
	mine.Spec.MaxReplicas = 20
	mine.Spec.Behavior = scaleDown(autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: new(int32(77))})
	r.must("change the autoscaler", server.Update(t.Context(), mine))
	stale("the changed autoscaler to be seen")
	twin := r.autoscaler(name)
	if twin.Spec.MaxReplicas != 20 || *twin.Spec.Metrics[0].Resource.Target.AverageUtilization != 50 || *twin.Spec.Behavior.ScaleDown.StabilizationWindowSeconds != 77 {
		t.Errorf("the copy's autoscaler is %+v", twin.Spec)
	}
	mine = r.autoscaler("checkout")
	mine.Spec.Behavior = nil
	r.must("take the behavior out", server.Update(t.Context(), mine))
	stale("the autoscaler without a behavior to be seen")
	if twin = r.autoscaler(name); twin.Spec.Behavior.ScaleDown.StabilizationWindowSeconds != nil {
		t.Errorf("the window is still %d", *twin.Spec.Behavior.ScaleDown.StabilizationWindowSeconds)
	}

	budget := r.budget("checkout")
	budget.Spec.MinAvailable, budget.Spec.MaxUnavailable = nil, new(intstr.FromInt32(1))
	r.must("change the budget", server.Update(t.Context(), budget))
	stale("the changed budget to be seen")
	if spec := r.budget(name).Spec; spec.MinAvailable != nil || spec.MaxUnavailable.IntVal != 1 {
		t.Errorf("the copy's budget is %+v", spec)
	}

	twin = r.autoscaler(name)
	twin.Spec.Behavior.ScaleDown.SelectPolicy = new(autoscalingv2.MaxChangePolicySelect)
	r.must("edit the copy's autoscaler", server.Update(t.Context(), twin))
	stale("the edit to be seen")
	if policy := *r.autoscaler(name).Spec.Behavior.ScaleDown.SelectPolicy; policy != autoscalingv2.DisabledPolicySelect {
		t.Errorf("the policy is %s", policy)
	}

	r.must("delete the autoscaler", server.Delete(t.Context(), mine))
	r.must("delete the budget", server.Delete(t.Context(), budget))
	eventually(t, "the copy to have neither", func() error {
		if err := r.Protect(t.Context(), r.ref, second); err != nil {
			return err
		}
		return errors.Join(gone(twin), gone(r.named(&policyv1.PodDisruptionBudget{}, name)))
	})
	r.until("a copy that has all that the workload has", func(o *workload.Observation) bool {
		return o.Copies[second].Protected && !o.Copies[second].Autoscaled && o.Autoscaler == nil
	})
}

func (r *rig) named(obj client.Object, name string) client.Object {
	obj.SetNamespace(r.ref.Namespace)
	obj.SetName(name)
	return obj
}

func TestProtect_MeasuresTheCopysPods(t *testing.T) {
	r := newRig(t)
	metric := func(selector map[string]string) autoscalingv2.MetricIdentifier {
		return autoscalingv2.MetricIdentifier{Name: "requests", Selector: &metav1.LabelSelector{MatchLabels: selector}}
	}
	target := autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: new(resource.MustParse("100"))}
	object := func(kind, name string, selector map[string]string) autoscalingv2.MetricSpec {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
			DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: kind, Name: name}, Metric: metric(selector), Target: target,
		}}
	}
	second := r.unprotected(func(namespace string) client.Object {
		mine := newAutoscaler(namespace, "checkout")
		own, others := map[string]string{"app": "checkout", "route": "pay"}, map[string]string{"app": "cart"}
		mine.Spec.Metrics = []autoscalingv2.MetricSpec{
			{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{Metric: metric(own), Target: target}},
			{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{Metric: metric(others), Target: target}},
			object("Deployment", "checkout", own),
			object("Service", "checkout", others),
			{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: metric(own), Target: target}},
		}
		return mine
	})
	r.until("the autoscaler", func(o *workload.Observation) bool { return o.Autoscaler != nil && !o.Copies[second].Protected })
	r.protect(second)
	name := "checkout-" + second
	want := r.autoscaler("checkout").Spec.Metrics
	want[0].Pods.Metric.Selector.MatchLabels["app"] = name
	want[2].Object.Metric.Selector.MatchLabels["app"] = name
	want[2].Object.DescribedObject.Name = name
	if diff := cmp.Diff(want, r.autoscaler(name).Spec.Metrics); diff != "" {
		t.Errorf("metrics of the copy's autoscaler (-want +got):\n%s", diff)
	}
}

func TestProtect_NeverTakesOverWhatIsNotWeighlocks(t *testing.T) {
	for name, test := range map[string]struct {
		kind string
		mine func(string) client.Object
		make func(namespace, name string) client.Object
	}{
		"an autoscaler": {"HorizontalPodAutoscaler", anAutoscaler, func(namespace, name string) client.Object {
			other := newAutoscaler(namespace, name)
			other.Spec.ScaleTargetRef.Name = "other"
			return other
		}},
		"a budget": {"PodDisruptionBudget", aBudget, func(namespace, name string) client.Object {
			return newBudget(namespace, name, map[string]string{"app": "other"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			second := r.unprotected(test.mine)
			other := test.make(r.ref.Namespace, "checkout-"+second)
			r.create(other)
			before := other.DeepCopyObject()
			o := r.until("the problem", func(o *workload.Observation) bool { return o.Problem != nil })
			if o.Problem.Reason != v1alpha1.ReasonNameTaken || !strings.Contains(o.Problem.Message, test.kind) {
				t.Errorf("the problem is %+v", o.Problem)
			}
			problem := (*workload.ProblemError)(nil)
			if err := r.Protect(t.Context(), r.ref, second); !errors.As(err, &problem) || problem.Problem.Reason != v1alpha1.ReasonNameTaken {
				t.Errorf("the error is %v, want NameTaken", err)
			}
			blind := deployment.New(deployment.Options{Reader: withoutKind{informers, test.kind, other.GetName()}, Writer: server, Mapper: server.RESTMapper()})
			if err := blind.Protect(t.Context(), r.ref, second); !apierrors.IsConflict(err) {
				t.Errorf("unseen: the error is %v, want a conflict", err)
			}
			r.must("delete the copy", r.DeleteCopy(t.Context(), r.ref, second))
			r.must("read it", server.Get(t.Context(), client.ObjectKeyFromObject(other), other))
			if diff := cmp.Diff(before, other.DeepCopyObject()); diff != "" {
				t.Errorf("it was changed (-before +after):\n%s", diff)
			}
		})
	}
}

// withoutKind is a cache that doesn't show one object in lists yet.
type withoutKind struct {
	client.Reader
	kind, name string
}

func (w withoutKind) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	if err := w.Reader.List(ctx, into, opts...); err != nil {
		return err
	}
	if all, ok := into.(*unstructured.UnstructuredList); ok {
		all.Items = slices.DeleteFunc(all.Items, func(u unstructured.Unstructured) bool {
			return u.GetKind() == w.kind && u.GetName() == w.name
		})
	}
	return nil
}

func TestDeleteCopy_RemovesWhatProtectsItFirst(t *testing.T) {
	r := newRig(t)
	second := r.unprotected(anAutoscaler, aBudget)
	r.until("both", func(o *workload.Observation) bool { return o.Autoscaler != nil && !o.Copies[second].Protected })
	r.protect(second)
	r.must("delete the copy", r.DeleteCopy(t.Context(), r.ref, second))
	order := make([]string, 0, len(r.deleted))
	for _, obj := range r.deleted {
		order = append(order, fmt.Sprintf("%T", obj)+obj.GetObjectKind().GroupVersionKind().Kind)
	}
	joined := strings.Join(order, " ")
	copyAt := strings.LastIndex(joined, "Deployment")
	for _, kind := range []string{"HorizontalPodAutoscaler", "PodDisruptionBudget"} {
		if at := strings.Index(joined, kind); at < 0 || at > copyAt {
			t.Errorf("%s was not deleted before the copy: %s", kind, joined)
		}
	}
	name := "checkout-" + second
	eventually(t, "all to be gone", func() error {
		return errors.Join(gone(r.named(&autoscalingv2.HorizontalPodAutoscaler{}, name)), gone(r.named(&policyv1.PodDisruptionBudget{}, name)), gone(r.named(&appsv1.Deployment{}, name)))
	})
	r.autoscaler("checkout")
	r.budget("checkout")
}

func TestProtect_LeavesNothingBehindWhenSomebodyDeletesTheCopy(t *testing.T) {
	r := newRig(t)
	second := r.unprotected(anAutoscaler, aBudget)
	r.until("both", func(o *workload.Observation) bool { return o.Autoscaler != nil && !o.Copies[second].Protected })
	r.protect(second)
	name := "checkout-" + second
	r.must("delete the copy", server.Delete(t.Context(), r.named(&appsv1.Deployment{}, name)))
	eventually(t, "all to be gone", func() error {
		return errors.Join(gone(r.named(&autoscalingv2.HorizontalPodAutoscaler{}, name)), gone(r.named(&policyv1.PodDisruptionBudget{}, name)))
	})
}
