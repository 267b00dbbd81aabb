package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// entry is one thing that happened to a Rollout.
type entry struct {
	// At is when it happened, or began.
	At time.Time `json:"at"`
	// Kind is Revision, Step, Decision or Event.
	Kind string `json:"kind"`
	// Revision that it is about, and the commit that brought this.
	Revision string `json:"revision,omitempty"`
	Commit   string `json:"commit,omitempty"`
	// What happened.
	What string `json:"what"`
	// By whom, and through what.
	By  string `json:"by,omitempty"`
	Via string `json:"via,omitempty"`
	// Outcome in a word, and Why in a sentence: of a decision the reason that was given.
	Outcome string `json:"outcome,omitempty"`
	Why     string `json:"why,omitempty"`
	// Message is what Weighlock said of a decision.
	Message string `json:"message,omitempty"`
	// Name of the object that tells of it.
	Name string `json:"name,omitempty"`
}

// The kinds of entries, in the order in which they stand when they happened in the same second.
const (
	kindRevision = "Revision"
	kindDecision = "Decision"
	kindStep     = "Step"
	kindEvent    = "Event"
)

// chronicler gathers what happened to a Rollout. What the user may not see is left out, and told of once.
type chronicler struct {
	out  io.Writer
	told map[string]bool
}

func newChronicler(s *session) *chronicler {
	return &chronicler{out: s.ErrOut, told: map[string]bool{}}
}

// history gathers the revisions of a Rollout, its last steps and its decisions, oldest first.
func (c *chronicler) history(ctx context.Context, api client.Reader, rollout *v1alpha1.Rollout) ([]entry, error) {
	entries, err := c.deeds(ctx, api, rollout)
	if err != nil {
		return nil, err
	}
	revisions := &appsv1.ControllerRevisionList{}
	err = api.List(ctx, revisions, keptOf(rollout)...)
	if err := c.leaveOut(err, "controllerrevisions.apps"); err != nil {
		return nil, err
	}
	commits := map[string]string{}
	for i := range revisions.Items {
		made := revisionEntry(rollout, &revisions.Items[i])
		commits[made.Revision] = made.Commit
		entries = append(entries, made)
	}
	for i := range entries {
		entries[i].Commit = cmp.Or(entries[i].Commit, commits[entries[i].Revision])
	}
	sortEntries(entries)
	return entries, nil
}

// deeds gathers the last steps of a Rollout and its decisions.
func (c *chronicler) deeds(ctx context.Context, api client.Reader, rollout *v1alpha1.Rollout) ([]entry, error) {
	entries := []entry{} // which other programs are to find also where there is nothing in it
	for i := range rollout.Status.AnalysisHistory {
		entries = append(entries, stepEntry(rollout, i))
	}
	decisions := &v1alpha1.DecisionList{}
	err := api.List(ctx, decisions, client.InNamespace(rollout.Namespace))
	if err := c.leaveOut(err, "decisions.weighlock.dev"); err != nil {
		return nil, err
	}
	for i := range decisions.Items {
		if decisions.Items[i].Spec.Rollout == rollout.Name {
			entries = append(entries, decisionEntry(rollout, &decisions.Items[i]))
		}
	}
	return entries, nil
}

// leaveOut tells what is missing because the user may not see it. All other errors are returned.
func (c *chronicler) leaveOut(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case !unseen(err):
		return fmt.Errorf("list %s: %w", what, err)
	case !c.told[what]:
		c.told[what] = true
		fmt.Fprintf(c.out, "this is without %s, which you may not list\n", what)
	}
	return nil
}

func sortEntries(entries []entry) {
	order := []string{kindRevision, kindDecision, kindStep, kindEvent}
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(a.At.Truncate(time.Second).Compare(b.At.Truncate(time.Second)),
			cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), a.At.Compare(b.At))
	})
}

// revisionEntry tells of a pod template: when it was first seen, and what became of it.
func revisionEntry(rollout *v1alpha1.Rollout, record *appsv1.ControllerRevision) entry {
	revision := recordedRevision(record)
	made := entry{
		At: record.CreationTimestamp.Time, Kind: kindRevision, Name: record.Name, What: "first seen",
		Revision: revision.Revision, Commit: revision.Commit, By: revision.Author,
	}
	status := &rollout.Status
	switch {
	case revision.Failed != "":
		made.Outcome, made.Why = "rolled back", revision.Failed
	case status.Incumbent != nil && status.Incumbent.Revision == made.Revision:
		made.Outcome = "serves"
	case status.Candidate != nil && status.Candidate.Revision == made.Revision && underWay(rollout):
		made.Outcome = "is tried"
	}
	return made
}

// stepEntry tells of a step of the last rollout.
func stepEntry(rollout *v1alpha1.Rollout, index int) entry {
	record := &rollout.Status.AnalysisHistory[index]
	what := fmt.Sprintf("step %d", record.Step+1)
	if record.Name != "" {
		what += " " + record.Name
	}
	if record.Traffic != "" {
		what += " (" + record.Traffic + ")"
	}
	made := entry{
		At: record.Since.Time, Kind: kindStep, Revision: record.Candidate, What: what, Outcome: string(record.Outcome), Why: record.Message,
	}
	if record.Until == nil && underWay(rollout) {
		made.What += ", now"
	}
	return made
}

// decisionEntry tells of what somebody decided.
func decisionEntry(rollout *v1alpha1.Rollout, d *v1alpha1.Decision) entry {
	what := string(d.Spec.Verb)
	switch {
	case d.Spec.Full:
		what += " past all steps"
	case d.Spec.Step != nil:
		what += " step " + strings.Fields(position(rollout, int(*d.Spec.Step)))[0]
	}
	by := d.Spec.Actor
	if d.Spec.Person != "" {
		by = fmt.Sprintf("%s (%s)", d.Spec.Person, by)
	}
	return entry{
		At: d.CreationTimestamp.Time, Kind: kindDecision, Name: d.Name, Revision: d.Spec.Revision, What: what, By: by, Via: d.Spec.Via,
		Outcome: cmp.Or(string(d.Status.Outcome), "pending"), Why: d.Spec.Reason, Message: d.Status.Message,
	}
}

// eventEntry tells of an event.
func eventEntry(e *corev1.Event) entry {
	at := e.LastTimestamp.Time
	if at.IsZero() {
		at = e.EventTime.Time
	}
	if at.IsZero() {
		at = e.FirstTimestamp.Time
	}
	message := e.Message
	if e.Count > 1 {
		message += fmt.Sprintf(" (%d times)", e.Count)
	}
	outcome := ""
	if e.Type != corev1.EventTypeNormal {
		outcome = e.Type
	}
	return entry{At: at, Kind: kindEvent, Name: e.Name, What: e.Reason, Outcome: outcome, Why: message}
}
