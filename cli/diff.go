package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
)

// newDiffCommand shows what the candidate has that the incumbent hasn't.
func newDiffCommand(s *session) *cobra.Command {
	var from, to string
	var code bool
	var context int
	cmd := &cobra.Command{
		Use:   "diff [NAME]",
		Short: "Show how the candidate differs from the incumbent",
		Long: `Show how the candidate's pod template differs from the incumbent's, as Weighlock keeps both. After a rollback the candidate is the one that failed.

It exits with 0, or with --exit-code with 1 where they differ, and with 128 where that can't be told.`,
		Example: `  # What is being tried?
  kubectl weighlock diff checkout

  # Two revisions that history tells of, by name or commit.
  kubectl weighlock diff checkout --from 5d9f2c --to 7f9c6d`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeRollout,
		RunE: func(cmd *cobra.Command, args []string) error {
			if context < 0 {
				return usagef("--unified %d: it is a number of lines", context)
			}
			differ, err := s.diff(cmd.Context(), args, from, to, context)
			switch {
			case code && exitCode(err) == ExitError:
				return &exitError{code: exitUntold, err: err}
			case code && differ:
				return exitWith(ExitError)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "The revision, or commit, that is compared with. The default is the incumbent.")
	cmd.Flags().StringVar(&to, "to", "", "The revision, or commit, that is compared. The default is the candidate.")
	cmd.Flags().IntVarP(&context, "unified", "U", 3, "How many lines are shown around each difference.")
	cmd.Flags().BoolVar(&code, "exit-code", false, "Exit with 1 where there are differences, and with 128 for errors.")
	return cmd
}

// diff prints how two revisions differ, and says whether they do.
func (s *session) diff(ctx context.Context, args []string, from, to string, context int) (bool, error) {
	rollout, err := s.rollout(ctx, args)
	if err != nil {
		return false, err
	}
	records, err := s.kept(ctx, rollout)
	if err != nil {
		return false, err
	}
	old, err := choose(rollout, records, from, rollout.Status.Incumbent, "incumbent", "--from")
	if err != nil {
		return false, err
	}
	tried, err := choose(rollout, records, to, rollout.Status.Candidate, "candidate", "--to")
	if err != nil {
		return false, err
	}
	texts := [2][]string{}
	for i, record := range []*appsv1.ControllerRevision{old, tried} {
		body, err := yaml.JSONToYAML(record.Data.Raw)
		if err != nil {
			return false, fmt.Errorf("read the pod template in ControllerRevision %s: %w", record.Name, err)
		}
		texts[i] = difflib.SplitLines(strings.TrimSuffix(string(body), "\n"))
	}
	unified, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: texts[0], B: texts[1], FromFile: title(old), ToFile: title(tried), Context: context,
	})
	if err != nil {
		return false, fmt.Errorf("compare %s with %s: %w", old.Name, tried.Name, err)
	}
	if unified == "" {
		fmt.Fprintln(s.ErrOut, "no difference")
		return false, nil
	}
	s.printDiff(unified)
	return true, nil
}

// keptOf are the revisions of a Rollout that Weighlock keeps, in a list of ControllerRevisions.
func keptOf(rollout *v1alpha1.Rollout) []client.ListOption {
	return []client.ListOption{client.InNamespace(rollout.Namespace), client.MatchingLabels{v1alpha1.LabelRollout: naming.LabelValue(rollout.Name)}}
}

// kept lists them.
func (s *session) kept(ctx context.Context, rollout *v1alpha1.Rollout) ([]appsv1.ControllerRevision, error) {
	api, err := s.client()
	if err != nil {
		return nil, err
	}
	records := &appsv1.ControllerRevisionList{}
	if err := api.List(ctx, records, keptOf(rollout)...); err != nil {
		return nil, fmt.Errorf("list the revisions of %s/%s: %w", rollout.Namespace, rollout.Name, err)
	}
	return records.Items, nil
}

// choose is the record of the revision that was asked for, or else of one that the status tells of.
func choose(rollout *v1alpha1.Rollout, records []appsv1.ControllerRevision, asked string, usual *v1alpha1.RevisionStatus, role, flag string) (*appsv1.ControllerRevision, error) {
	if asked == "" && usual == nil {
		return nil, fmt.Errorf("%s: there is no %s: %s (%s names a revision, and history tells of them)", rollout.Name, role, standing(rollout), flag)
	}
	if asked == "" {
		asked = usual.Revision
	}
	var known, fit []string
	var found *appsv1.ControllerRevision
	for i := range records {
		record := &records[i]
		revision := recordedRevision(record)
		known = append(known, revision.Revision)
		switch {
		case revision.Revision == asked:
			return record, nil
		case isRevision(revision, asked):
			found, fit = record, append(fit, called(revision))
		}
	}
	switch len(fit) {
	case 0:
		return nil, fmt.Errorf("%s: revision %s isn't kept, but %s", rollout.Name, asked, strings.Join(known, ", "))
	case 1:
		return found, nil
	}
	return nil, fmt.Errorf("%s: %s %s may be each of %s: write more of it", rollout.Name, flag, asked, strings.Join(fit, ", "))
}

// title names a revision in the head of a comparison.
func title(record *appsv1.ControllerRevision) string {
	revision := recordedRevision(record)
	name := "revision " + revision.Revision
	if revision.Commit != "" {
		name += "\tcommit " + revision.Commit
		if revision.Author != "" {
			name += " by " + revision.Author
		}
	}
	return name
}

// printDiff prints a comparison, in the colours that such have.
func (s *session) printDiff(unified string) {
	p := s.palette()
	for line := range strings.Lines(unified) {
		line = strings.TrimRight(line, "\n")
		code := ""
		switch {
		case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"):
			code = bold
		case strings.HasPrefix(line, "@@"):
			code = cyan
		case strings.HasPrefix(line, "-"):
			code = red
		case strings.HasPrefix(line, "+"):
			code = green
		}
		s.line("%s", p.paint(code, clean(line)))
	}
}
