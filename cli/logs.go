package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// telling is what logs is asked for.
type telling struct {
	out    report
	follow bool
	since  time.Duration
	tail   int
	from   time.Time
}

// newLogsCommand tells why things happened.
func newLogsCommand(s *session) *cobra.Command {
	var t telling
	cmd := &cobra.Command{
		Use:     "logs [NAME]",
		Aliases: []string{"log", "events"},
		Short:   "Tell why things happened, in the order of time",
		Long: `Tell why a rollout did what it did, oldest first: its events, the decisions of people with their outcome, and the verdict on each step. It is not the
log of the controller.

Clusters keep events for an hour unless told otherwise; decisions and the steps of the last rollout stay.`,
		Example: `  # Why was it rolled back?
  kubectl weighlock logs checkout

  # All of it, for a report.
  kubectl weighlock logs checkout -o json | jq '.[] | select(.kind == "Event")'

  # What happens from now on.
  kubectl weighlock logs checkout --follow --tail 0`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeRollout,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.out.check(); err != nil {
				return err
			}
			if t.since < 0 {
				return usagef("--since %s is no time that has passed: write 10m or 2h", t.since)
			}
			if t.since > 0 {
				t.from = s.clock.Now().Add(-t.since)
			}
			rollout, err := s.rollout(cmd.Context(), args)
			if err != nil {
				return err
			}
			if t.follow {
				return s.followLogs(cmd.Context(), &t, rollout)
			}
			api, err := s.client()
			if err != nil {
				return err
			}
			entries, err := newChronicler(s).whys(cmd.Context(), api, rollout, client.MatchingFieldsSelector{Selector: eventsOf(rollout)})
			if err != nil {
				return err
			}
			entries = t.last(entries)
			if t.out.isData() {
				return t.out.print(s.Out, entries)
			}
			return s.printWhys(&t, entries)
		},
	}
	t.out.bind(cmd, "")
	cmd.Flags().BoolVarP(&t.follow, "follow", "f", false, "Go on, and print what happens: with --output, each on its own.")
	cmd.Flags().DurationVar(&t.since, "since", 0, "Only what is not older, such as 10m or 2h. The default is all.")
	cmd.Flags().IntVar(&t.tail, "tail", -1, "Only the last lines, that many. The default is all.")
	return cmd
}

// last are those entries that are asked for.
func (t *telling) last(entries []entry) []entry {
	entries = slices.DeleteFunc(entries, func(e entry) bool { return e.At.Before(t.from) })
	if t.tail >= 0 && len(entries) > t.tail {
		entries = entries[len(entries)-t.tail:]
	}
	return entries
}

// eventsOf are the events of a Rollout.
func eventsOf(rollout *v1alpha1.Rollout) fields.Selector {
	return fields.OneTermEqualSelector("involvedObject.uid", string(rollout.UID))
}

// whys gathers what explains a Rollout, oldest first. Of the events it looks at those that only leaves.
func (c *chronicler) whys(ctx context.Context, api client.Reader, rollout *v1alpha1.Rollout, only ...client.ListOption) ([]entry, error) {
	entries, err := c.deeds(ctx, api, rollout)
	if err != nil {
		return nil, err
	}
	told := map[string]bool{}
	for _, e := range entries {
		told[e.Message] = e.Message != ""
	}
	events := &corev1.EventList{}
	err = api.List(ctx, events, append(only, client.InNamespace(rollout.Namespace))...)
	if err := c.leaveOut(err, "events"); err != nil {
		return nil, err
	}
	var messages strings.Builder
	for i := range events.Items {
		event := &events.Items[i]
		if event.InvolvedObject.UID != rollout.UID {
			continue
		}
		messages.WriteString(event.Message + "\n")
		// That a decision has an outcome is told with it.
		if !told[event.Message] {
			entries = append(entries, eventEntry(event))
		}
	}
	// A step that nothing is known of yet, or whose verdict an event tells, is told already.
	entries = slices.DeleteFunc(entries, func(e entry) bool {
		return e.Kind == kindStep && (e.Outcome == "" || e.Why != "" && strings.Contains(messages.String(), e.Why))
	})
	sortEntries(entries)
	return entries, nil
}

// printWhys prints a line for each entry, or each as data of its own.
func (s *session) printWhys(t *telling, entries []entry) error {
	p := s.palette()
	for _, e := range entries {
		if !t.out.isData() {
			s.line("%s", e.line().paint(p))
		} else if err := t.out.print(s.Out, e); err != nil {
			return err
		}
	}
	return nil
}

// line tells an entry in a line.
func (e *entry) line() text {
	tint := outcomeTint(e.Outcome)
	line := painted(faint, clockTime(e.At)).and(span{text: "  "})
	switch e.Kind {
	case kindEvent:
		return line.and(span{text: fmt.Sprintf("%-16s", e.What), code: cmp.Or(tint, bold)}, span{text: "  " + e.Why})
	case kindStep:
		line = line.and(span{text: fmt.Sprintf("%-16s", kindStep), code: bold}, span{text: fmt.Sprintf("  %s of %s", e.What, e.Revision)})
		if e.Outcome != "" {
			line = line.and(span{text: ": "}, span{text: e.Outcome, code: tint})
		}
		if e.Why != "" {
			line = line.and(span{text: ", " + e.Why})
		}
		return line
	}
	line = line.and(span{text: fmt.Sprintf("%-16s", kindDecision), code: bold}, span{text: fmt.Sprintf("  %s through %s: %s of %s", e.By, e.Via, e.What, e.Revision)})
	if e.Why != "" {
		line = line.and(span{text: ", because " + e.Why})
	}
	line = line.and(span{text: ": "}, span{text: e.Outcome, code: tint})
	if e.Message != "" && e.Outcome != string(v1alpha1.DecisionApplied) {
		line = line.and(span{text: ", " + e.Message})
	}
	return line
}

// followLogs prints what explains a Rollout as it comes. What is told once isn't told again, unless it says something new.
func (s *session) followLogs(ctx context.Context, t *telling, rollout *v1alpha1.Rollout) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	kinds, err := s.visible(ctx, rollout.Namespace,
		kind{object: &corev1.Event{}, list: &corev1.EventList{}, only: eventsOf(rollout)}, kind{object: &v1alpha1.Decision{}, list: &v1alpha1.DecisionList{}})
	if err != nil {
		return err
	}
	e, err := s.open(ctx, sight{namespace: rollout.Namespace, name: rollout.Name, kinds: kinds})
	if err != nil {
		return err
	}
	told, first := map[string]bool{}, true
	c := newChronicler(s)
	return each(ctx, e, func() (bool, error) {
		now, err := e.rollout(ctx, rollout)
		if err != nil {
			return true, s.ended(err, rollout, !t.out.isData())
		}
		entries, err := c.whys(ctx, e, now)
		if err != nil {
			return true, err
		}
		var news []entry
		for _, entry := range entries {
			if id := entry.news(); !told[id] {
				told[id] = true
				news = append(news, entry)
			}
		}
		if first {
			news = t.last(news)
		}
		first = false
		return false, s.printWhys(t, news)
	})
}

// news is by what an entry is known. The verdict on a step changes with each poll until the step is left: it is told again only when it says something else.
func (e *entry) news() string {
	why := e.Why
	if e.Kind == kindStep {
		why = ""
	}
	return strings.Join([]string{e.Kind, e.Name, e.Revision, strings.TrimSuffix(e.What, ", now"), e.Outcome, why, e.At.String()}, "\x00")
}
