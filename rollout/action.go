package rollout

import (
	"fmt"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// Action is one write. Its String is what golden logs show.
type Action interface {
	fmt.Stringer
	action()
}

// The actions. Each is idempotent.
type (
	// Adopt labels the workload as held.
	Adopt struct{}
	// Disown takes the labels off again; with a reason, that is annotated as why it is left paused.
	Disown struct{ Reason string }
	// Hold pauses the workload.
	Hold struct{}
	// Release lets the workload roll to its template.
	Release struct{}
	// Record keeps a template, and which commit brings it now.
	Record struct{ Template workload.Template }
	// MarkFailed remembers that a revision was rolled back.
	MarkFailed struct{ Revision, Reason string }
	// Forget drops the records of all revisions but these.
	Forget struct{ Keep []string }
	// Serve makes the workload's track service.
	Serve struct{}
	// Unserve removes the workload's track service.
	Unserve struct{}
	// Copy makes the copy that runs a revision.
	Copy struct {
		Revision string
		Replicas int32
	}
	// Guard keeps the workload's autoscaler from taking pods away.
	Guard struct{}
	// Unguard lets it again.
	Unguard struct{}
	// Protect gives a copy the autoscaler and the disruption budget that the workload has.
	Protect struct{ Revision string }
	// Permit brings a copy's network policies up to date.
	Permit struct{ Revision string }
	// Scale sets a copy's replicas, or with an empty revision raises the workload's.
	Scale struct {
		Revision string
		Replicas int32
	}
	// DeleteCopy removes a copy.
	DeleteCopy struct{ Revision string }
	// SetRoute asks the mesh for traffic, and remembers progress.
	SetRoute struct {
		Traffic  Traffic
		Progress Progress
		// Event is the reason of the event that tells of it; empty for none.
		Event string
		// Warning makes it a warning.
		Warning bool
	}
	// Note remembers progress, where traffic stays and the step goes on.
	Note struct {
		Traffic  Traffic
		Progress Progress
	}
	// Settle reports what became of a decision.
	Settle struct {
		Decision Decision
		Outcome  v1alpha1.DecisionOutcome
		// Message says why, in a sentence. Event is the reason of the event that tells of it; empty for none.
		Message, Event string
	}
	// ReleaseRoute leaves the root service as it was found.
	ReleaseRoute struct{}
	// Finish lets the Rollout go.
	Finish struct{}
)

func (Adopt) action()        {}
func (Disown) action()       {}
func (Hold) action()         {}
func (Release) action()      {}
func (Record) action()       {}
func (MarkFailed) action()   {}
func (Forget) action()       {}
func (Serve) action()        {}
func (Unserve) action()      {}
func (Copy) action()         {}
func (Guard) action()        {}
func (Unguard) action()      {}
func (Protect) action()      {}
func (Permit) action()       {}
func (Scale) action()        {}
func (DeleteCopy) action()   {}
func (SetRoute) action()     {}
func (Note) action()         {}
func (Settle) action()       {}
func (ReleaseRoute) action() {}
func (Finish) action()       {}

func (Adopt) String() string    { return "adopt the workload" }
func (Disown) String() string   { return "disown the workload" }
func (Hold) String() string     { return "hold the workload" }
func (Release) String() string  { return "release the workload" }
func (a Record) String() string { return "record " + a.Template.Revision }
func (a MarkFailed) String() string {
	if a.Reason == "" {
		return "forget that " + a.Revision + " failed"
	}
	return "mark " + a.Revision + " failed: " + a.Reason
}

func (a Forget) String() string { return "forget all but " + strings.Join(a.Keep, ", ") }
func (Serve) String() string    { return "make the workload's track service" }
func (Unserve) String() string  { return "remove the workload's track service" }
func (a Copy) String() string   { return fmt.Sprintf("copy %s with %d replicas", a.Revision, a.Replicas) }
func (Guard) String() string    { return "keep the autoscaler from taking pods away" }
func (Unguard) String() string  { return "give the autoscaler back" }
func (a Protect) String() string {
	return "give copy " + a.Revision + " an autoscaler and a disruption budget"
}

func (a Permit) String() string {
	return "bring the network policies of copy " + a.Revision + " up to date"
}

func (a Scale) String() string {
	return fmt.Sprintf("scale %s to %d", trackName(a.Revision), a.Replicas)
}
func (a DeleteCopy) String() string { return "delete copy " + a.Revision }
func (ReleaseRoute) String() string { return "release the route" }
func (Finish) String() string       { return "let the rollout go" }
func (a SetRoute) String() string   { return fmt.Sprintf("route %s (%s)", a.Traffic, a.Progress.Phase) }

func (Note) String() string { return "remember progress" }
func (a Settle) String() string {
	return fmt.Sprintf("settle %s: %s, %s", a.Decision.Name, a.Outcome, a.Message)
}

// Told is the outcome for people who don't see the decision itself.
func (a Settle) Told() string {
	if a.Outcome == v1alpha1.DecisionApplied {
		return a.Message
	}
	return fmt.Sprintf("the decision to %s %s, %s, came to nothing: %s", a.Decision.Verb, a.Decision.Revision, a.Decision.by(), a.Message)
}

func trackName(track string) string {
	if track == "" {
		return "workload"
	}
	return track
}

// String tells the traffic to a reader, such as "workload 95/100, b 5/100".
func (t Traffic) String() string {
	if t.Candidate == "" {
		return "all to " + trackName(t.Incumbent)
	}
	s := fmt.Sprintf("%s %d/%d, %s %d/%d", trackName(t.Incumbent), t.Total-t.Weight, t.Total, t.Candidate, t.Weight, t.Total)
	if len(t.Match) > 0 {
		s += " + match"
	}
	if t.Shadow > 0 {
		s += fmt.Sprintf(" + shadow %d%%", t.Shadow)
	}
	return s
}
