package rollout

import (
	"fmt"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// setBack puts all traffic on the incumbent when the mesh does not do what a step asks of it: it doesn't
// take the route, or sends the candidate another share of the requests. The candidate isn't to blame, and isn't marked
// as failed; another commit, or another spec of the Rollout, is tried.
func setBack(v *view) *Plan {
	if v.progress.Phase != PhaseStep {
		return nil
	}
	event, reason := v.disobedience()
	if event == "" {
		return nil
	}
	if !v.targetReady() {
		return v.targetUnready(reason)
	}
	back := v.retreat(PhaseSetBack, v.progress.Candidate, event, reason)
	back.Progress.Generation, back.Progress.Paused = v.Generation, v.keptPause()
	p := doing(v1alpha1.StateStalled, v1alpha1.ReasonSetBack, setBackMessage(v.progress.Candidate, reason), back)
	p.Stalled = true
	return p
}

// isSetBack says whether the revision that is wanted was set back, and nothing changed since.
func (v *view) isSetBack() bool {
	return v.progress.Phase == PhaseSetBack && v.progress.Candidate == v.want && v.progress.Generation == v.Generation
}

func setBackMessage(revision, reason string) string {
	return fmt.Sprintf("%s was set back: %s. It stays held; mend the mesh or the Rollout's spec, which tries it again, or commit another version", revision, reason)
}

// disobedience says what the mesh does otherwise than asked; empty when it obeys, or may yet.
func (v *view) disobedience() (event, reason string) {
	if reason := v.overdue(); reason != "" {
		return v1alpha1.ReasonRouteNotTaken, reason
	}
	if reason, sure := v.misrouted(); sure {
		return v1alpha1.ReasonMisrouted, reason
	}
	return "", ""
}

// overdue says that the mesh has not taken the route in time.
func (v *view) overdue() string {
	if v.Route.Taken || v.now.Before(v.routeDue()) {
		return ""
	}
	return fmt.Sprintf("the mesh has not taken the route within %s (spec.routeDeadline)", v.routeDeadline())
}

func (v *view) routeDue() time.Time { return v.Route.WrittenAt.Add(v.routeDeadline()) }

func (v *view) routeDeadline() time.Duration {
	if v.Spec.RouteDeadline == nil {
		return 5 * time.Minute
	}
	return v.Spec.RouteDeadline.Duration
}

// mirrorSlack is how much of what should be copied proxies may drop: no user waits for a copy.
const mirrorSlack = 0.05

// enough requests, of those that count when a step began with another share, to leave the step by.
const enough = 100

// misrouted says that the candidate's share of the requests since the step began can't be chance. It is sure once the
// same is true of those that came after analysis.ShareGrace: proxies take a route one after the other, and not all meshes
// tell when the last one has.
func (v *view) misrouted() (reason string, sure bool) {
	if v.Measured == nil || !v.Route.Taken {
		return "", false
	}
	reason = v.off(v.Measured.Share())
	if reason == "" || v.MeasuredLate == nil {
		return reason, false
	}
	late := v.MeasuredLate.Share()
	if off := v.off(late); off != "" {
		return off, true
	}
	few := late.All < enough || len(v.step().Match) > 0 // a match is found out by what it leaves over: that takes many
	if few && v.now.Before(v.Route.TakenAt.Add(2*analysis.ShareGrace)) {
		return reason, false
	}
	return "", false
}

// off says how a share of the requests differs from what the step asks for; empty when that may be chance.
func (v *view) off(share analysis.Portion) string {
	t := v.stepTraffic(v.step())
	asked := t.Share()
	switch {
	case len(t.Match) > 0 && t.Weight > 0:
		return "" // what a match takes isn't known before
	case len(t.Match) > 0:
		// But one that leaves nothing over is no match.
		if share.Above(1 - 4*analysis.ShareMargin) {
			return fmt.Sprintf("the candidate got %s, though only those that match should be: the mesh does not match headers, or all requests match", share)
		}
		return ""
	case t.Mirrors() && !share.Above(min(1, asked+mirrorSlack)) && !share.Below(max(0, asked-mirrorSlack)):
		return ""
	case share.Above(asked) || share.Below(asked):
		return fmt.Sprintf("the candidate got %s, and %s was asked for: the mesh does not honour that, or takes longer than it was given", share, t.Asked())
	default:
		return ""
	}
}

// untaken says that the mesh has not taken a route for too long that isn't a step's: where all traffic is on the
// incumbent there is nothing to set back to, and nothing more to begin.
func untaken(v *view) *Plan {
	reason := v.overdue()
	if v.progress.Phase == PhaseStep || reason == "" {
		return nil
	}
	return stall(v1alpha1.ReasonRouteNotTaken, reason+": see to the mesh's control plane; the rollout goes on when it has")
}
