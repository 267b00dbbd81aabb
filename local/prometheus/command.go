package prometheus

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/fetch"
)

// Command is the `prometheus` subcommand: it becomes Prometheus.
func Command() *cobra.Command {
	var o Options
	cmd := &cobra.Command{
		Use:   "prometheus",
		Short: "Run Prometheus, scraping Envoy and the annotated pods",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			programs, err := fetch.Cached(fetch.Options{})
			if err != nil {
				return err
			}
			o.Program = programs.Prometheus
			for _, path := range []*string{&o.State, &o.Kubeconfig} {
				if *path, err = filepath.Abs(*path); err != nil {
					return fmt.Errorf("find a folder: %w", err)
				}
			}
			part, err := Part(o)
			if err != nil {
				return err
			}
			if err := syscall.Exec(part.Path, append([]string{part.Path}, part.Args...), os.Environ()); err != nil {
				return fmt.Errorf("run Prometheus: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&o.State, "state", "prometheus", "folder for its configuration and data")
	cmd.Flags().StringVar(&o.Kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "how to find the pods")
	cmd.Flags().StringVar(&o.Listen, "listen", address.Prometheus, "the address to serve")
	cmd.Flags().StringVar(&o.Envoy, "envoy", address.EnvoyAdmin, "Envoy's admin address, to be scraped")
	cmd.Flags().DurationVar(&o.Interval, "interval", DefaultInterval, "how often Envoy is scraped")
	return cmd
}
