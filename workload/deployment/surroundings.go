package deployment

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

// surroundings are the selectors, but the root Service's, that find the workload's pods and should not find a copy's.
type surroundings struct {
	pods              labels.Set
	budgets, services []labels.Selector
}

// surroundings reads what is needed to choose between labels; nothing where there is no choice.
func (a *Adapter) surroundings(ctx context.Context, ref workload.Reference, deployment *unstructured.Unstructured, root *corev1.Service) (surroundings, error) {
	near := surroundings{pods: podLabels(deployment)}
	if root == nil || ref.TrackLabel != "" || len(keysInCommon(deployment, root)) < 2 {
		return near, nil
	}
	p, err := a.protectionOf(ctx, ref, deployment)
	if err != nil {
		return near, err
	}
	for _, budget := range p.budgets {
		raw, _, _ := unstructured.NestedMap(budget.Object, "spec", "selector")
		near.budgets = append(near.budgets, selectorIn(raw))
	}
	services := &corev1.ServiceList{}
	if err := a.list(ctx, ref, services, client.UnsafeDisableDeepCopy); err != nil {
		return near, err
	}
	for i := range services.Items {
		service := &services.Items[i]
		if service.Name == root.Name || service.Labels[v1alpha1.LabelRollout] != "" || len(service.Spec.Selector) == 0 {
			continue
		}
		if selector := labels.SelectorFromSet(service.Spec.Selector); selector.Matches(near.pods) {
			near.services = append(near.services, selector)
		}
	}
	return near, nil
}

// leaks says how many budgets, and then how many services, would find a copy's pods that differ by the label key: a budget
// keeps the workload from being handled at all, and through a service requests reach a candidate past its steps.
func (s surroundings) leaks(key string) [2]int {
	copied := labels.Set(withLabel(s.pods, key, naming.Join(s.pods[key], anyRevision)))
	count := func(selectors []labels.Selector) int {
		n := 0
		for _, selector := range selectors {
			if selector.Matches(copied) {
				n++
			}
		}
		return n
	}
	return [2]int{count(s.budgets), count(s.services)}
}
