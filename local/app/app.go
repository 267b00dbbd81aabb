// Package app is the demo shop: a web service whose versions differ in how
// often they fail and how long they take.
package app

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Headers of replies and requests.
const (
	// VersionHeader is on every reply that the shop made.
	VersionHeader = "X-Version"
	// TenantHeader is echoed.
	TenantHeader = "X-Tenant"
	// RequestHeader tells requests apart; copies have that of their request.
	RequestHeader = "X-Load-Request"
)

const (
	// idleTimeout is well above the time after which the proxy before it
	// gives up idle connections, so that the proxy is always the one to close.
	// It is for the first request too: a proxy may open a connection that it
	// has no use for yet.
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 30 * time.Second
	// longest is what no answer takes longer than, however unlucky it is.
	longest = time.Minute
)

// Options say how the shop behaves.
type Options struct {
	Version string
	// ErrorRate is the share, 0 to 1, of requests that are answered with 500.
	ErrorRate float64
	// Latency is the median of the times that answers take, and LatencyP99 what
	// one in a hundred exceeds. Between and beyond they are log-normal, as those
	// of services mostly are. Without a P99 all take the median.
	Latency, LatencyP99 time.Duration
	// Copies gets a line, `copy of "<X-Load-Request>"`, for each copy of a
	// request; nil for none.
	Copies *log.Logger
	// Drain is how long requests are still served after the context ended:
	// the time that proxies need to learn that this instance is going.
	Drain time.Duration
}

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	switch {
	case o.Version == "":
		return errors.New("the version is empty")
	case !(o.ErrorRate >= 0 && o.ErrorRate <= 1):
		return fmt.Errorf("the error rate %v is not between 0 and 1", o.ErrorRate)
	case o.Latency < 0 || o.LatencyP99 < 0 || o.Drain < 0:
		return errors.New("a duration is negative")
	case o.LatencyP99 > 0 && o.Latency == 0:
		return fmt.Errorf("a p99 of %s needs a median above zero", o.LatencyP99)
	case o.LatencyP99 > 0 && o.LatencyP99 < o.Latency:
		return fmt.Errorf("the p99 of %s is below the median of %s", o.LatencyP99, o.Latency)
	}
	return nil
}

// App is one instance of the shop.
type App struct {
	options  Options
	draining atomic.Bool
	handler  http.Handler
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram
}

// New makes an instance.
func New(o Options) (*App, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("check the shop's options: %w", err)
	}
	a := &App{
		options: o,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shop_requests_total",
			Help: "Requests answered, by status code and whether they were copies that a proxy made.",
		}, []string{"code", "mirrored"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "shop_request_duration_seconds", Help: "Time that users' requests took.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "shop_info", Help: "Always 1; its label is the version.", ConstLabels: prometheus.Labels{"version": o.Version},
	})
	info.Set(1)
	registry.MustRegister(a.requests, a.seconds, info)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", a.health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/", a.shop)
	a.handler = mux
	return a, nil
}

// ServeHTTP answers a request.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(VersionHeader, a.options.Version)
	if a.draining.Load() {
		// Whoever keeps this connection open learns it with a reply, and
		// never by a connection that closes under a request.
		w.Header().Set("Connection", "close")
	}
	a.handler.ServeHTTP(w, r)
}

// Serve answers requests until the context ends, then for the time to drain,
// and returns when the last one is answered.
func (a *App) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: a, IdleTimeout: idleTimeout, ReadHeaderTimeout: idleTimeout}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the shop: %w", err)
	case <-ctx.Done():
	}
	a.draining.Store(true)
	select {
	case err := <-failed:
		return fmt.Errorf("serve the shop: %w", err)
	case <-time.After(a.options.Drain):
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		return fmt.Errorf("wait for the last requests: %w", err)
	}
	return nil
}

func (a *App) health(w http.ResponseWriter, _ *http.Request) {
	if a.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

func (a *App) shop(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	if err := wait(r.Context(), a.delay()); err != nil {
		return
	}
	if tenant := r.Header.Get(TenantHeader); tenant != "" {
		w.Header().Set(TenantHeader, tenant)
	}
	code := http.StatusOK
	if rand.Float64() < a.options.ErrorRate { //nolint:gosec // Nothing is guarded by it.
		code = http.StatusInternalServerError
	}
	mirrored := isMirrored(r)
	if mirrored && a.options.Copies != nil {
		a.options.Copies.Printf("copy of %q", r.Header.Get(RequestHeader))
	}
	a.render(w, r, code)
	a.requests.WithLabelValues(fmt.Sprint(code), fmt.Sprint(mirrored)).Inc()
	if !mirrored {
		a.seconds.Observe(time.Since(start).Seconds())
	}
}

// isMirrored knows copies by the header that Envoy marks its own requests with.
func isMirrored(r *http.Request) bool { return r.Header.Get("X-Envoy-Internal") == "true" }

// standardP99 is the 99th percentile of the standard normal distribution.
const standardP99 = 2.3263478740408408

// delay draws how long an answer takes: the median, times e to the power of a
// normal variable whose deviation is such that one in a hundred exceeds the P99.
func (a *App) delay() time.Duration {
	median, p99 := float64(a.options.Latency), float64(a.options.LatencyP99)
	if p99 == 0 {
		return a.options.Latency
	}
	deviation := math.Log(p99/median) / standardP99
	drawn := median * math.Exp(deviation*rand.NormFloat64()) //nolint:gosec // Nothing is guarded by it.
	return time.Duration(min(drawn, float64(longest)))
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
