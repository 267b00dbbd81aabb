package prometheus

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

const (
	defaultTimeout     = 10 * time.Second
	defaultMaxInFlight = 8
	defaultMaxResponse = 64 << 20
	// maxServers bounds how many addresses are remembered.
	maxServers   = 64
	addressField = "spec.analysis.source.address"
)

// Options of a Provider. Zero values stand for the defaults.
type Options struct {
	// Address of the server that is asked when a Rollout names none: or of several with the same scrapes, with commas between. One
	// of them is asked until it fails.
	Address string
	// Timeout of one query (10s).
	Timeout time.Duration
	// MaxInFlight is the most queries at a time to one address (8).
	MaxInFlight int
	// MaxResponseBytes is the largest answer that is read (64 MiB).
	MaxResponseBytes int64
	// ReplicaLabels are those by which the same series, scraped by several servers, differ (prometheus_replica and __replica__).
	ReplicaLabels []string
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
	if options.ReplicaLabels == nil {
		options.ReplicaLabels = defaultReplicaLabels
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Address != "" {
		for one := range strings.SplitSeq(options.Address, ",") {
			if _, err := checkAddress(strings.TrimSpace(one)); err != nil {
				return nil, fmt.Errorf("reading the default address of Prometheus: %w", err)
			}
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
		servers: map[string]*server{},
	}, nil
}

// Open begins a stream of what the tracks do. The last samples at or before its beginning are what counts from.
func (p *Provider) Open(query analysis.Query) (analysis.Stream, error) {
	if query.Since.IsZero() {
		return nil, errors.New("opening a stream: it needs a beginning")
	}
	server, err := p.server(query.Source)
	if err != nil {
		return nil, err
	}
	feeds, err := feedsOf(&query)
	if err != nil {
		return nil, err
	}
	return newStream(query, server, feeds), nil
}

// server returns the client of the address that a source names.
func (p *Provider) server(source *v1alpha1.MetricSource) (*server, error) {
	address := p.options.Address
	if source != nil && source.Address != "" {
		address = source.Address
		if strings.Contains(address, "@") {
			return nil, &analysis.FieldError{Field: addressField, Problem: "must not hold credentials"}
		}
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
	oldest.close()
}
