package deployment

import (
	"context"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// budgetNotEscapable finds a disruption budget that would count a copy's pods along with the workload's: they would
// have two budgets, and no pod with two can be evicted.
func (s *seen) budgetNotEscapable() *workload.Problem {
	apart, problem := chooseEscape(s.ref, s.deployment, s.root, s.near, anyRevision)
	if problem != nil {
		return problem
	}
	copies := withLabel(podLabels(s.deployment), apart.Key, apart.To)
	maps.Copy(copies, copyLabels(s.ref, anyRevision))
	for _, budget := range s.protection.budgets {
		if covers(budget, copies) {
			return &workload.Problem{
				Reason: v1alpha1.ReasonSelectorNotEscapable,
				Message: fmt.Sprintf("PodDisruptionBudget %s selects the pods of copies too, which get budgets of their own, and no pod with two budgets can be evicted: add %s=%s to matchLabels of its selector",
					budget.GetName(), apart.Key, apart.From),
			}
		}
	}
	return nil
}

// twinTaken is the twin of a workload's own that somebody else's object is in the way of; there is nothing to say
// before a copy is made.
func (s *seen) twinTaken() *workload.Problem {
	for i := range s.copies {
		for _, want := range s.protection.wanted(&s.copies[i]) {
			if s.protection.taken[twinKey{want.GetKind(), want.GetName()}] {
				return nameTaken(s.ref, want.GetKind(), want.GetName())
			}
		}
	}
	return nil
}

// SelectedBy lists the workloads whose pods a disruption budget selects, from caches.
func SelectedBy(ctx context.Context, reader client.Reader, budget client.Object) ([]Subject, error) {
	u, ok := budget.(*unstructured.Unstructured)
	if !ok {
		return nil, nil
	}
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(deploymentKind)
	if err := reader.List(ctx, all, client.InNamespace(u.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the workloads in %s: %w", u.GetNamespace(), err)
	}
	var subjects []Subject
	for i := range all.Items {
		if covers(u, podLabels(&all.Items[i])) {
			subjects = append(subjects, Subject{Namespace: u.GetNamespace(), Workload: all.Items[i].GetName()})
		}
	}
	return subjects, nil
}
