package rollout

import "github.com/weighlock/weighlock/api/v1alpha1"

// stalled stops where something outside must change first. Traffic stays where it is.
func stalled(v *view) *Plan {
	problem := v.Problem
	if problem == nil {
		problem = v.Obstacle
	}
	if by := v.pausedBy(); problem == nil && by != "" {
		return stall(v1alpha1.ReasonPausedElsewhere, "spec.paused of the workload is written by "+by+" too: take it out of what "+by+" applies; Weighlock holds and releases the workload itself")
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

// pausedBy says who else writes the workload's pause; empty when nobody does.
func (v *view) pausedBy() string {
	if v.Workload == nil {
		return ""
	}
	return v.Workload.PausedBy
}
