package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// step is the present step. A spec that was edited to fewer steps leaves the rollout in the last one.
func (v *view) step() v1alpha1.Step {
	return v.stepAt(v.progress.Step)
}

// index of the present step, likewise.
func (v *view) index() int { return min(v.progress.Step, max(len(v.Spec.Steps)-1, 0)) }

func (v *view) stepAt(index int) v1alpha1.Step {
	if len(v.Spec.Steps) == 0 {
		return v1alpha1.Step{}
	}
	return v.Spec.Steps[min(index, len(v.Spec.Steps)-1)]
}

// stepTraffic is the whole traffic state that a step asks for.
func (v *view) stepTraffic(step v1alpha1.Step) Traffic {
	t := v.TrafficOf(step)
	if v.progress.Phase != PhaseStep {
		t.Candidate = v.want
	}
	return t
}

// enter goes to a step: the copy gets its size first, then its traffic.
func (v *view) enter(p *Plan, index int) *Plan {
	size := v.stepSize(index)
	if v.candidate.Replicas < size {
		p.Actions = append(p.Actions, resize(v.want, v.candidate, size)...)
	}
	if v.candidate.Replicas < size || v.candidate.Ready < size {
		p.Status.WaitingFor = v.podsReady(size)
		return p
	}
	if !v.targetReady() {
		p.Status.WaitingFor = "a ready pod of the incumbent"
		return p
	}
	step := v.stepAt(index)
	traffic := v.stepTraffic(step)
	p.Status.State = v1alpha1.StateProgressing
	p.Reason = v1alpha1.ReasonProgressing
	p.Why = fmt.Sprintf("step %s: %s%s", v.position(index), traffic.Asked(), v.proof())
	p.Status.WaitingFor = "the mesh to take the step's traffic"
	if traffic.Weight > v.total()/2 {
		p.Actions = append(p.Actions, v.protected(v.want, v.candidate)...)
	}
	p.Actions = append(p.Actions, SetRoute{
		Traffic: traffic,
		Progress: Progress{
			Phase: PhaseStep, Incumbent: v.progress.Incumbent, OnCopy: v.progress.OnCopy, IncumbentUnproven: v.progress.IncumbentUnproven,
			Candidate: v.want, Step: index, Unproven: v.unproven(),
		},
		Event: v1alpha1.ReasonStepEntered,
	})
	return p
}

// proof tells how the step that is being left was passed, and by whom; empty where nothing was weighed, or said.
func (v *view) proof() string {
	if hastened := v.hastened(); hastened != nil {
		return "; promoted " + hastened.by()
	}
	if v.progress.Phase != PhaseStep {
		return ""
	}
	step, proof := v.step(), ""
	if v.Verdict != nil && v.weighs(step) && !v.leftUnproven(step) {
		proof = fmt.Sprintf("; step %s passed: %s", v.position(v.index()), v.Verdict.Message)
	}
	if step.Approval != nil {
		proof += "; " + v.approvalGate(&Plan{}, step.Approval).String()
	}
	return proof
}

// protected is the write that gives a copy which takes more than half of the traffic what keeps the workload's pods in
// number.
func (v *view) protected(revision string, track *workload.State) []Action {
	if track == nil || track.Protected {
		return nil
	}
	return []Action{Protect{Revision: revision}}
}

// unproven says whether a step of the candidate was left or skipped, or is about to be, without a Pass that it needed.
func (v *view) unproven() bool {
	next := 0
	if v.progress.Phase == PhaseStep {
		if v.progress.Unproven || v.leftUnproven(v.step()) {
			return true
		}
		next = v.index() + 1
	}
	hastened := v.hastened()
	return hastened != nil && hastened.Full && next < len(v.Spec.Steps) && slices.ContainsFunc(v.Spec.Steps[next:], v.weighs)
}

// isUnproven says likewise of a revision, as far as it is remembered.
func (v *view) isUnproven(revision string) bool {
	return (v.progress.Unproven && revision == v.progress.Candidate) || (v.progress.IncumbentUnproven && revision == v.progress.Incumbent)
}

func (v *view) leftUnproven(step v1alpha1.Step) bool {
	return v.unpassed(step) && (v.proceeds(step) || v.hastened() != nil)
}

// advance keeps a step until its gates are open, then goes on.
func advance(v *view) *Plan {
	if v.progress.Phase != PhaseStep {
		return nil
	}
	index := v.index()
	step := v.stepAt(index)
	p := doing(v1alpha1.StateProgressing, v1alpha1.ReasonProgressing, fmt.Sprintf("step %s", v.position(index)))
	if !v.settled(p) {
		again(p, v.routeDue())
		p.Status.WaitingFor = "the mesh to take the step's traffic"
		return p
	}
	closed := v.closed(v.gates(p, step))
	if paused := v.paused(); paused != nil {
		return v.stay(v.waitFor(p, index, step, closed), paused)
	}
	if len(closed) > 0 {
		return v.waitFor(p, index, step, closed)
	}
	if v.Spec.Suspend {
		p.Status.State, p.Reason = v1alpha1.StateSuspended, v1alpha1.ReasonSuspended
		p.Status.WaitingFor = "spec.suspend to be false"
		return p
	}
	if hastened := v.hastened(); index+1 >= len(v.Spec.Steps) || (hastened != nil && hastened.Full) {
		return v.promote(p)
	}
	p.Why = fmt.Sprintf("the gates of step %s are open", v.position(index))
	if v.unpassed(step) && v.proceeds(step) {
		p.Why = fmt.Sprintf("step %s is left unproven: its deadline of %s is over", v.position(index), step.Deadline.Duration)
	}
	return v.enter(p, index+1)
}

// stay keeps a rollout that somebody has paused where it is.
func (v *view) stay(p *Plan, paused *Word) *Plan {
	p.Status.State, p.Reason = v1alpha1.StatePaused, v1alpha1.ReasonPaused
	p.Status.WaitingFor = "somebody to resume it: paused " + paused.by()
	p.Why = v.trial() + " is paused " + paused.by()
	return p
}

// waitFor waits in a step whose gates are closed, at the size that the step asks for.
func (v *view) waitFor(p *Plan, index int, step v1alpha1.Step, closed []gate) *Plan {
	p.Actions = append(p.Actions, resize(v.want, v.candidate, v.stepSize(index))...)
	missing, whole := make([]string, len(closed)), make([]string, len(closed))
	for i, g := range closed {
		missing[i], whole[i] = g.missing, g.String()
	}
	p.Status.WaitingFor = strings.Join(missing, ", ")
	waits := strings.Join(whole, "; ")
	p.Why = fmt.Sprintf("step %s waits for %s", v.position(index), waits)
	p.Status.State, p.Reason = v1alpha1.StateWaiting, v1alpha1.ReasonProgressing
	if len(closed) > 0 {
		p.Reason = closed[0].reason
	}
	if step.Deadline != nil && v.paused() == nil && v.reached(p, v.due(step)) {
		p.Status.State, p.Reason = v1alpha1.StatePaused, v1alpha1.ReasonDeadlineOver
		p.Why = fmt.Sprintf("step %s is past its deadline of %s, and waits for %s", v.position(index), step.Deadline.Duration, waits)
	}
	return p
}

// position tells people where a step stands, such as 2/5.
func (v *view) position(index int) string {
	return fmt.Sprintf("%d/%d", index+1, len(v.Spec.Steps))
}
