package dns

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weighlock/weighlock/local/address"
)

// Command serves the cluster's DNS alone.
func Command() *cobra.Command {
	var kubeconfig, listen string
	command := &cobra.Command{
		Use:   "dns",
		Short: "Serve the names of Services (the node does so too)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return fmt.Errorf("load %s: %w", kubeconfig, err)
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("make a Kubernetes client: %w", err)
			}
			return Run(cmd.Context(), Options{Client: client, Listen: listen})
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&listen, "listen", address.DNS, "address to serve on, over udp and tcp")
	return command
}
