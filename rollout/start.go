package rollout

import (
	"fmt"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// start makes the copy of a new template, and enters the first step once it is ready.
func start(v *view) *Plan {
	if v.progress.Phase == PhaseStep || v.want == v.progress.Incumbent {
		return nil
	}
	if p := v.natively(); p != nil {
		return p
	}
	if reason := v.failed(v.want); reason != "" {
		p := waiting(v1alpha1.StateRolledBack, "RolledBack", v.failure(v.want, reason), "another version")
		p.Stalled = true
		return p
	}
	if v.Workload.Replicas == 0 && !v.progress.OnCopy {
		return v.atZero()
	}
	if v.Spec.Suspend {
		return waiting(v1alpha1.StateSuspended, "Suspended", v.want+" waits: the Rollout is suspended", "spec.suspend to be false")
	}
	size := v.stepSize(0)
	p := doing(v1alpha1.StateStarting, "Starting", v.want+" starts beside "+v.progress.Incumbent)
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
	if !c.Served {
		p.Actions = append(p.Actions, Copy{Revision: v.want, Replicas: max(size, c.Replicas)})
		return p
	}
	if len(v.Spec.Steps) == 0 {
		return v.promote(p)
	}
	return v.enter(p, 0)
}

// natively deals with a workload that does not wait for its steps: it was not held, or somebody resumed it. What has
// rolled is the incumbent: it serves already.
func (v *view) natively() *Plan {
	w := v.Workload
	if v.progress.OnCopy || w.Replicas == 0 {
		return nil
	}
	if len(w.Running) == 1 && w.Running[0] == v.want {
		return v.takeAsItIs(v.want+" was rolled out past its steps, and serves", SetRoute{
			Progress: Progress{Reason: "rolled out past its steps"}, Event: "RolledNatively", Warning: true,
		})
	}
	if !w.Paused {
		return waiting(v1alpha1.StateWaiting, "RollsNatively",
			fmt.Sprintf("the workload %s was not held, and rolls to %s by itself: is the admission policy weighlock-hold installed, and has nobody resumed it?", w.Name, v.want), "the workload to finish rolling")
	}
	if len(w.Running) > 1 || (len(w.Running) == 1 && w.Running[0] != v.progress.Incumbent) {
		return v.mixed()
	}
	return nil
}

// atZero takes a new template as it is where there are no pods, and so no users, to protect.
func (v *view) atZero() *Plan {
	return v.takeAsItIs("the workload has no pods: "+v.want+" is taken without steps", SetRoute{
		Progress: Progress{Reason: "taken at zero replicas"}, Event: "TakenAtZero",
	})
}

// takeAsItIs makes the workload's template the incumbent without steps. Route says how that is told.
func (v *view) takeAsItIs(why string, route SetRoute) *Plan {
	route.Traffic = Traffic{Total: v.total}
	route.Progress.Phase, route.Progress.Incumbent = PhaseServing, v.want
	return doing(v1alpha1.StateProgressing, route.Event, why, append(v.recorded(), route)...)
}

// recorded is the write that keeps the workload's template, where it isn't kept yet.
func (v *view) recorded() []Action {
	if _, known := v.Records[v.want]; known {
		return nil
	}
	return []Action{Record{Template: v.Workload.Template}}
}

// mixed says that a workload was frozen in mid-roll, which only a person can resolve.
func (v *view) mixed() *Plan {
	return stall("Mixed", fmt.Sprintf("the workload %s is paused while its pods run %s: resume it to let it finish", v.Workload.Name, strings.Join(v.Workload.Running, " and ")))
}
