package rollout

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Decision is what somebody said, and what was not acted on yet.
type Decision struct {
	Name string
	// UID tells it from another that had its name before.
	UID string
	v1alpha1.DecisionSpec
	// At is when it was said.
	At time.Time
	// Unchecked says why nobody has checked who said it; empty when the cluster has.
	Unchecked string
	// Void says why it is not about this Rollout, though it names it; empty when it is.
	Void string
}

// by tells people who said it, through what and why.
func (d Decision) by() string { return by(d.Actor, d.Person, d.Via, d.Reason) }

// reasonLimit is how much of a reason is remembered with the route, in runes: an object's annotations have a limit. The decision
// itself has all of it.
const reasonLimit = 256

// word is the decision as progress remembers it.
func (d Decision) word(generation int64) Word {
	reason := d.Reason
	if runes := []rune(reason); len(runes) > reasonLimit {
		reason = string(runes[:reasonLimit-1]) + "…"
	}
	return Word{
		Decision: d.Name, Revision: d.Revision, Actor: d.Actor, Person: d.Person, Via: d.Via, Reason: reason,
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
func (w Word) by() string { return by(w.Actor, w.Person, w.Via, w.Reason) }

func by(actor, person, via, reason string) string {
	text := "by " + actor
	if person != "" {
		text += " (" + person + ")"
	}
	if via != "" {
		text += " through " + via
	}
	if reason != "" {
		text += ": " + reason
	}
	return text
}

// who is the person behind a word, by the name that is known best.
func (w Word) who() string { return cmp.Or(w.Person, w.Actor) }

// voice is a word as the status tells it.
func (w Word) voice() v1alpha1.Voice {
	return v1alpha1.Voice{Actor: cmp.Or(w.Actor, "unknown"), Via: w.Via, Reason: w.Reason, At: metav1.NewTime(w.At)}
}
