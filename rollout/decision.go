package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// heard is what follows from the decisions that are pending.
type heard struct {
	// progress with what was decided; changed says that it is another than before.
	progress Progress
	changed  bool
	// settled are the decisions of which no more is to be done; noted those of which that is so once progress is remembered.
	settled, noted []Settle
	// waits says that what follows is heard once progress is remembered: a decision that changes nothing after one that does would,
	// heard anew after a crash in between, undo it.
	waits bool
	// abort and retry are those that a policy acts on.
	abort, retry *Decision
	// again is when to look again at one that can't be judged yet; zero for none.
	again time.Time
}

// hear looks at the decisions that are pending, in their order. What comes after an abort or a retry is looked at when that was acted on.
func (v *view) hear() {
	h := &v.heard
	h.changed = v.forget()
	h.progress = v.progress
	h.progress.Approvals, h.progress.Decided = slices.Clip(v.progress.Approvals), slices.Clip(v.progress.Decided)
	for _, d := range v.Decisions {
		switch {
		case slices.Contains(v.progress.Decided, d.UID):
			h.settled = append(h.settled, acted(d, "", "taken into account: %s %s", d.Verb, d.by()))
		case v.Deleting:
			h.refuse(d, v1alpha1.DecisionSuperseded, "the Rollout is being deleted")
		case d.Void != "":
			h.refuse(d, v1alpha1.DecisionSuperseded, "%s", d.Void)
		case d.Unchecked != "":
			h.refuse(d, v1alpha1.DecisionRejected, "nothing has checked who decided: %s", d.Unchecked)
		case v.progress.Phase == "":
			// It waits until the workload is adopted.
		case v.behind(d):
			h.again = v.now.Add(time.Second)
		case v.acts(d):
			return
		default:
			v.listen(d)
		}
	}
}

// forget drops a pause and a promotion of a revision that isn't tried any more: when it is tried again that is another rollout, of
// which nobody has said a thing. It says whether there was one.
func (v *view) forget() bool {
	if v.want == "" {
		return false // What is tried can't be known.
	}
	over, trial := false, v.trial()
	if v.isSetBack() {
		trial = v.want // It is tried again, by another spec.
	}
	for _, word := range []**Word{&v.progress.Paused, &v.progress.Hastened} {
		if *word != nil && (*word).Revision != trial {
			*word, over = nil, true
		}
	}
	return over
}

// catchUp is how long a cache may take to show the spec that a decision is about.
const catchUp = time.Minute

// behind says whether a decision is about a newer spec than the one that is known: its author saw that, and the cache doesn't yet.
func (v *view) behind(d Decision) bool {
	return d.Verb == v1alpha1.VerbApprove && d.Generation > v.Generation && v.now.Before(d.At.Add(catchUp))
}

// acts says whether a decision is one that a policy acts on, and notes it.
func (v *view) acts(d Decision) bool {
	switch {
	case d.Verb == v1alpha1.VerbAbort && d.Revision == v.trial():
		v.heard.abort = &d
	case d.Verb == v1alpha1.VerbRetry && d.Revision == v.want && v.retriable() && v.Workload.Replicas > 0:
		v.heard.retry = &d
	default:
		return false
	}
	return true
}

// listen notes a decision that is remembered, or that comes to nothing.
func (v *view) listen(d Decision) {
	h := &v.heard
	if why := v.stale(d); why != "" {
		h.refuse(d, v1alpha1.DecisionSuperseded, "%s", why)
		return
	}
	if h.waits {
		return
	}
	word := d.word(v.Generation)
	switch d.Verb {
	case v1alpha1.VerbApprove:
		v.approve(d, word)
	case v1alpha1.VerbPause:
		if paused := h.progress.Paused; paused != nil {
			h.needless(d, "%s is paused already, %s", d.Revision, paused.by())
			return
		}
		h.progress.Paused = &word
		h.take(d, v1alpha1.ReasonPaused, "%s is paused %s", d.Revision, d.by())
	case v1alpha1.VerbResume:
		if h.progress.Paused == nil {
			h.needless(d, "%s is not paused", d.Revision)
			return
		}
		v.unpause()
		h.take(d, v1alpha1.ReasonResumed, "%s is resumed %s", d.Revision, d.by())
	case v1alpha1.VerbPromote:
		v.unpause()
		h.progress.Hastened = &word
		what := "leaves step " + v.position(v.index()) + " whatever gate is closed"
		if d.Full {
			what = "goes past all steps that are left"
		}
		if v.Spec.Suspend {
			what += ", once spec.suspend is false"
		}
		h.take(d, v1alpha1.ReasonHastened, "%s %s, promoted %s", d.Revision, what, d.by())
	case v1alpha1.VerbRetry:
		h.refuse(d, v1alpha1.DecisionRejected, "the workload has no pods: scale it up first")
	case v1alpha1.VerbAbort:
		h.refuse(d, v1alpha1.DecisionRejected, "there is nothing to abort")
	}
}

// unpause ends a pause. The clock of the step's deadline, which stood still meanwhile, goes on.
func (v *view) unpause() {
	h := &v.heard
	h.progress.Rested += v.resting(h.progress.Paused)
	h.progress.Paused = nil
}

// resting is for how long a pause has kept the clock of the present step's deadline from going, up to now.
func (v *view) resting(paused *Word) time.Duration {
	if paused == nil || v.progress.Phase != PhaseStep || !v.Route.Taken {
		return 0
	}
	return max(0, v.now.Sub(later(paused.At, v.Route.TakenAt)))
}

