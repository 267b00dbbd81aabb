package node

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/node/process"
)

// Command is the `node` subcommand, which serves the cluster's DNS too.
func Command() *cobra.Command {
	var kubeconfig string
	var programs []string
	var o Options
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Schedule pods and run their containers as processes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Programs, err = parsePrograms(programs); err != nil {
				return err
			}
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return fmt.Errorf("load %s: %w", kubeconfig, err)
			}
			// It stands in for a kubelet, a scheduler and their limits.
			config.QPS = -1
			if o.Client, err = kubernetes.NewForConfig(config); err != nil {
				return fmt.Errorf("make a Kubernetes client: %w", err)
			}
			for _, folder := range []*string{&o.Logs, &o.State} {
				if *folder, err = filepath.Abs(*folder); err != nil {
					return fmt.Errorf("find a folder: %w", err)
				}
			}
			o.ServeDNS = o.ClusterDNS == address.DNSIP
			o.Helper = []string{"/proc/self/exe", cmd.Name(), process.CommandName}
			o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			if err := os.RemoveAll(o.State); err != nil {
				return fmt.Errorf("remove what a former node left: %w", err)
			}
			return Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "how to reach the API server")
	cmd.Flags().StringVar(&o.Name, "name", "local", "the Node's name")
	cmd.Flags().StringArrayVar(&programs, "program", nil, "what runs in place of an image, as image=path[,argument...]; may be repeated")
	cmd.Flags().DurationVar(&o.RestartBase, "restart-base", 0, "first back-off of a container that ends (default: 10s, as a kubelet's)")
	cmd.Flags().StringVar(&o.Logs, "logs", "pods", "folder that gets a log file for each container")
	cmd.Flags().StringVar(&o.State, "state", "node", "folder for volumes, emptied at the start")
	cmd.Flags().StringVar(&o.ClusterDNS, "cluster-dns", address.DNSIP, "DNS server of the pods; the node serves the default one itself")
	cmd.AddCommand(process.Command())
	return cmd
}

func parsePrograms(items []string) (map[string]Program, error) {
	programs := map[string]Program{}
	for _, item := range items {
		image, text, ok := strings.Cut(item, "=")
		words := strings.Split(text, ",")
		if !ok || image == "" || words[0] == "" {
			return nil, fmt.Errorf("the program %q is not of the form image=path[,argument...]", item)
		}
		programs[image] = Program{Path: words[0], Args: words[1:]}
	}
	if len(programs) == 0 {
		return nil, errors.New("no --program is given, so no pod could run")
	}
	return programs, nil
}
