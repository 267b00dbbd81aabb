package deployment

import (
	"fmt"
	"maps"
	"strings"

	"github.com/weighlock/weighlock/workload"
)

// budgetNotEscapable finds a disruption budget that would count a copy's pods along with the workload's: they would
// have two budgets, and no pod with two can be evicted.
func (s *seen) budgetNotEscapable() *workload.Problem {
	revision := strings.Repeat("0", revisionLength)
	apart, problem := chooseEscape(s.ref, s.deployment, s.root, revision)
	if problem != nil {
		return problem
	}
	copies := withLabel(templateLabels(s.deployment), apart.Key, apart.To)
	maps.Copy(copies, copyLabels(s.ref, revision))
	for _, budget := range s.protection.budgets {
		if covers(budget, copies) {
			return &workload.Problem{
				Reason: ReasonSelectorNotEscapable,
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
