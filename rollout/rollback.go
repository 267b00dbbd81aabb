package rollout

import (
	"fmt"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// rollback puts all traffic on the incumbent, first of all writes, when the candidate
// is bad. It waits for nothing but a ready pod of the incumbent.
func rollback(v *view) *Plan {
	reason := v.fault()
	if reason == "" {
		return nil
	}
	failed := v.progress.Candidate
	if v.progress.Phase != PhaseStep {
		failed = v.want
	}
	if v.progress.Phase == PhaseStep && !v.targetReady() {
		return v.targetUnready(reason)
	}
	back := v.retreat(PhaseRolledBack, failed, v1alpha1.ReasonRolledBack, reason)
	abort := v.heard.abort
	if abort != nil {
		back.Progress.Decided = []string{abort.UID}
	}
	p := doing(v1alpha1.StateRolledBack, v1alpha1.ReasonRolledBack, v.failure(failed, reason))
	if v.progress.Phase != PhaseStep {
		// It has no traffic, and may have no record either, which can't be made any more once git has gone on.
		p.Actions = append(p.Actions, v.recorded()...)
	}
	p.Actions = append(p.Actions, back, MarkFailed{Revision: failed, Reason: reason})
	if abort != nil {
		p.Actions = append(p.Actions, acted(*abort, "", "%s is rolled back", failed))
	}
	p.Status.WaitingFor = nextVersion
	p.Stalled = true
	return p
}

// nextVersion is what a rollout that was rolled back waits for.
const nextVersion = "another version"

// retreat is the write that puts all traffic on the incumbent, and remembers which candidate went, in which step.
func (v *view) retreat(phase Phase, candidate, event, reason string) SetRoute {
	back := v.serve(event, reason)
	back.Warning = true
	back.Progress.Phase, back.Progress.Candidate, back.Progress.Step = phase, candidate, v.progress.Step
	return back
}

// fault says why the candidate must go; empty when it needn't.
func (v *view) fault() string {
	if abort := v.heard.abort; abort != nil {
		return "aborted " + abort.by()
	}
	if v.progress.Phase != PhaseStep {
		// Not in traffic yet: the copy of a revision that is wanted, and hasn't failed before. One that is left over from an attempt
		// before says nothing of this one.
		if c := v.candidate; c != nil && c.Stuck != "" && !c.Deleting && v.progress.Tried == v.want && v.failed(v.want) == "" {
			return "the candidate never got ready: " + c.Stuck
		}
		return ""
	}
	switch {
	case v.candidate == nil || v.candidate.Deleting:
		return "the candidate's copy is gone"
	case v.Verdict != nil && v.Verdict.Outcome == v1alpha1.OutcomeFail && v.Route.Taken:
		return v.Verdict.Message
	case v.candidate.Stuck != "":
		return "the candidate does not get ready: " + v.candidate.Stuck
	case v.candidate.Ready == 0 && v.size() > 0 && v.stepTraffic(v.step()).Reaches():
		return "the candidate has no ready pod left"
	}
	step := v.step()
	if step.OnDeadline != v1alpha1.DeadlineRollback || v.Spec.Suspend || v.paused() != nil || !v.deadlineOver(step) {
		return ""
	}
	if closed := v.closed(v.gates(&Plan{}, step)); len(closed) > 0 {
		return fmt.Sprintf("the deadline of %s is over, and it still waits for %s", step.Deadline.Duration, closed[0])
	}
	return ""
}

// failed says why a revision was rolled back; empty when it wasn't.
func (v *view) failed(revision string) string {
	switch {
	case v.progress.Phase == PhaseRolledBack && v.progress.Candidate == revision:
		return v.progress.Reason
	case v.progress.Retried == revision:
		return ""
	default:
		return v.Records[revision].Failed
	}
}

// failure tells people of a rollback, and what they can do.
func (v *view) failure(revision, reason string) string {
	return fmt.Sprintf("%s was rolled back: %s. It stays held: commit another version or the one before, or retry it", revision, reason)
}
