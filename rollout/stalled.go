package rollout

import "github.com/weighlock/weighlock/api/v1alpha1"

// stalled stops where something outside must change first. Traffic stays where it is.
func stalled(v *view) *Plan {
	problem := v.Problem
	if problem == nil {
		problem = v.Unroutable
	}
	if problem == nil {
		return nil
	}
	return stall(problem.Reason, problem.Message)
}

// stall makes a plan that does nothing until something outside changes.
func stall(reason, message string) *Plan {
	p := waiting(v1alpha1.StateStalled, reason, message, message)
	p.Stalled = true
	return p
}
