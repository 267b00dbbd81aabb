package fetch

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Command is the subcommand that gets the programs and says where they are.
func Command() *cobra.Command {
	var options Options
	var printAssets bool
	cmd := &cobra.Command{
		Use:   "fetch",
		Short: "Build or download the programs of the local stack into the cache",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			programs, err := All(cmd.Context(), options)
			if err != nil {
				return err
			}
			if printAssets {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), programs.Assets)
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "kube\t%s\nkubectl\t%s\nprometheus\t%s\nenvoy\t%s\n", programs.Kube, programs.Kubectl, programs.Prometheus, programs.Envoy)
			return err
		},
	}
	cmd.Flags().BoolVar(&printAssets, "print-assets", false, "print only the folder of etcd, kube-apiserver and kubectl, as KUBEBUILDER_ASSETS wants it")
	cmd.Flags().StringVar(&options.Root, "root", "", "the checkout (default: found from the working folder)")
	cmd.Flags().StringVar(&options.Cache, "cache", "", "the cache folder (default: $WEIGHLOCK_CACHE, or weighlock in the user's cache folder)")
	return cmd
}
