package rollout

import (
	"maps"
	"slices"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// after is the view as a plan leaves it, where people read in the status what became of what they said, or of the candidate: they read
// it once. It is nil where the status tells of the plan's beginning, as with steps, which are told of once the mesh has taken them.
func (v *view) after(p *Plan) *view {
	if len(p.Actions) == 0 {
		return nil
	}
	s, told := v.Snapshot, false
	s.Records, s.Decisions = map[string]workload.Record{}, slices.Clone(s.Decisions)
	maps.Copy(s.Records, v.Records)
	for _, action := range p.Actions {
		switch a := action.(type) {
		case Record:
			record := s.Records[a.Template.Revision]
			record.Template = a.Template
			s.Records[a.Template.Revision], told = record, true
		case MarkFailed:
			record := s.Records[a.Revision]
			record.Failed = a.Reason
			s.Records[a.Revision], told = record, true
		case Note:
			s.Route.Progress, told = &a.Progress, true
		case SetRoute:
			if !givesUp(a) && a.Event != v1alpha1.ReasonRetried {
				return nil
			}
			s.Route.Progress, s.Route.Taken, told = &a.Progress, false, true
		case Settle:
			s.Decisions = slices.DeleteFunc(s.Decisions, func(d Decision) bool { return d.UID == a.Decision.UID })
		}
	}
	if !told {
		return nil
	}
	next := newView(s, v.now)
	next.hear()
	return next
}

// givesUp says whether a write takes the candidate's traffic for good.
func givesUp(a SetRoute) bool {
	return a.Progress.Phase == PhaseRolledBack || a.Progress.Phase == PhaseSetBack
}

// foretell tells of a plan that remembers what people said what comes of that: it goes on, say, and waits for nobody. It doesn't say where
// traffic goes next: that is told once it is done, and something may come before it.
func (v *view) foretell(p *Plan) {
	if !slices.ContainsFunc(p.Actions, func(a Action) bool { _, is := a.(Note); return is }) {
		return
	}
	after := v.after(p)
	if after == nil {
		return
	}
	next := after.decide()
	if !slices.ContainsFunc(next.Actions, movesTraffic) {
		p.Status.State, p.Status.WaitingFor = next.Status.State, next.Status.WaitingFor
		p.Reason, p.Why, p.Stalled = next.Reason, next.Why, next.Stalled
		return
	}
	p.Status.State, p.Status.WaitingFor = v1alpha1.StateProgressing, ""
	p.Reason, p.Why = v1alpha1.ReasonProgressing, after.trial()+" goes on"
	if hastened := after.hastened(); hastened != nil {
		p.Why += ", promoted " + hastened.by()
	}
}
