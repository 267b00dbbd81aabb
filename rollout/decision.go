package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Decision is what somebody said, and what was not acted on yet.
type Decision struct {
	Name string
	v1alpha1.DecisionSpec
	// At is when it was said.
	At time.Time
	// Unchecked says why nobody has checked who said it; empty when the cluster has.
	Unchecked string
	// Void says why it is not about this Rollout, though it names it; empty when it is.
	Void string
}

// by tells people who said it, through what and why.
func (d Decision) by() string { return d.word(0).by() }

// word is the decision as progress remembers it.
func (d Decision) word(generation int64) Word {
	return Word{
		Decision: d.Name, Revision: d.Revision, Actor: d.Actor, Person: d.Person, Via: d.Via, Reason: d.Reason,
		At: d.At, Generation: generation, Full: d.Full,
	}
}

// Word is a decision that is in force.
type Word struct {
	// Decision is the name of the object.
	Decision string `json:"decision"`
	// Revision that it is about.
	Revision string    `json:"revision"`
	Actor    string    `json:"actor"`
	Person   string    `json:"person,omitempty"`
	Via      string    `json:"via,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"`
	// Generation of the spec of which it was said.
	Generation int64 `json:"generation,omitempty"`
	// Full promotes past all steps.
	Full bool `json:"full,omitempty"`
}

// by tells people who said it, through what and why.
func (w Word) by() string {
	text := "by " + w.Actor
	if w.Person != "" {
		text += " (" + w.Person + ")"
	}
	if w.Via != "" {
		text += " through " + w.Via
	}
	if w.Reason != "" {
		text += ": " + w.Reason
	}
	return text
}

// Settle reports what became of a decision.
type Settle struct {
	Decision Decision
	Outcome  v1alpha1.DecisionOutcome
	// Message says why, in a sentence. Event is the reason of the event that tells of it; empty for none.
	Message, Event string
}

func (Settle) action() {}

// Told is the outcome for people who don't see the decision itself.
func (a Settle) Told() string {
	if a.Outcome == v1alpha1.DecisionApplied {
		return a.Message
	}
	return fmt.Sprintf("the decision to %s %s, %s, came to nothing: %s", a.Decision.Verb, a.Decision.Revision, a.Decision.by(), a.Message)
}

func (a Settle) String() string {
	return fmt.Sprintf("settle %s: %s, %s", a.Decision.Name, a.Outcome, a.Message)
}

// Note remembers progress, where traffic stays and the step goes on.
type Note struct {
	Traffic  Traffic
	Progress Progress
}

func (Note) action() {}

func (Note) String() string { return "remember progress" }

// heard is what follows from the decisions that are pending.
type heard struct {
	// progress with what was decided; changed says that it is another than before.
	progress Progress
	changed  bool
	// settled are the decisions that need no more than that, or nothing.
	settled []Settle
	// abort and retry are those that a policy acts on.
	abort, retry *Decision
}

// hear looks at the decisions that are pending, in their order. What comes after an abort or a retry is looked at when that was acted on.
func (v *view) hear() {
	h := &v.heard
	h.progress = v.progress
	h.progress.Approvals = slices.Clone(h.progress.Approvals)
	if v.progress.Phase == "" {
		return
	}
	for _, d := range v.Decisions {
		switch {
		case v.Deleting:
			h.refuse(d, v1alpha1.DecisionSuperseded, "the Rollout is being deleted")
		case d.Void != "":
			h.refuse(d, v1alpha1.DecisionSuperseded, "%s", d.Void)
		case d.Unchecked != "":
			h.refuse(d, v1alpha1.DecisionRejected, "nothing has checked who decided: %s", d.Unchecked)
		case v.acts(d):
			return
		case slices.Contains(v.progress.Decided, d.Name):
			h.settled = append(h.settled, acted(d, "", "taken into account: %s %s", d.Verb, d.by()))
		default:
			v.listen(d)
		}
	}
}

