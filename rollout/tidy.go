package rollout

import (
	"maps"
	"slices"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// idle is what is left when nothing is to be done: the workload serves its own template.
func idle(v *view) *Plan {
	p := doing(v1alpha1.StateIdle, "Idle", v.want+" serves")
	w := v.Workload
	p.Actions = append(p.Actions, v.recorded()...)
	if !w.Served {
		p.Actions = append(p.Actions, Serve{})
	}
	switch {
	case v.HeldByAdmission && w.Paused:
		p.Actions = append(p.Actions, Release{})
	case !v.HeldByAdmission && !w.Paused && w.Rolled:
		// Without the policy, only a workload that is paused already can be held in time.
		p.Actions = append(p.Actions, Hold{})
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

// tidy adds to a plan what goes along with any: a failure that a crash kept from being recorded, and a copy that serves
// and must follow the workload's size; and, where traffic is not moved, a pause that the admission policy made and that
// must become Weighlock's own (it would go with git's next write), and copies that have had no traffic for abortDelay.
func (v *view) tidy(p *Plan) {
	if v.Deleting {
		return
	}
	if c := v.progress.Candidate; v.progress.Phase == PhaseRolledBack {
		if record, known := v.Records[c]; known && record.Failed == "" {
			p.Actions = append([]Action{MarkFailed{Revision: c, Reason: v.progress.Reason}}, p.Actions...)
		}
	}
	if v.progress.OnCopy && v.incumbent != nil && v.incumbent.Replicas != v.size() {
		p.Actions = append(p.Actions, Scale{Revision: v.progress.Incumbent, Replicas: v.size()})
	}
	if v.progress.Phase == "" || slices.ContainsFunc(p.Actions, func(a Action) bool { _, is := a.(SetRoute); return is }) {
		return
	}
	if w := v.Workload; w != nil && w.Adopted && w.Paused && !w.Held && v.want != v.progress.Incumbent {
		p.Actions = append([]Action{Hold{}}, p.Actions...)
	}
	for _, revision := range sortedKeys(v.Copies) {
		if !v.inUse(revision) && !v.Copies[revision].Deleting && v.drained(p) {
			p.Actions = append(p.Actions, DeleteCopy{Revision: revision})
		}
	}
}

// inUse says whether a copy has traffic, or is about to have.
func (v *view) inUse(revision string) bool {
	if revision == v.progress.Incumbent && v.progress.OnCopy {
		return true
	}
	if v.progress.Phase == PhaseStep {
		return revision == v.progress.Candidate
	}
	return revision == v.want && v.want != v.progress.Incumbent && v.failed(v.want) == ""
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
