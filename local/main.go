//go:build linux

// Command local is the local stack: a Kubernetes control plane, a node, a
// mesh over Envoy, Prometheus, git and a demo shop on a machine of their own,
// without root, containers or a cluster. Each part is a subcommand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/app"
	"github.com/weighlock/weighlock/local/capture"
	"github.com/weighlock/weighlock/local/demo"
	"github.com/weighlock/weighlock/local/dns"
	"github.com/weighlock/weighlock/local/envoy"
	"github.com/weighlock/weighlock/local/fetch"
	"github.com/weighlock/weighlock/local/git"
	"github.com/weighlock/weighlock/local/kube"
	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/mesh"
	"github.com/weighlock/weighlock/local/node"
	"github.com/weighlock/weighlock/local/prometheus"
	"github.com/weighlock/weighlock/local/sandbox"
	"github.com/weighlock/weighlock/local/slack"
	"github.com/weighlock/weighlock/local/up"
)

func main() {
	err := command().ExecuteContext(context.Background())
	var exit *sandbox.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "local:", err)
	}
	os.Exit(sandbox.ExitCode(err))
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "local",
		Short:         "The local stack: everything Weighlock needs, real, on one machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(&cobra.Group{ID: "stack", Title: "The stack:"}, &cobra.Group{ID: "part", Title: "Its parts, which run inside the sandbox:"})
	for _, cmd := range []*cobra.Command{demo.Command(), up.Command(), capture.Command(), fetch.Command(), sandbox.Command()} {
		cmd.GroupID = "stack"
		root.AddCommand(cmd)
	}
	for _, cmd := range []*cobra.Command{
		kube.Command(), node.Command(), dns.Command(), mesh.Command(), envoy.Command(),
		prometheus.Command(), git.Command(), slack.Command(), app.Command(), load.Command(),
	} {
		cmd.GroupID = "part"
		root.AddCommand(stoppable(cmd))
	}
	return root
}

// stoppable ends a part's context at SIGINT and SIGTERM. The commands of the
// stack do that themselves, on the inner side of the sandbox.
func stoppable(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		cmd.SetContext(ctx)
		return run(cmd, args)
	}
	return cmd
}
