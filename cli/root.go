package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
)

// Options are what the plugin is called with.
type Options struct {
	// Streams are where it reads and writes.
	Streams genericiooptions.IOStreams
	// Version of the plugin.
	Version string
	// Clock tells ages and deadlines. The default is the real one.
	Clock clock.WithTicker
	// Getenv reads the environment. The default is the process's.
	Getenv func(string) string
}

// Run runs the plugin, prints what went wrong, and gives the code to exit with.
func Run(ctx context.Context, o Options, args []string) int {
	root := New(o) //nolint:contextcheck // each command is given the context when it is run.
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	if err != nil {
		if text := describe(cmd, err); text != "" {
			fmt.Fprintln(root.ErrOrStderr(), text)
		}
	}
	return exitCode(err)
}

// New makes the plugin's command, with all below it.
func New(o Options) *cobra.Command {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	s := newSession(o)
	root := &cobra.Command{
		Use:   "kubectl-weighlock",
		Short: "See and steer rollouts of Weighlock",
		Long: `See and steer rollouts of Weighlock, which takes new versions of workloads live step by step through a service mesh.

NAME is a Rollout of the namespace, also written rollout/NAME. Where a namespace has one Rollout only, it can be left out.`,
		Example: `  # What is going on?
  kubectl weighlock get checkout --watch

  # Let it go on.
  kubectl weighlock approve checkout --reason "looks fine in the pilot"`,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl weighlock"},
		Args:              noCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return errors.Join(s.checkColour(), noneEmpty(cmd)) },
		SilenceErrors:     true,
		SilenceUsage:      true,
	}
	root.SetIn(o.Streams.In)
	root.SetOut(o.Streams.Out)
	root.SetErr(o.Streams.ErrOut)
	root.PersistentFlags().StringVar(&s.colour, "color", "auto", "Whether to use colours: auto, always or never.")
	s.flags.AddFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{code: ExitUsage, err: err} })
	root.AddGroup(
		&cobra.Group{ID: groupSee, Title: "See what is going on:"},
		&cobra.Group{ID: groupAct, Title: "Decide:"},
		&cobra.Group{ID: groupWrite, Title: "Write and check Rollouts:"},
	)
	for group, commands := range commands(s) {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommand(newHelpCommand())
	root.SuggestionsMinimumDistance = 2
	root.SetUsageTemplate(usageTemplate)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Short, cmd.Long = "Write a script that completes words in your shell", completionLong
		}
	}
	s.prepare(root)
	return root
}

// narrowing are the flags that narrow down what a command is about.
var narrowing = []string{"revision", "commit", "step", "for"}

// noneEmpty refuses a narrowing flag that is given, but empty: a variable of a script is not set, and the command would be about more
// than is meant.
func noneEmpty(cmd *cobra.Command) error {
	for _, name := range narrowing {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed && flag.Value.String() == "" {
			return usagef("--%s is empty: give it a value, or leave it out", name)
		}
	}
	return nil
}

// The groups of commands, in help.
const (
	groupSee   = "see"
	groupAct   = "act"
	groupWrite = "write"
)

// commands are all that the plugin has, each in a file of its own.
func commands(s *session) map[string][]*cobra.Command {
	return map[string][]*cobra.Command{
		groupSee: {newGetCommand(s), newListCommand(s), newStatusCommand(s), newHistoryCommand(s), newLogsCommand(s), newDiffCommand(s)},
		groupAct: {
			newPromoteCommand(s), newApproveCommand(s), newAbortCommand(s), newPauseCommand(s), newResumeCommand(s), newRetryCommand(s),
		},
		groupWrite: {newLintCommand(s), newPlanCommand(s)},
		"":         {newOptionsCommand(s), newVersionCommand(s)},
	}
}

// noCommand tells of a word that is no command, and which is meant perhaps.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		return usagef("there is no command %q: did you mean %s?", args[0], like[0])
	}
	return usagef("there is no command %q", args[0])
}

// prepare gives a command and all below it what they have in common.
func (s *session) prepare(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	cmd.Flags().SortFlags = false
	s.completeFlags(cmd)
	if check := cmd.Args; check != nil {
		// A wrong number of arguments is the caller's error.
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			var coded *exitError
			if err == nil || errors.As(err, &coded) {
				return err
			}
			return &exitError{code: ExitUsage, err: err}
		}
	}
	for _, child := range cmd.Commands() {
		s.prepare(child)
	}
}
