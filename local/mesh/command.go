package mesh

import (
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weighlock/weighlock/local/address"
)

// Command is the `mesh` subcommand.
func Command() *cobra.Command {
	var kubeconfig string
	var verbosity int
	o := Options{}
	cmd := &cobra.Command{
		Use:   "mesh",
		Short: "Control Envoy by Services and SMI TrafficSplits",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules := clientcmd.NewDefaultClientConfigLoadingRules()
			rules.ExplicitPath = kubeconfig
			config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
			if err != nil {
				return fmt.Errorf("read the kubeconfig: %w", err)
			}
			o.Config = config
			o.Log = logr.FromSlogHandler(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.Level(-verbosity)}))
			return Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, or the pod's service account)")
	cmd.Flags().StringVar(&o.XDS, "xds", address.MeshXDS, "address that Envoy fetches its configuration from")
	cmd.Flags().StringVar(&o.Status, "status", address.MeshStatus, "address that serves /ready and /status")
	cmd.Flags().IntVarP(&verbosity, "verbosity", "v", 0, "1 logs each change, 2 the xDS protocol")
	return cmd
}
