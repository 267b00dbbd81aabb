package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/weighlock/weighlock/cli/plan"
)

// runPlan is the command weighlock plan. It returns the program's exit code.
func runPlan(args []string, in io.Reader, out, problems io.Writer) int {
	var opts plan.Options
	flags := pflag.NewFlagSet("weighlock plan", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(problems)
	opts.Bind(flags)
	flags.Usage = func() {
		fmt.Fprint(problems, plan.About, "\n\nUsage: weighlock plan -f rollout.yaml --rps 100 [flags]\n\n", flags.FlagUsages())
	}
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = opts.Check(flags)
	}
	if err != nil {
		fmt.Fprintf(problems, "weighlock plan: %v (see weighlock plan --help)\n", err)
		return 2
	}
	if err := opts.Run(in, out); err != nil {
		fmt.Fprintf(problems, "weighlock plan: %v\n", err)
		return 1
	}
	return 0
}
