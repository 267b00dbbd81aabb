package rollout

import (
	"fmt"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// finalize lets a deleted Rollout go: traffic to the workload first, then the route,
// then what was made. A workload that holds a template which isn't the incumbent's stays paused: releasing
// it would deploy a version that was rejected, or that nobody weighed, to everybody.
func finalize(v *view) *Plan {
	if !v.Deleting {
		return nil
	}
	if v.Workload == nil {
		return doing(v1alpha1.StateDeleting, v1alpha1.ReasonDeleting, "the workload is gone: removing what was made", v.cleanup(Finish{})...)
	}
	if v.Route.Exists && v.progress.Phase != "" {
		if p := v.bringHome(); p != nil {
			return p
		}
		return doing(v1alpha1.StateDeleting, v1alpha1.ReasonDeleting, "all traffic is on the workload: giving the service back", ReleaseRoute{})
	}
	p := doing(v1alpha1.StateDeleting, v1alpha1.ReasonDeleting, "removing what was made")
	if v.Route.Exists {
		p.Actions = append(p.Actions, ReleaseRoute{})
		return p
	}
	if made := len(v.Copies) > 0 || v.Workload.Served; made && !v.reached(p, v.Route.GoneSince.Add(v.abortDelay())) {
		p.Status.WaitingFor = "connections to drain"
		return p
	}
	var parting []Action
	if v.Autoscaler != nil && v.Autoscaler.Guarded {
		parting = append(parting, Unguard{})
	}
	if !v.Workload.Adopted {
		p.Actions = v.cleanup(append(parting, Finish{})...)
		return p
	}
	reason := ""
	switch {
	case !v.Workload.Paused:
	case v.releasable():
		parting = append(parting, Release{})
	default:
		reason = fmt.Sprintf("its template is revision %s, which is not the incumbent: set the template back, or resume it to deploy that revision to everybody", v.want)
	}
	p.Actions = v.cleanup(append(parting, Disown{Reason: reason}, Finish{})...)
	return p
}

// releasable says whether a deletion may let the workload roll to its template.
func (v *view) releasable() bool {
	incumbent := v.progress.Incumbent
	if incumbent == "" && len(v.Workload.Running) == 1 {
		incumbent = v.Workload.Running[0]
	}
	return v.want == incumbent || incumbent == "" || v.Spec.DeletionPolicy == v1alpha1.DeletionRelease
}

// bringHome puts all traffic on the workload, and waits until the mesh has taken that; nil once it has. The other tracks
// drain after the route is gone.
func (v *view) bringHome() *Plan {
	home := Traffic{Total: v.total()}
	if !v.Route.Holds(home) {
		p := doing(v1alpha1.StateDeleting, v1alpha1.ReasonDeleting, "putting all traffic on the workload")
		if !v.habitable(p) {
			return p
		}
		p.Actions = append(p.Actions, SetRoute{
			Traffic:  home,
			Progress: Progress{Phase: PhaseServing, Incumbent: v.homeRevision(), Reason: "the Rollout is being deleted"},
			Event:    v1alpha1.ReasonReleased,
		})
		return p
	}
	p := waiting(v1alpha1.StateDeleting, v1alpha1.ReasonDeleting, "all traffic is on the workload", "the mesh to take the route")
	if !v.settled(p) {
		return p
	}
	if v.Autoscaler != nil && v.Autoscaler.Guarded && v.Workload.Replicas > 0 && !v.unguarded(p) {
		p.Status.WaitingFor = fmt.Sprintf("the autoscaler %s to have seen all traffic on the workload", v.Autoscaler.Name)
		return p
	}
	return nil
}

// habitable says whether the workload can take all traffic. If it can't, the plan does what helps, and says what it waits for.
func (v *view) habitable(p *Plan) bool {
	if v.progress.OnCopy && v.releasable() {
		return v.broughtUp(p, v.size())
	}
	if why := v.uninhabitable(); why != "" {
		p.Why = why + ": traffic stays where it is until its template is set back to the incumbent's, or spec.deletionPolicy is Release"
		p.Status.WaitingFor = "a workload that can serve"
		return false
	}
	if v.Workload.Ready == 0 && v.Workload.Replicas > 0 {
		p.Status.WaitingFor = "a ready pod of the workload"
		return false
	}
	return true
}

// uninhabitable says why a workload that stays paused can't take the traffic of a copy back: it runs nothing, a mix, or
// a revision that failed. Empty when it can.
func (v *view) uninhabitable() string {
	w := v.Workload
	switch {
	case v.releasable() || !w.Paused || w.Replicas == 0:
		return ""
	case len(w.Running) == 0:
		return v.mixture()
	case v.progress.OnCopy && (len(w.Running) > 1 || v.failed(w.Running[0]) != ""):
		return v.mixture()
	default:
		return ""
	}
}

// homeRevision is the revision that users get on the workload as it is.
func (v *view) homeRevision() string {
	if v.progress.OnCopy && !v.releasable() && len(v.Workload.Running) == 1 {
		return v.Workload.Running[0]
	}
	return v.progress.Incumbent
}

// cleanup removes all that was made for the Rollout, and then does the rest.
func (v *view) cleanup(rest ...Action) []Action {
	var actions []Action
	if v.Route.Exists {
		actions = append(actions, ReleaseRoute{})
	}
	for _, revision := range sortedKeys(v.Copies) {
		actions = append(actions, DeleteCopy{Revision: revision})
	}
	actions = append(actions, Unserve{}, Forget{})
	return append(actions, rest...)
}
