package rollout

import (
	"maps"
	"slices"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// idle is what is left when nothing is to be done: the workload serves its own template.
func idle(v *view) *Plan {
	p := doing(v1alpha1.StateIdle, v1alpha1.ReasonIdle, v.want+" serves")
	w := v.Workload
	p.Actions = append(p.Actions, v.recorded()...)
	if !w.Served {
		p.Actions = append(p.Actions, Serve{})
	}
	// Without the policy, only a workload that is paused already can be held in time. At zero it is not: a paused one
	// might start nothing when it is scaled up, or pods of an old template; nor while it is a mix, which a pause would keep.
	held := !v.HeldByAdmission && w.Replicas > 0 && w.Rolled
	switch {
	case w.Paused && !held:
		p.Actions = append(p.Actions, Release{})
	case !w.Paused && held:
		p.Actions = append(p.Actions, Hold{})
	}
	if v.want == v.progress.Incumbent {
		p.tries = new("")
	}
	if keep := v.keep(); len(keep) > 0 && len(p.Actions) == 0 {
		p.Actions = append(p.Actions, Forget{Keep: keep})
	}
	return p
}

// recordLimit is how many templates are kept for idle workloads.
const recordLimit = 10

// keep lists the records to keep when there are too many; empty when there aren't.
func (v *view) keep() []string {
	if len(v.Records) <= recordLimit {
		return nil
	}
	revisions := slices.SortedFunc(maps.Keys(v.Records), func(a, b string) int {
		return int(v.Records[b].Number - v.Records[a].Number)
	})
	kept := revisions[:recordLimit]
	for _, needed := range append(sortedKeys(v.Copies), v.progress.Incumbent) {
		if !slices.Contains(kept, needed) {
			kept = append(kept, needed)
		}
	}
	return kept
}

// tidy adds to a plan what goes along with any: a failure that is to be recorded still, or to be forgotten, and a copy that serves
// and must follow the workload's size; and, where traffic is not moved, what keeps the tracks safe, and the removal of
// copies that have had no traffic for abortDelay.
func (v *view) tidy(p *Plan) {
	if v.Deleting {
		return
	}
	if c := v.progress.Candidate; v.progress.Phase == PhaseRolledBack {
		record, known := v.Records[c]
		switch mark := (MarkFailed{Revision: c, Reason: v.progress.Reason}); {
		case known && record.Failed == "":
			p.Actions = append([]Action{mark}, p.Actions...)
		case !known && c == v.want && c != "":
			p.Actions = append(append(v.recorded(), mark), p.Actions...)
		}
	}
	if r := v.progress.Retried; v.Records[r].Failed != "" {
		p.Actions = append([]Action{MarkFailed{Revision: r}}, p.Actions...)
	}
	if v.progress.OnCopy && v.incumbent != nil && v.incumbent.Template.Revision == v.progress.Incumbent {
		p.Actions = append(p.Actions, resize(v.progress.Incumbent, v.incumbent, v.size())...)
	}
	if slices.ContainsFunc(p.Actions, v.beginsWith) {
		p.Actions = append(v.brought(), p.Actions...)
	}
	if v.progress.Phase == "" || slices.ContainsFunc(p.Actions, movesTraffic) {
		return
	}
	p.Actions = append(append(v.holds(p), v.brought()...), p.Actions...)
	for _, revision := range sortedKeys(v.Copies) {
		c := v.Copies[revision]
		switch {
		case c.Deleting:
		case v.inUse(revision):
			p.Actions = append(p.Actions, v.upkeep(revision, c)...)
		case v.drained(p):
			p.Actions = append(p.Actions, DeleteCopy{Revision: revision})
		}
	}
}

func movesTraffic(a Action) bool {
	_, is := a.(SetRoute)
	return is
}

// brought is the write that keeps which commit brings a revision that was seen before: a git revert, say, or one that changes no more of
// the workload than its replicas. Who is asked about a revision in a step is asked about one commit until its end.
func (v *view) brought() []Action {
	if v.Workload == nil || v.progress.Phase == PhaseStep {
		return nil
	}
	record, known := v.Records[v.want]
	if commit := v.Workload.Template.Commit; !known || commit == "" || commit == record.Commit {
		return nil
	}
	return []Action{Record{Template: v.Workload.Template}}
}

// beginsWith says whether a write gives the revision that is wanted its first traffic.
func (v *view) beginsWith(a Action) bool {
	route, is := a.(SetRoute)
	return is && v.progress.Phase != PhaseStep && (route.Progress.Phase == PhaseStep || route.Progress.Incumbent != v.progress.Incumbent)
}

// holds lists the writes that keep the workload as it is: a pause that the admission policy made becomes Weighlock's
// own, or it would go with git's next write; and the autoscaler takes no pods away while a rollback may need them, nor
// while it still goes by what it measured then.
func (v *view) holds(p *Plan) []Action {
	var actions []Action
	w := v.Workload
	if w == nil {
		return nil
	}
	if w.Adopted && w.Paused && !w.Held && v.want != v.progress.Incumbent {
		actions = append(actions, Hold{})
	}
	scaler := v.Autoscaler
	switch {
	case scaler == nil || scaler.Guarded == v.underway():
	case !scaler.Guarded && v.Problem == nil:
		actions = append(actions, Guard{})
	case scaler.Guarded && v.unguarded(p):
		actions = append(actions, Unguard{})
	}
	return actions
}

// underway says that a rollout is, or that a copy serves: what is on the workload may be needed again.
func (v *view) underway() bool {
	return v.progress.Phase == PhaseStep || v.progress.OnCopy ||
		(v.want != v.progress.Incumbent && !v.stays() && !v.isSetBack() && v.Problem == nil && v.Obstacle == nil)
}

// guardMargin is how long, on top of its own window, an autoscaler is kept from acting on what it measured
// while the workload had only a part of the traffic.
const guardMargin = time.Minute

// unguarded says whether the workload has had all traffic for long enough to let its autoscaler take pods away.
func (v *view) unguarded(p *Plan) bool {
	return v.settled(p) && v.reached(p, v.Route.TakenAt.Add(v.Autoscaler.Window+guardMargin))
}

// upkeep lists the writes that make a copy again what it should be.
func (v *view) upkeep(revision string, c *workload.State) []Action {
	var actions []Action
	serves := v.progress.OnCopy && revision == v.progress.Incumbent
	if c.Template.Revision != revision {
		replicas := c.Replicas
		if serves {
			replicas = v.size()
		}
		actions = append(actions, Copy{Revision: revision, Replicas: replicas})
	}
	if !c.Permitted {
		actions = append(actions, Permit{Revision: revision})
	}
	if serves {
		actions = append(actions, v.protected(revision, c)...)
	}
	return actions
}

// inUse says whether a copy has traffic, or is about to have.
func (v *view) inUse(revision string) bool {
	if revision == v.progress.Incumbent && (v.progress.OnCopy || v.displaced()) {
		return true
	}
	if v.progress.Phase == PhaseStep {
		return revision == v.progress.Candidate
	}
	return revision == v.want && v.want != v.progress.Incumbent && v.failed(v.want) == "" && !v.isSetBack()
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
