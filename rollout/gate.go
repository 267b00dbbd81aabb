package rollout

import (
	"slices"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// The gates of a step, as the status names them.
const (
	GateHold     = "hold"
	GateAnalysis = "analysis"
	GateApproval = "approval"
	gateShare    = "share"
)

// gate is one thing that must be true for a step to be left.
type gate struct {
	// name of the gate as the status has it, and reason as a condition has it.
	name, reason string
	open         bool
	// missing is what it waits for, in a few words, while it is closed; detail how far that is, or why it is open.
	missing, detail string
}

// String tells all of it to a reader.
func (g gate) String() string {
	if g.missing == "" || g.detail == "" {
		return g.missing + g.detail
	}
	return g.missing + ": " + g.detail
}

// suspicion is how often a share that seems off is looked at.
const suspicion = 5 * time.Second

// gates lists those of a step; when time alone will open or close one, it is noted to look again then.
func (v *view) gates(p *Plan, step v1alpha1.Step) []gate {
	var gates []gate
	if step.Hold != nil {
		end := v.Route.TakenAt.Add(step.Hold.Duration)
		g := gate{name: GateHold, reason: v1alpha1.ReasonHolding, detail: "held for " + step.Hold.Duration.String()}
		if g.open = v.reached(p, end); !g.open {
			g.missing, g.detail = "the hold to end at "+end.UTC().Format(time.TimeOnly), ""
		}
		gates = append(gates, g)
	}
	if v.weighs(step) {
		gates = append(gates, v.analysisGate(step))
	}
	if reason, _ := v.misrouted(); reason != "" {
		again(p, v.now.Add(suspicion))
		gates = append(gates, gate{name: gateShare, reason: v1alpha1.ReasonMisrouted, missing: "the mesh to send the candidate the share that was asked for"})
	}
	if step.Approval != nil {
		gates = append(gates, v.approvalGate(p, step.Approval))
	}
	return gates
}

// closed are the gates that keep the step from being left.
func (v *view) closed(gates []gate) []gate {
	return slices.DeleteFunc(slices.Clone(gates), func(g gate) bool {
		return g.open || (v.hastened() != nil && g.reason != v1alpha1.ReasonMisrouted)
	})
}

// weigh asks for the verdict on the present step, whatever keeps it from being left: a bad candidate must go even
// when the Rollout is Stalled.
func (v *view) weigh(p *Plan) {
	if v.Deleting || v.progress.Phase != PhaseStep || !v.Route.Taken || slices.ContainsFunc(p.Actions, movesTraffic) {
		return
	}
	p.Weigh = v.weighs(v.step())
}

// remember puts the verdict on a step into the write that leaves it.
func (v *view) remember(p *Plan) {
	if v.progress.Phase != PhaseStep || v.Verdict == nil {
		return
	}
	for i, action := range p.Actions {
		route, is := action.(SetRoute)
		if next := route.Progress; !is || (next.Phase == PhaseStep && next.Step == v.progress.Step && next.Candidate == v.progress.Candidate) {
			continue
		}
		route.Progress.Left = &Left{Outcome: v.Verdict.Outcome, Message: v.Verdict.Message}
		p.Actions[i] = route
	}
}

// weighs says whether analysis has a say in the step: only where the candidate gets requests.
func (v *view) weighs(step v1alpha1.Step) bool {
	return v.Spec.Analysis != nil && v.stepTraffic(step).Reaches()
}

func (v *view) analysisGate(step v1alpha1.Step) gate {
	g := gate{name: GateAnalysis, reason: v1alpha1.ReasonWeighing}
	switch {
	case v.Outage != "":
		g.reason, g.missing, g.detail = v1alpha1.ReasonMetricsUnavailable, "metrics", v.Outage
	case v.Verdict == nil:
		g.missing = "the first numbers"
	case v.Verdict.Outcome == v1alpha1.OutcomePass:
		g.open, g.detail = true, v.Verdict.Message
	default:
		g.missing, g.detail = "a verdict", v.Verdict.Message
	}
	if !g.open && v.proceeds(step) {
		g.open, g.missing, g.detail = true, "", "left unproven: the deadline is over"
	}
	return g
}

// unpassed says whether analysis has a say in the step, and has not let it pass.
func (v *view) unpassed(step v1alpha1.Step) bool {
	return v.weighs(step) && (v.Outage != "" || v.Verdict == nil || v.Verdict.Outcome != v1alpha1.OutcomePass)
}

// proceeds says whether the step may be left unproven: its deadline is over, and it says Proceed.
func (v *view) proceeds(step v1alpha1.Step) bool {
	return step.OnDeadline == v1alpha1.DeadlineProceed && v.deadlineOver(step)
}

// due is when the deadline of the present step is over. Its clock stands still during a pause.
func (v *view) due(step v1alpha1.Step) time.Time {
	return v.Route.TakenAt.Add(step.Deadline.Duration + v.progress.Rested + v.resting(v.paused()))
}

// deadlineOver says whether the step has a deadline, and is past it.
func (v *view) deadlineOver(step v1alpha1.Step) bool {
	return step.Deadline != nil && v.Route.Taken && !v.now.Before(v.due(step))
}
