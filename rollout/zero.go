package rollout

import "github.com/weighlock/weighlock/api/v1alpha1"

// atZero takes a new template as it is where people scaled the workload to nothing, and so there are no users to
// protect: scaled up again, a paused workload might start nothing, or pods of an old template. Copies follow it to zero.
func atZero(v *view) *Plan {
	switch {
	case v.Workload.Replicas > 0 || v.want == v.progress.Incumbent:
		return nil
	case v.stays() && v.progress.Phase == PhaseStep:
		// Scaled up again, its copy would have traffic before it has pods.
		return v.withdraw(v1alpha1.ReasonWithdrawnAtZero, "the workload has no pods: "+v.want+" starts anew when it has")
	case v.stays():
		return nil
	}
	p := v.takeAsItIs("the workload has no pods: "+v.want+" is taken without steps", SetRoute{
		Progress: Progress{Reason: "taken at zero replicas"}, Event: v1alpha1.ReasonTakenAtZero,
	})
	if v.candidate != nil {
		p.Actions = append(p.Actions, resize(v.want, v.candidate, 0)...)
	}
	return p
}

// stays says that the workload must not roll to its template, whatever happens.
func (v *view) stays() bool {
	return v.failed(v.want) != "" || v.Spec.Suspend || v.paused() != nil
}

// takeAsItIs makes the workload's template the incumbent without steps. Route says how that is told.
func (v *view) takeAsItIs(why string, route SetRoute) *Plan {
	route.Traffic = Traffic{Total: v.total()}
	route.Progress.Phase, route.Progress.Incumbent = PhaseServing, v.want
	return doing(v1alpha1.StateProgressing, route.Event, why, append(v.recorded(), route)...)
}
