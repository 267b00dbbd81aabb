package rollout

import (
	"slices"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// gate is one thing that keeps a step from being left.
type gate struct {
	// reason is a word for a condition, missing what it waits for in a few words, detail how far that is.
	reason, missing, detail string
}

// String tells all of it to a reader.
func (g gate) String() string {
	if g.detail == "" {
		return g.missing
	}
	return g.missing + ": " + g.detail
}

// suspicion is how often a share that seems off is looked at.
const suspicion = 5 * time.Second

// gates lists those gates of the step that are closed; when time alone will open one, it is noted
// to look again then.
func (v *view) gates(p *Plan, step v1alpha1.Step) []gate {
	var closed []gate
	if step.Hold != nil {
		if end := v.Route.TakenAt.Add(step.Hold.Duration); !v.reached(p, end) {
			closed = append(closed, gate{reason: v1alpha1.ReasonHolding, missing: "the hold to end at " + end.UTC().Format(time.TimeOnly)})
		}
	}
	if g := v.analysisGate(step); g != nil && !v.proceeds(step) {
		closed = append(closed, *g)
	}
	if reason, _ := v.misrouted(); reason != "" {
		again(p, v.now.Add(suspicion))
		closed = append(closed, gate{reason: v1alpha1.ReasonMisrouted, missing: "the mesh to send the candidate the share that was asked for"})
	}
	if step.Approval != nil {
		closed = append(closed, gate{reason: v1alpha1.ReasonApprovalNeeded, missing: "a person's approval"})
	}
	return closed
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

func (v *view) analysisGate(step v1alpha1.Step) *gate {
	switch {
	case !v.weighs(step):
		return nil
	case v.Outage != "":
		return &gate{reason: v1alpha1.ReasonMetricsUnavailable, missing: "metrics", detail: v.Outage}
	case v.Verdict == nil:
		return &gate{reason: v1alpha1.ReasonWeighing, missing: "the first numbers"}
	case v.Verdict.Outcome == v1alpha1.OutcomePass:
		return nil
	default:
		return &gate{reason: v1alpha1.ReasonWeighing, missing: "a verdict", detail: v.Verdict.Message}
	}
}

// proceeds says whether the step may be left unproven: its deadline is over, and it says Proceed.
func (v *view) proceeds(step v1alpha1.Step) bool {
	return step.OnDeadline == v1alpha1.DeadlineProceed && v.deadlineOver(step)
}

// deadlineOver says whether the step has a deadline, and is past it.
func (v *view) deadlineOver(step v1alpha1.Step) bool {
	return step.Deadline != nil && v.Route.Taken && !v.now.Before(v.Route.TakenAt.Add(step.Deadline.Duration))
}
