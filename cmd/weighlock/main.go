// Command weighlock is the controller: it takes new versions of workloads live
// step by step, and keeps clusters as git repositories say.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "plan":
			os.Exit(runPlan(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
		case "check-config":
			os.Exit(runCheckConfig(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
		}
	}
	var opts options
	flags := pflag.NewFlagSet("weighlock", pflag.ContinueOnError)
	opts.bind(flags)
	flags.Usage = func() {
		fmt.Fprintf(os.Stderr, "weighlock takes new versions of workloads live step by step through a service mesh.\n\nUsage: weighlock [flags]\n       weighlock plan -f rollout.yaml --rps 100 [flags]  says how a Rollout will go\n       weighlock check-config FILE  says what is wrong in a configuration file\n\n%s", flags.FlagUsages())
	}
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
		fallthrough
	case err != nil:
		fmt.Fprintf(os.Stderr, "weighlock: %v (see weighlock --help)\n", err)
		os.Exit(2)
	}
	logger.SetLogger(logger.NewLogger(opts.log))
	if err := run(ctrl.SetupSignalHandler(), opts); err != nil {
		ctrl.Log.WithName("setup").Error(err, "weighlock ends")
		os.Exit(1)
	}
}
