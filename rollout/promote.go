package rollout

import (
	"fmt"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// promote makes the candidate the incumbent: its copy grows to the workload's size, then gets all
// traffic. The workload, without traffic from then on, is rolled by reunite.
func (v *view) promote(p *Plan) *Plan {
	c := v.candidate
	size := v.size()
	p.Status.State = v1alpha1.StatePromoting
	p.Reason = v1alpha1.ReasonPromoting
	p.Actions = append(p.Actions, resize(v.want, c, size)...)
	if len(p.Actions) > 0 || c.Ready < size {
		p.Why = "the gates of the last step are open: the copy grows to the workload's size"
		if hastened := v.hastened(); hastened != nil {
			p.Why = "promoted " + hastened.by() + ": the copy grows to the workload's size"
		}
		p.Status.WaitingFor = v.podsReady(size)
		return p
	}
	p.Why = v.want + " takes all traffic, and is the incumbent now" + v.proof()
	p.Actions = append(p.Actions, v.protected(v.want, c)...)
	p.Actions = append(p.Actions, SetRoute{
		Traffic:  Traffic{Incumbent: v.want, Total: v.total()},
		Progress: Progress{Phase: PhaseServing, Incumbent: v.want, OnCopy: true, IncumbentUnproven: v.unproven(), Reason: "promoted"},
		Event:    v1alpha1.ReasonPromoted,
	})
	return p
}

func (v *view) podsReady(size int32) string {
	ready := int32(0)
	if v.candidate != nil {
		ready = v.candidate.Ready
	}
	return fmt.Sprintf("pods of the candidate: %d of %d ready", ready, size)
}

// reunite brings the workload up to an incumbent that is served by a copy, and the traffic back. The
// workload rolls only after the mesh has taken its traffic away and connections drained, so that no
// request meets a pod that is being replaced.
func reunite(v *view) *Plan {
	if v.progress.Phase != PhaseServing || !v.progress.OnCopy || v.want != v.progress.Incumbent {
		return nil
	}
	p := doing(v1alpha1.StatePromoting, v1alpha1.ReasonPromoting, "the copy serves while the workload is brought up to "+v.want)
	size := v.size()
	if v.incumbent == nil || !v.incumbent.Served {
		p.Why = "the copy that serves is gone: making it again"
		p.Actions = append(p.Actions, Copy{Revision: v.want, Replicas: size})
	}
	if !v.broughtUp(p, size) {
		return p
	}
	p.Why = "the workload runs " + v.want + ": all traffic is back on it"
	p.Actions = append(p.Actions, SetRoute{
		Traffic:  Traffic{Total: v.total()},
		Progress: Progress{Phase: PhaseServing, Incumbent: v.want, IncumbentUnproven: v.progress.IncumbentUnproven, Reason: "promoted, and back on the workload"},
		Event:    v1alpha1.ReasonCompleted,
	})
	return p
}

// broughtUp says whether a workload that has no traffic runs its own template, at a size. If it doesn't, it is released
// to it once connections have drained.
func (v *view) broughtUp(p *Plan, size int32) bool {
	w := v.Workload
	if w.Paused {
		if !v.drained(p) {
			p.Status.WaitingFor = "connections to the workload to drain"
			return false
		}
		p.Actions = append(p.Actions, Release{})
	}
	if w.Replicas < size {
		// The copy's autoscaler has added to it: the workload takes over as many.
		p.Actions = append(p.Actions, Scale{Replicas: size})
	}
	if w.Paused || !w.Rolled || (size > 0 && !runs(w, v.want)) || w.Ready < size {
		p.Status.WaitingFor = fmt.Sprintf("the workload to roll: %d of %d pods ready", min(w.Ready, w.Replicas), w.Replicas)
		return false
	}
	return true
}
