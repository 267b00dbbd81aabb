package rollout

import (
	"fmt"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// start makes the copy of a new template, and enters the first step once it is ready.
func start(v *view) *Plan {
	if v.progress.Phase == PhaseStep || v.want == v.progress.Incumbent {
		return nil
	}
	if reason := v.failed(v.want); reason != "" {
		p := waiting(v1alpha1.StateRolledBack, v1alpha1.ReasonRolledBack, v.failure(v.want, reason), nextVersion)
		p.Stalled = true
		return p
	}
	if v.isSetBack() {
		return stall(v1alpha1.ReasonSetBack, setBackMessage(v.want, v.progress.Reason))
	}
	if v.Spec.Suspend {
		return waiting(v1alpha1.StateSuspended, v1alpha1.ReasonSuspended, v.want+" waits: the Rollout is suspended", "spec.suspend to be false")
	}
	if paused := v.paused(); paused != nil {
		return v.stay(&Plan{}, paused)
	}
	if p := v.unroutable(); p != nil {
		return p
	}
	if v.former() {
		p := waiting(v1alpha1.StateStarting, v1alpha1.ReasonStarting, v.want+" starts anew, once its former copy is gone", "the former copy of "+v.want+" to be gone")
		if v.drained(p) {
			p.Actions = append(p.Actions, DeleteCopy{Revision: v.want})
		}
		return p
	}
	size := v.stepSize(0)
	p := doing(v1alpha1.StateStarting, v1alpha1.ReasonStarting, v.want+" starts beside "+v.progress.Incumbent)
	p.tries = new(v.want)
	p.Status.WaitingFor = v.podsReady(size)
	c := v.candidate
	if c != nil && c.Deleting {
		p.Status.WaitingFor = "the former copy of " + v.want + " to be gone"
		return p
	}
	if c == nil {
		p.Actions = append(p.Actions, v.recorded()...)
		p.Actions = append(p.Actions, Copy{Revision: v.want, Replicas: size})
		return p
	}
	if !c.Served || c.Template.Revision != v.want || !runsOnly(c, v.want) {
		p.Actions = append(p.Actions, Copy{Revision: v.want, Replicas: max(size, c.Replicas)})
		return p
	}
	if hastened := v.hastened(); len(v.Spec.Steps) == 0 || (hastened != nil && hastened.Full) {
		return v.promote(p)
	}
	return v.enter(p, 0)
}

// former says whether the candidate's copy is left over from when it was tried before, and never got ready. It would be blamed for that
// again.
func (v *view) former() bool {
	return v.progress.Tried != v.want && v.candidate != nil && v.candidate.Stuck != "" && !v.candidate.Deleting
}

// recorded is the write that keeps the workload's template, where it isn't kept yet.
func (v *view) recorded() []Action {
	if _, known := v.Records[v.want]; known {
		return nil
	}
	return []Action{Record{Template: v.Workload.Template}}
}

// unroutable refuses, before traffic moves, a match that the router can't express while a copy serves the
// incumbent.
func (v *view) unroutable() *Plan {
	if !v.RestToRoot || !v.progress.OnCopy {
		return nil
	}
	for i, step := range v.Spec.Steps {
		if len(step.Match) > 0 {
			return stall(v1alpha1.ReasonStepUnsupported, fmt.Sprintf("spec.steps[%d].match: the router sends requests that don't match to the Service's own pods, and those are not the incumbent's while %s serves from its copy: set git back to %s until it is on the workload again, then commit %s anew",
				i, v.progress.Incumbent, v.progress.Incumbent, v.want))
		}
	}
	return nil
}