// acts says whether a decision is one that a policy acts on, and notes it.
func (v *view) acts(d Decision) bool {
	switch {
	case d.Verb == v1alpha1.VerbAbort && d.Revision == v.trial():
		v.heard.abort = &d
	case d.Verb == v1alpha1.VerbRetry && d.Revision == v.want && v.retriable():
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
	word := d.word(v.Generation)
	switch d.Verb {
	case v1alpha1.VerbApprove:
		v.approve(d, word)
	case v1alpha1.VerbPause:
		if paused := v.inForce(h.progress.Paused); paused != nil {
			h.refuse(d, v1alpha1.DecisionSuperseded, "%s is paused already, %s", d.Revision, paused.by())
			return
		}
		h.progress.Paused = &word
		h.take(d, v1alpha1.ReasonPaused, "%s is paused %s", d.Revision, d.by())
	case v1alpha1.VerbResume:
		if v.inForce(h.progress.Paused) == nil {
			h.refuse(d, v1alpha1.DecisionSuperseded, "%s is not paused", d.Revision)
			return
		}
		// The deadline's clock stood still meanwhile.
		h.progress.Rested += max(0, v.now.Sub(later(h.progress.Paused.At, v.Route.TakenAt)))
		h.progress.Paused = nil
		h.take(d, v1alpha1.ReasonResumed, "%s is resumed %s", d.Revision, d.by())
	case v1alpha1.VerbPromote:
		h.progress.Paused, h.progress.Hastened = nil, &word
		what := "leaves step " + v.position(v.index()) + " whatever gate is closed"
		if d.Full {
			what = "goes past all steps that are left"
		}
		if v.Spec.Suspend {
			what += ", once spec.suspend is false"
		}
		h.take(d, v1alpha1.ReasonHastened, "%s %s, promoted %s", d.Revision, what, d.by())
	case v1alpha1.VerbAbort, v1alpha1.VerbRetry:
		h.refuse(d, v1alpha1.DecisionRejected, "there is nothing to %s", d.Verb)
	}
}

// stale says why a decision is about something that is over, or not reached; empty when it isn't.
func (v *view) stale(d Decision) string {
	trial := v.trial()
	switch {
	case d.Verb == v1alpha1.VerbRetry && d.Revision != v.want:
		return fmt.Sprintf("the workload asks for %s, not for %s: commit that again to try it", v.want, d.Revision)
	case d.Verb == v1alpha1.VerbRetry:
		return d.Revision + " has not failed"
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
	h.progress.Decided = append(h.progress.Decided, d.Name)
	h.settled = append(h.settled, Settle{Decision: d, Outcome: v1alpha1.DecisionApplied, Message: fmt.Sprintf(format, args...), Event: event})
}

// refuse notes a decision that came to nothing.
func (h *heard) refuse(d Decision, outcome v1alpha1.DecisionOutcome, format string, args ...any) {
	event := v1alpha1.ReasonDecisionSuperseded
	if outcome == v1alpha1.DecisionRejected {
		event = v1alpha1.ReasonDecisionRejected
	}
	h.settled = append(h.settled, Settle{Decision: d, Outcome: outcome, Message: fmt.Sprintf(format, args...), Event: event})
}

// acted is the report of the decision that a policy has acted on.
func acted(d Decision, event, format string, args ...any) Settle {
	return Settle{Decision: d, Outcome: v1alpha1.DecisionApplied, Message: fmt.Sprintf(format, args...), Event: event}
}

// paused is who keeps the rollout where it is; nil when nobody does. A pause counts as soon as it is heard, its end once that is
// remembered with the route: else the write that moves on would drop it.
func (v *view) paused() *Word {
	if paused := v.inForce(v.progress.Paused); paused != nil {
		return paused
	}
	return v.inForce(v.heard.progress.Paused)
}

// hastened is who has the present step left, or all of them, whatever gate is closed; nil when nobody does.
func (v *view) hastened() *Word { return v.inForce(v.progress.Hastened) }

// inForce is a word on the revision that is tried; nil otherwise.
func (v *view) inForce(word *Word) *Word {
	if word == nil || word.Revision != v.trial() {
		return nil
	}
	return word
}

// absorb adds to a plan what the decisions that are pending ask for. Where it moves traffic they wait for the next one, which
// knows where that went.
func (v *view) absorb(p *Plan) {
	if slices.ContainsFunc(p.Actions, movesTraffic) {
		return
	}
	var actions []Action
	if v.heard.changed {
		if !v.Route.Holds(v.traffic()) {
			return
		}
		actions = append(actions, Note{Traffic: v.traffic(), Progress: v.heard.progress})
	}
	for _, settled := range v.heard.settled {
		actions = append(actions, settled)
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

// pending are those names that are of decisions without an outcome.
func (v *view) pending(names []string) []string {
	var pending []string
	for _, d := range v.Decisions {
		if slices.Contains(names, d.Name) {
			pending = append(pending, d.Name)
		}
	}
	return pending
}

// voice is a word as the status tells it.
func (w Word) voice() v1alpha1.Voice {
	return v1alpha1.Voice{Actor: cmp.Or(w.Actor, "unknown"), Via: w.Via, Reason: w.Reason, At: metav1.NewTime(w.At)}
}
