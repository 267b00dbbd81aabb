package rollout

import "github.com/weighlock/weighlock/api/v1alpha1"

// revert puts all traffic on the incumbent at once when git is back at it.
func revert(v *view) *Plan {
	if v.Workload == nil || v.want != v.progress.Incumbent {
		return nil
	}
	switch v.progress.Phase {
	case PhaseStep, PhaseRolledBack, PhaseSetBack:
		return v.withdraw(v1alpha1.ReasonReverted, "git is back at the incumbent, "+v.want)
	default:
		return nil
	}
}

// supersede puts all traffic on the incumbent when there is something newer than the
// candidate, which then starts from the first step.
func supersede(v *view) *Plan {
	if v.Workload == nil || v.progress.Phase != PhaseStep || v.want == v.progress.Candidate {
		return nil
	}
	return v.withdraw(v1alpha1.ReasonSuperseded, v.progress.Candidate+" is superseded by "+v.want)
}

// withdraw takes the candidate out of the traffic.
func (v *view) withdraw(event, why string) *Plan {
	if v.progress.Phase == PhaseStep && !v.targetReady() {
		return v.targetUnready(why)
	}
	back := v.serve(event, why)
	back.Progress.Paused = v.keptPause()
	return doing(v1alpha1.StateProgressing, event, why, back)
}

// keptPause is the pause of a candidate that leaves the traffic only to start anew: who paused it still does.
func (v *view) keptPause() *Word {
	if v.want != v.progress.Candidate {
		return nil
	}
	return v.progress.Paused
}

// targetUnready waits for the one thing that keeps traffic from the incumbent.
func (v *view) targetUnready(why string) *Plan {
	return waiting(v1alpha1.StateRollingBack, v1alpha1.ReasonIncumbentNotReady,
		why+", but the incumbent has no ready pod: traffic stays until it has", "a ready pod of the incumbent")
}
