// Package demo shows a good and a bad version of a shop go live under constant
// load, from commit to end, and says what users saw of it.
package demo

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/stack"
	"github.com/weighlock/weighlock/local/up"
)

// defaultRate is that of users' requests per second, by which the demo's goals
// are meant.
const defaultRate = 200

// Command is the subcommand that starts a stack, shows the demo on it, and
// ends with an error unless all went as it should.
func Command() *cobra.Command {
	var options stack.Options
	var rate float64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start the whole stack and take a good and a bad version of a shop live",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return stack.Run(cmd.Context(), options, func(ctx context.Context, s *stack.Stack) error {
				d := &demo{
					stack:    s,
					screen:   newScreen(cmd.OutOrStdout()),
					rate:     rate,
					keptLogs: options.State != "",
					begun:    time.Now(),
				}
				return d.run(ctx)
			})
		},
	}
	up.Flags(cmd, &options)
	cmd.Flags().Float64Var(&rate, "rate", defaultRate, "users' requests per second")
	return cmd
}
