package rollout

import (
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// reassertInterval is how often a route is written against somebody else at most: two writers that
// don't know of each other would go on for ever, as fast as they can.
const reassertInterval = 10 * time.Second

// reassert writes the route again when it doesn't ask for what it should: somebody else changed it, or
// the step was edited. A track that isn't ready gets nothing by it.
func reassert(v *view) *Plan {
	want := v.traffic()
	if v.Route.Holds(want) {
		return nil
	}
	if want.Reaches() && v.candidate.Ready < v.stepSize(v.progress.Step) {
		return nil
	}
	if !v.targetReady() {
		return v.targetUnready("the route doesn't ask for what it should")
	}
	if v.Route.Foreign != "" {
		p := waiting(v1alpha1.StateProgressing, v1alpha1.ReasonRouteContested, "the route is written by "+v.Route.Foreign+" again and again: take it out of what "+v.Route.Foreign+" applies", "the time to write the route again")
		if !v.reached(p, v.Route.WrittenAt.Add(reassertInterval)) {
			return p
		}
	}
	why := "the route doesn't ask for what it should: writing it again"
	if v.Route.Foreign != "" {
		why = "the route was changed by " + v.Route.Foreign + ": writing it again"
	}
	return doing(v1alpha1.StateProgressing, v1alpha1.ReasonRouteReasserted, why, SetRoute{Traffic: want, Progress: v.anew(), Event: v1alpha1.ReasonRouteReasserted, Warning: v.Route.Foreign != ""})
}

// anew is the progress, where the clock of the step begins anew because its traffic is written again.
func (v *view) anew() Progress {
	p := v.progress
	p.Rested = 0
	return p
}

// traffic is what the route should ask for, by the progress it remembers.
func (v *view) traffic() Traffic {
	if v.progress.Phase == PhaseStep {
		return v.stepTraffic(v.step())
	}
	return Traffic{Incumbent: v.incumbentTrack(), Total: v.total()}
}
