// Command kubectl-weighlock is the plugin by which kubectl shows and steers rollouts: kubectl weighlock get. Under the name
// kubectl_complete-weighlock, by a link, it completes words for kubectl's own completion.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/weighlock/weighlock/cli"
)

// version is set when a release is linked.
var version string

func main() {
	// What the libraries log is for programmers: commands tell users what matters.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, cli.Options{
		Streams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Version: buildVersion(),
	}, arguments(os.Args))
	stop()
	os.Exit(code)
}

// completer is the name by which kubectl calls for the completion of words.
const completer = "kubectl_complete-weighlock"

// arguments are those of the plugin's commands.
func arguments(args []string) []string {
	called := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	if called == completer {
		return append([]string{cobra.ShellCompRequestCmd}, args[1:]...)
	}
	return args[1:]
}

// buildVersion is the version that was linked in, or the one that the Go command knows.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
