package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
)

// Command is the subcommand that runs any command in an empty sandbox, so that
// a part can be tried alone.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sandbox [command [argument ...]]",
		Short: "Run a command (default: a shell) in an empty sandbox",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{os.Getenv("SHELL")}
				if args[0] == "" {
					args[0] = "/bin/sh"
				}
			}
			return Run(cmd.Context(), Options{}, func(ctx context.Context, _ Inside) error {
				return runCommand(ctx, args)
			})
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func runCommand(ctx context.Context, args []string) error {
	child := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the user's command
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
	err := child.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &ExitError{Code: exit.ExitCode()}
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", args[0], err)
	}
	return nil
}
