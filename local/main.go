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

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/fetch"
	"github.com/weighlock/weighlock/local/sandbox"
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
	root.AddCommand(fetch.Command())
	return root
}
