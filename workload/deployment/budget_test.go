package deployment_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

func TestObserve_RefusesABudgetThatCountsCopiesToo(t *testing.T) {
	r := newRig(t)
	r.make(shape{})
	wide := newBudget(r.ref.Namespace, "wide", map[string]string{"tier": "web"})
	r.create(aBudget(r.ref.Namespace), wide)
	o := r.until("the problem", func(o *workload.Observation) bool { return o.Problem != nil })
	if o.Problem.Reason != v1alpha1.ReasonSelectorNotEscapable {
		t.Errorf("the problem is %+v", o.Problem)
	}
	for _, word := range []string{"PodDisruptionBudget wide", "app=checkout", "matchLabels"} {
		if !strings.Contains(o.Problem.Message, word) {
			t.Errorf("the message %q doesn't say %q", o.Problem.Message, word)
		}
	}
	wide.Spec.Selector.MatchLabels["app"] = "checkout"
	r.must("do what it says", server.Update(t.Context(), wide))
	r.until("no problem", func(o *workload.Observation) bool { return o.Problem == nil })
}

func TestCopy_IsToldApartByTheLabelThatKeepsItOutOfOtherSelectors(t *testing.T) {
	both := map[string]string{"app": "checkout", "tier": "web"}
	service := func(name string, selector map[string]string) func(string) client.Object {
		return func(namespace string) client.Object { return newService(namespace, name, selector) }
	}
	wideBudget := func(namespace string) client.Object {
		return newBudget(namespace, "wide", map[string]string{"tier": "web"})
	}
	byTier := service("metrics", map[string]string{"tier": "web"})
	byApp := service("internal", map[string]string{"app": "checkout"})
	byAppToo := service("internal-too", map[string]string{"app": "checkout"})
	for name, test := range map[string]struct {
		objects []func(namespace string) client.Object
		chosen  string
		want    string
	}{
		"nothing else":                {nil, "", "app"},
		"a service by the other":      {[]func(string) client.Object{byTier}, "", "tier"},
		"a service by each":           {[]func(string) client.Object{byTier, byApp}, "", "app"},
		"a budget by the other":       {[]func(string) client.Object{wideBudget}, "", "tier"},
		"a budget before services":    {[]func(string) client.Object{byApp, byAppToo, wideBudget}, "", "tier"},
		"the one that the user chose": {[]func(string) client.Object{byTier}, "app", "app"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for _, newObject := range test.objects {
				obj := newObject(r.ref.Namespace)
				r.create(obj)
				eventually(t, "the cache to show it", func() error { return r.cached(obj) })
			}
			r.make(shape{
				ref:      func(ref *workload.Reference) { ref.TrackLabel = test.chosen },
				workload: func(d *appsv1.Deployment) { d.Spec.Selector.MatchLabels = both },
				service:  func(s *corev1.Service) { s.Spec.Selector = both },
			})
			r.until("the workload", func(o *workload.Observation) bool { return o.Workload != nil && o.Problem == nil })
			r.retry("adopt", func(state *workload.State) error { return r.Adopt(t.Context(), r.ref, state) })
			o := r.until("the workload to be adopted", func(o *workload.Observation) bool { return o.Workload.Adopted })
			r.record(o.Workload.Template)
			revision := o.Workload.Template.Revision
			r.copy(o, revision, 0)
			selector := r.deployment("checkout-" + revision).Spec.Selector.MatchLabels
			for key, value := range both {
				if changed := selector[key] != value; changed != (key == test.want) {
					t.Errorf("%s is %q in the copy's selector", key, selector[key])
				}
			}
		})
	}
}

// cached is no error once the caches show obj.
func (r *rig) cached(obj client.Object) error {
	if _, isService := obj.(*corev1.Service); isService {
		return informers.Get(r.Context(), client.ObjectKeyFromObject(obj), &corev1.Service{})
	}
	u := r.applied(obj)
	u.SetGroupVersionKind(policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"))
	return informers.Get(r.Context(), client.ObjectKeyFromObject(obj), u)
}
