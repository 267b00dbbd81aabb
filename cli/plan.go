package cli

import (
	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/cli/plan"
)

// newPlanCommand says beforehand how a Rollout will go.
func newPlanCommand(s *session) *cobra.Command {
	var opts plan.Options
	cmd := &cobra.Command{
		Use:   "plan -f FILE --rps NUMBER",
		Short: "Say beforehand how a Rollout will go, without a cluster",
		Long:  plan.About,
		Example: `  # 200 requests per second, of which 0.1% fail today.
  kubectl weighlock plan -f rollout.yaml --rps 200 --baseline-errors 0.1%

  # The Rollout that is in the cluster.
  kubectl get rollout checkout -o yaml | kubectl weighlock plan -f - --rps 200`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.Check(cmd.Flags()); err != nil {
				return &exitError{code: ExitUsage, err: err}
			}
			return opts.Run(s.In, s.Out)
		},
	}
	opts.Bind(cmd.Flags())
	// It fails only where the flag isn't there.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
