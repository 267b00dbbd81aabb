package kube

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/fetch"
	"github.com/weighlock/weighlock/local/supervise"
)

// Command is the `kube` subcommand: the control plane alone.
func Command() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "kube",
		Short: "Run etcd, kube-apiserver and kube-controller-manager",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			programs, err := fetch.Cached(fetch.Options{})
			if err != nil {
				return err
			}
			state, err := filepath.Abs(state)
			if err != nil {
				return fmt.Errorf("find the state folder: %w", err)
			}
			return serve(cmd, programs, state)
		},
	}
	cmd.Flags().StringVar(&state, "state", "kube", "folder for data, keys, logs and the kubeconfig")
	return cmd
}

// serve runs the control plane until the context ends or a part of it dies.
func serve(cmd *cobra.Command, programs fetch.Programs, state string) error {
	supervisor, err := supervise.New(filepath.Join(state, "logs"))
	if err != nil {
		return err
	}
	defer supervisor.Stop()
	cluster, err := Start(cmd.Context(), Options{Program: programs.Kube, State: state, Supervisor: supervisor})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), "export KUBECONFIG="+cluster.Kubeconfig); err != nil {
		return err
	}
	return wait(cmd.Context(), supervisor)
}

func wait(ctx context.Context, supervisor *supervise.Supervisor) error {
	select {
	case <-ctx.Done():
		return nil
	case death := <-supervisor.Died():
		return death
	}
}
