package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// when is how moments are written: they are compared with those of other systems, so that all is UTC.
const when = "2006-01-02 15:04:05Z"

// newHistoryCommand tells what was tried, and who decided what.
func newHistoryCommand(s *session) *cobra.Command {
	var out report
	cmd := &cobra.Command{
		Use:     "history [NAME]",
		Aliases: []string{"hist"},
		Short:   "Tell what was tried, and who decided what, when and why",
		Long: `Tell what happened to a Rollout, oldest first: the revisions that are kept, with their commits and authors, and what became of each; the decisions of
people, with who made them, through what, why, and the outcome; and the steps of the last rollout, with the verdict on each.

The last 20 decisions of a Rollout are kept. For an audit of longer, keep the API server's audit log: each decision is an object that somebody created.`,
		Example: `  # Who approved, and who aborted?
  kubectl weighlock history checkout

  # With the whole sentences, commits and names of objects.
  kubectl weighlock history checkout -o wide

  # All decisions, for a report.
  kubectl weighlock history checkout -o json | jq '.[] | select(.kind == "Decision")'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeRollout,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			rollout, err := s.rollout(cmd.Context(), args)
			if err != nil {
				return err
			}
			api, err := s.client()
			if err != nil {
				return err
			}
			entries, err := newChronicler(s).history(cmd.Context(), api, rollout)
			if err != nil {
				return err
			}
			if out.isData() {
				return out.print(s.Out, entries)
			}
			s.printHistory(entries, out.format == formatWide)
			return nil
		},
	}
	out.bind(cmd, "", formatWide)
	return cmd
}

// printHistory prints entries, oldest first.
func (s *session) printHistory(entries []entry, wide bool) {
	if len(entries) == 0 {
		fmt.Fprintln(s.ErrOut, "nothing has happened yet")
		return
	}
	t := &table{}
	if wide {
		t.head("WHEN", "REVISION", "COMMIT", "WHAT", "BY", "VIA", "OUTCOME", "WHY", "MESSAGE", "NAME")
	} else {
		t.head("WHEN", "REVISION", "WHAT", "BY", "VIA", "OUTCOME", "WHY")
	}
	for i := range entries {
		e := &entries[i]
		cells := []text{words(e.At.UTC().Format(when)), painted(cyan, e.Revision), words(e.What), words(e.By), words(e.Via), painted(outcomeTint(e.Outcome), e.Outcome)}
		if wide {
			cells = append(slices.Insert(cells, 2, words(e.Commit)), words(e.Why), words(e.Message), words(e.Name))
		} else {
			cells = append(cells, words(shorten(e.Why)))
		}
		t.add(cells...)
	}
	for _, line := range t.lines(s.palette(), 0) {
		s.line("%s", line)
	}
}

// outcomeTint is the colour of an outcome.
func outcomeTint(outcome string) string {
	switch outcome {
	case "Applied", "Pass", "serves":
		return green
	case "Rejected", "Fail", "rolled back", "Warning":
		return red
	case "Superseded", "Inconclusive", "pending", "is tried":
		return yellow
	}
	return ""
}

// clockTime is a moment in logs, which are read while they are written.
func clockTime(at time.Time) string { return at.UTC().Format(when) }
