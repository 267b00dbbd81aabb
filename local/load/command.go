package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Command is the `load` subcommand.
func Command() *cobra.Command {
	var listen, out string
	var headers, tenants []string
	o := Options{}
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Send requests at a constant rate and count the replies by version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Header, err = parseHeaders(headers); err != nil {
				return err
			}
			if o.Tenants, err = parseTenants(tenants); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return run(ctx, o, listen, out)
		},
	}
	cmd.Flags().StringVar(&o.URL, "url", "", "where to send requests")
	cmd.Flags().Float64Var(&o.Rate, "rate", 100, "requests per second")
	cmd.Flags().DurationVar(&o.Duration, "duration", 0, "how long to send; 0 is until interrupted")
	cmd.Flags().StringArrayVar(&headers, "header", nil, "header of every request, as 'Name: value'; may be repeated")
	cmd.Flags().StringSliceVar(&tenants, "tenant", nil, "tenant and its share of the requests, as acme=0.1; may be repeated")
	cmd.Flags().IntVar(&o.MaxInFlight, "max-in-flight", defaultMaxInFlight, "requests under way at most; those due beyond it are dropped")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", defaultTimeout, "longest time to wait for a reply")
	cmd.Flags().StringVar(&listen, "listen", "", "address that serves /stats (default: none)")
	cmd.Flags().StringVar(&out, "out", "", "file that the counts are written to at the end (default: standard output)")
	_ = cmd.MarkFlagRequired("url")
	return cmd
}

func run(ctx context.Context, o Options, listen, out string) error {
	g, err := New(o)
	if err != nil {
		return err
	}
	if listen != "" {
		stop, err := g.serve(ctx, listen)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := g.Run(ctx); err != nil {
		return err
	}
	file := os.Stdout
	if out != "" {
		if file, err = os.Create(out); err != nil {
			return fmt.Errorf("write the counts: %w", err)
		}
		defer file.Close()
	}
	encoder := json.NewEncoder(file)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(g.Stats()); err != nil {
		return fmt.Errorf("write the counts: %w", err)
	}
	return nil
}

// Handler serves the counts so far as JSON at /stats.
func (g *Generator) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(g.Stats())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	return mux
}

func (g *Generator) serve(ctx context.Context, address string) (stop func(), err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for requests of the counts: %w", err)
	}
	server := &http.Server{Handler: g.Handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return func() { _ = server.Close() }, nil
}

func parseHeaders(lines []string) (http.Header, error) {
	out := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, errors.New("a header is written as 'Name: value'")
		}
		out.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return out, nil
}

func parseTenants(items []string) ([]Tenant, error) {
	var out []Tenant
	for _, item := range items {
		name, text, ok := strings.Cut(item, "=")
		share, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("the tenant %q is not written as name=share", item)
		}
		out = append(out, Tenant{Name: name, Share: share})
	}
	return out, nil
}
