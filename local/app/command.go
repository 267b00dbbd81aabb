package app

import (
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The times that answers take unless a flag says otherwise: most lie between
// the edges at 1, 5, 10 and 25 ms of Envoy's histograms, few beyond.
const (
	DefaultLatency    = 5 * time.Millisecond
	DefaultLatencyP99 = 20 * time.Millisecond
)

// defaultDrain outlasts the time until nobody sends requests here any more.
// Kubernetes' EndpointSlice controller puts a change off by a second when its
// cache is behind, and by two more when it still is.
const defaultDrain = 4 * time.Second

// Command is the `app` subcommand. Each flag can be given by the environment
// too, as SHOP_ERROR_RATE for --error-rate.
func Command() *cobra.Command {
	var listen string
	o := Options{}
	cmd := &cobra.Command{
		Use:   "app",
		Short: "Run an instance of the demo shop",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			o.Copies = log.New(cmd.OutOrStdout(), "", log.LstdFlags)
			app, err := New(o)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			var config net.ListenConfig
			listener, err := config.Listen(ctx, "tcp", listen)
			if err != nil {
				return fmt.Errorf("listen for requests: %w", err)
			}
			return app.Serve(ctx, listener)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", net.JoinHostPort(os.Getenv("POD_IP"), "8080"), "address to serve on (default: port 8080 of $POD_IP)")
	cmd.Flags().StringVar(&o.Version, "version", "v1", "version that replies name in X-Version")
	cmd.Flags().Float64Var(&o.ErrorRate, "error-rate", 0, "share of requests, 0 to 1, that are answered with 500")
	cmd.Flags().DurationVar(&o.Latency, "latency", DefaultLatency, "median of the times that answers take")
	cmd.Flags().DurationVar(&o.LatencyP99, "latency-p99", DefaultLatencyP99, "time that one answer in a hundred exceeds, the times being log-normal; 0 to have all take the median")
	cmd.Flags().DurationVar(&o.Drain, "drain", defaultDrain, "how long to serve on after SIGTERM")
	return cmd
}

func fromEnvironment(flags *pflag.FlagSet) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "SHOP_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value, ok := os.LookupEnv(name); ok && !f.Changed && err == nil {
			if setErr := flags.Set(f.Name, value); setErr != nil {
				err = fmt.Errorf("read %s: %w", name, setErr)
			}
		}
	})
	return err
}
