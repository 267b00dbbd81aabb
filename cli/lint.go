package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/cli/lint"
)

// newLintCommand finds what is wrong with manifests before they reach a cluster.
func newLintCommand(s *session) *cobra.Command {
	var out report
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint FILE|FOLDER|- ...",
		Short: "Find what is wrong with manifests, without a cluster",
		Long: `Find what is wrong with manifests of Weighlock: Rollouts, AnalysisTemplates, GitSources and Decisions. Each finding is told with file, line and column.

It holds them against the rules of the API server, and against what Weighlock would refuse later: queries and selectors that can't be filled in, steps that
the router can't do, two Rollouts of one workload. AnalysisTemplates are looked up among the files; those that aren't there are taken to be in the cluster.
It asks no cluster. Other kinds are left alone, unless it is only their apiVersion by which they are others: where that is missing, or a slip of Weighlock's,
it is told. The patches of kustomizations in folders are left alone too, being parts of objects. Links to files are followed, those to folders where they
are named.

It exits with 1 where there are errors, or with --strict warnings or nothing to check, and else with 0.`,
		Example: `  # All manifests of a folder and below.
  kubectl weighlock lint deploy/

  # What a kustomization comes to.
  kubectl kustomize deploy/production | kubectl weighlock lint -

  # For other programs.
  kubectl weighlock lint -o json deploy/`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			found, err := lint.Check(args, s.In)
			if err != nil {
				return err
			}
			if out.isData() {
				err = out.print(s.Out, found)
			} else {
				s.printFindings(&found)
			}
			if err != nil {
				return err
			}
			if found.Errors() > 0 || strict && (len(found.Findings) > 0 || found.Objects == 0) {
				return exitWith(ExitError)
			}
			return nil
		},
	}
	out.bind(cmd, "text")
	cmd.Flags().BoolVar(&strict, "strict", false, "Fail for warnings too, and where there is nothing to check.")
	return cmd
}

// printFindings writes findings, and sums up for people.
func (s *session) printFindings(found *lint.Report) {
	p := s.palette()
	for _, finding := range found.Findings {
		text := clean(finding.String())
		if finding.Severity == lint.Warning {
			text = p.wait(text)
		}
		s.line("%s", text)
	}
	sum := fmt.Sprintf("%s of Weighlock in %s", counted(found.Objects, "object"), counted(found.Files, "file"))
	switch errors := found.Errors(); {
	case len(found.Findings) == 0 && found.Objects == 0:
		fmt.Fprintln(s.ErrOut, "nothing to check: "+sum)
	case len(found.Findings) == 0:
		s.line("%s", p.good(sum+": no fault found"))
	default:
		fmt.Fprintf(s.ErrOut, "%s: %s, %s\n", sum, counted(errors, "error"), counted(len(found.Findings)-errors, "warning"))
	}
}

// counted is a number of things.
func counted(number int, thing string) string {
	if number == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", number, thing)
}