// stale says why a decision is about something that is over, or not reached; empty when it isn't.
func (v *view) stale(d Decision) string {
	trial := v.trial()
	switch {
	case d.Verb == v1alpha1.VerbRetry && d.Revision != v.want:
		return fmt.Sprintf("the workload asks for %s, not for %s: commit that again to try it", v.want, d.Revision)
	case d.Verb == v1alpha1.VerbRetry && !v.retriable():
		return d.Revision + " has not failed"
	case d.Verb == v1alpha1.VerbRetry:
		return ""
	case d.Revision == v.progress.Incumbent:
		return d.Revision + " is the incumbent already: its rollout is over. Commit the version before to go back"
	case trial != d.Revision && v.failed(d.Revision) != "":
		return d.Revision + " was rolled back already: " + v.failed(d.Revision)
	case trial == "":
		return "no rollout is under way"
	case trial != d.Revision:
		return fmt.Sprintf("the candidate is %s by now, and not %s", trial, d.Revision)
	case d.Verb == v1alpha1.VerbApprove && d.Generation != 0 && d.Generation != v.Generation:
		return "the Rollout's spec was changed since: look at it again"
	case d.Step == nil || d.Full || (d.Verb != v1alpha1.VerbApprove && d.Verb != v1alpha1.VerbPromote):
		return ""
	case v.progress.Phase != PhaseStep:
		return fmt.Sprintf("%s is not in its first step yet", d.Revision)
	case int(*d.Step) < v.index():
		return fmt.Sprintf("step %s was left already: it is in step %s", v.position(int(*d.Step)), v.position(v.index()))
	case int(*d.Step) > v.index():
		return fmt.Sprintf("step %s is not reached yet: it is in step %s", v.position(int(*d.Step)), v.position(v.index()))
	default:
		return ""
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// trial is the revision that is tried: in a step, or on its way to the first; empty when there is none.
func (v *view) trial() string {
	switch {
	case v.progress.Phase == PhaseStep:
		return v.progress.Candidate
	case v.want == "" || v.want == v.progress.Incumbent || v.failed(v.want) != "" || v.isSetBack():
		return ""
	default:
		return v.want
	}
}

// take notes a decision that took effect.
func (h *heard) take(d Decision, event, format string, args ...any) {
	h.changed = true
	h.progress.Decided = append(h.progress.Decided, d.UID)
	h.noted = append(h.noted, acted(d, event, format, args...))
}

// refuse notes a decision that comes to nothing, whatever else was said.
func (h *heard) refuse(d Decision, outcome v1alpha1.DecisionOutcome, format string, args ...any) {
	h.settled = append(h.settled, refused(d, outcome, format, args...))
}

// needless notes a decision that changes nothing after what was said before it. Where that is heard in the same plan it waits, with
// all that follows it.
func (h *heard) needless(d Decision, format string, args ...any) {
	if h.waits = h.changed; !h.waits {
		h.refuse(d, v1alpha1.DecisionSuperseded, format, args...)
	}
}

func refused(d Decision, outcome v1alpha1.DecisionOutcome, format string, args ...any) Settle {
	event := v1alpha1.ReasonDecisionSuperseded
	if outcome == v1alpha1.DecisionRejected {
		event = v1alpha1.ReasonDecisionRejected
	}
	return Settle{Decision: d, Outcome: outcome, Message: fmt.Sprintf(format, args...), Event: event}
}

// acted is the report of the decision that a policy has acted on.
func acted(d Decision, event, format string, args ...any) Settle {
	return Settle{Decision: d, Outcome: v1alpha1.DecisionApplied, Message: fmt.Sprintf(format, args...), Event: event}
}

// paused is who keeps the rollout where it is; nil when nobody does. A pause counts as soon as it is heard, its end once that is
// remembered with the route: else the write that moves on would drop it.
func (v *view) paused() *Word {
	if v.progress.Paused != nil {
		return v.progress.Paused
	}
	return v.heard.progress.Paused
}

// hastened is who has the present step left, or all of them, whatever gate is closed; nil when nobody does.
func (v *view) hastened() *Word { return v.progress.Hastened }

// absorb adds to a plan what the decisions that are pending ask for. Where it moves traffic they wait for the next one, which
// knows where that went.
func (v *view) absorb(p *Plan) {
	h := &v.heard
	again(p, h.again)
	v.count(p)
	if slices.ContainsFunc(p.Actions, movesTraffic) {
		return
	}
	var actions []Action
	for _, s := range h.settled {
		actions = append(actions, s)
	}
	if h.changed && v.Route.Holds(v.traffic()) {
		actions = append(actions, Note{Traffic: v.traffic(), Progress: h.progress})
		for _, s := range h.noted {
			actions = append(actions, s)
		}
	}
	p.Actions = append(actions, p.Actions...)
}

// carry puts into the writes of progress the decisions whose outcome a crash may keep from being reported.
func (v *view) carry(p *Plan) {
	for i, action := range p.Actions {
		switch a := action.(type) {
		case SetRoute:
			v.number(&a.Progress)
			a.Progress.Decided = v.pending(append(slices.Clone(v.progress.Decided), a.Progress.Decided...))
			p.Actions[i] = a
		case Note:
			a.Progress.Decided = v.pending(a.Progress.Decided)
			p.Actions[i] = a
		}
	}
}

// pending are those UIDs that are of decisions without an outcome.
func (v *view) pending(uids []string) []string {
	var pending []string
	for _, d := range v.Decisions {
		if slices.Contains(uids, d.UID) {
			pending = append(pending, d.UID)
		}
	}
	return pending
}
