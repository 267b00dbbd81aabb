package prometheus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/analysis"
)

const (
	defaultTimeout     = 10 * time.Second
	defaultMaxInFlight = 8
	defaultMaxResponse = 64 << 20
	// maxServers bounds how many addresses are remembered.
	maxServers   = 64
	addressField = "spec.analysis.metrics.address"
)

// Options of a Provider. Zero values stand for the defaults.
type Options struct {
	// Address of the server that is asked when a Rollout names none.
	Address string
	// Timeout of one query (10s).
	Timeout time.Duration
	// MaxInFlight is the most queries at a time to one address (8).
	MaxInFlight int
	// MaxResponseBytes is the largest answer that is read (64 MiB).
	MaxResponseBytes int64
	// Registerer gets the Provider's metrics about itself; none when nil.
	Registerer prometheus.Registerer
	// Log gets what servers warn of, at V(1).
	Log logr.Logger
	// Clock for the age of what is kept.
	Clock clock.PassiveClock
}

// Provider measures tracks with what Prometheus servers have scraped. It is safe for concurrent use.
type Provider struct {
	options Options
	clock   clock.PassiveClock
	metrics *metrics

	mutex   sync.Mutex
	servers map[string]*server
	windows map[windowKey]*window
	swept   time.Time
}

var _ analysis.Provider = (*Provider)(nil)

// New makes a Provider. It does not connect.
func New(options Options) (*Provider, error) {
	if options.Timeout <= 0 {
		options.Timeout = defaultTimeout
	}
	if options.MaxInFlight <= 0 {
		options.MaxInFlight = defaultMaxInFlight
	}
	if options.MaxResponseBytes <= 0 {
		options.MaxResponseBytes = defaultMaxResponse
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Address != "" {
		if _, err := checkAddress(options.Address); err != nil {
			return nil, fmt.Errorf("reading the default address of Prometheus: %w", err)
		}
	}
	metrics := newMetrics()
	if options.Registerer != nil {
		if err := metrics.register(options.Registerer); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return &Provider{
		options: options, clock: options.Clock, metrics: metrics,
		servers: map[string]*server{}, windows: map[windowKey]*window{},
	}, nil
}

// Measure counts the requests of both tracks between two moments. The last samples at or before the first one are
// what counts from.
func (p *Provider) Measure(ctx context.Context, query analysis.Query) (analysis.Measurement, error) {
	if query.Since.IsZero() || query.Now.IsZero() {
		return analysis.Measurement{}, errors.New("measuring: a window needs a beginning and an end")
	}
	server, err := p.server(query)
	if err != nil {
		return analysis.Measurement{}, err
	}
	if query.Source != nil && query.Source.Counters != nil {
		return p.measureCounters(ctx, server, query)
	}
	return p.measureEnvoy(ctx, server, query)
}

// server returns the client of the address that a query is for.
func (p *Provider) server(query analysis.Query) (*server, error) {
	address := p.options.Address
	if query.Source != nil && query.Source.Address != "" {
		address = query.Source.Address
	}
	if address == "" {
		return nil, &analysis.FieldError{Field: addressField, Problem: "is not set, and the controller has no default"}
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	found := p.servers[address]
	if found == nil {
		made, err := newServer(address, p.options, p.metrics)
		if err != nil {
			return nil, &analysis.FieldError{Field: addressField, Problem: err.Error()}
		}
		p.makeRoom()
		p.servers[address], found = made, made
	}
	found.used = p.clock.Now()
	return found, nil
}

// makeRoom forgets the server that was not asked for the longest time.
func (p *Provider) makeRoom() {
	if len(p.servers) < maxServers {
		return
	}
	var oldest *server
	for _, server := range p.servers {
		if oldest == nil || server.used.Before(oldest.used) {
			oldest = server
		}
	}
	delete(p.servers, oldest.address)
	oldest.transport.CloseIdleConnections()
}
