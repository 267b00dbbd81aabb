package xds

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	xdslog "github.com/envoyproxy/go-control-plane/pkg/log"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	server "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/local/mesh/routing"
)

// Defaults of Options.
const (
	DefaultPatience = time.Second
	DefaultDrain    = 10 * time.Second
)

// Options are what a Publisher can be told.
type Options struct {
	Log   logr.Logger
	Clock clock.Clock
	// Patience is how long a route waits for endpoints of a destination that
	// it newly sends requests to. Default one second.
	Patience time.Duration
	// Drain is how long a cluster stays after the last route that named it.
	// Default ten seconds.
	Drain time.Duration
}

// Publisher brings tables to every Envoy that connects.
type Publisher struct {
	log        logr.Logger
	clock      clock.Clock
	cache      cache.SnapshotCache
	acks       *acks
	transition *transition
	tables     chan routing.Table
	first      chan struct{}

	mu     sync.Mutex
	report Report
}

// NewPublisher makes a publisher that has nothing to say yet.
func NewPublisher(o Options) *Publisher {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	// A proxy that stays when the mesh restarts presents versions of the
	// former one; the incarnation keeps the two apart.
	incarnation := rand.Text()[:8]
	return &Publisher{
		log:        o.Log,
		clock:      o.Clock,
		cache:      cache.NewSnapshotCache(true, anyNode{}, xdsLog(o.Log)),
		acks:       newAcks(incarnation, o.Log, o.Clock),
		transition: newTransition(o.Patience, o.Drain),
		tables:     make(chan routing.Table),
		first:      make(chan struct{}),
		report:     newReport(),
	}
}

// anyNode gives every proxy the same configuration.
type anyNode struct{}

const node = "all"

// ID is the same for all nodes.
func (anyNode) ID(*core.Node) string { return node }

func xdsLog(log logr.Logger) xdslog.Logger {
	detail := func(format string, args ...any) { log.V(2).Info("xDS", "detail", fmt.Sprintf(format, args...)) }
	return xdslog.LoggerFuncs{DebugFunc: detail, InfoFunc: detail, WarnFunc: detail, ErrorFunc: func(format string, args ...any) {
		log.Error(nil, "xDS failed", "detail", fmt.Sprintf(format, args...))
	}}
}

// Publish hands over what Envoy should do from now on.
func (p *Publisher) Publish(ctx context.Context, table routing.Table) {
	select {
	case p.tables <- table:
	case <-ctx.Done():
	}
}

// Run brings published tables to Envoy until the context ends.
func (p *Publisher) Run(ctx context.Context) error {
	var table routing.Table
	select {
	case table = <-p.tables:
	case <-ctx.Done():
		return nil
	}
	for first := true; ; first = false {
		wake, err := p.step(ctx, table)
		if err != nil {
			return err
		}
		if first {
			close(p.first)
		}
		var timer <-chan time.Time
		if !wake.IsZero() {
			timer = p.clock.After(max(0, wake.Sub(p.clock.Now())))
		}
		select {
		case table = <-p.tables:
		case <-p.acks.changed:
		case <-timer:
		case <-ctx.Done():
			return nil
		}
	}
}

// Serve answers Envoys on the listener until the context ends, as soon as
// there is something to tell them.
func (p *Publisher) Serve(ctx context.Context, listener net.Listener) error {
	select {
	case <-p.first:
	case <-ctx.Done():
		return listener.Close()
	}
	g := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(g, server.NewServer(ctx, p.cache, p.acks.callbacks(), sotw.WithOrderedADS()))
	stop := context.AfterFunc(ctx, g.Stop)
	defer stop()
	if err := g.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve xDS on %s: %w", listener.Addr(), err)
	}
	return nil
}

func (p *Publisher) step(ctx context.Context, table routing.Table) (time.Time, error) {
	now, got := p.clock.Now(), p.acks.taken()
	changed, wake := p.transition.step(now, table, got)
	if len(changed) > 0 {
		snapshot, err := p.snapshot()
		if err != nil {
			return time.Time{}, err
		}
		if err := p.cache.SetSnapshot(ctx, node, snapshot); err != nil && ctx.Err() == nil {
			return time.Time{}, fmt.Errorf("hand the snapshot to Envoy: %w", err)
		}
		p.log.V(1).Info("Sent configuration", "versions", p.versions())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.update(p.transition, got, p.versions())
	return wake, nil
}

// snapshot holds a version of its own for each type, so that a change of
// weights sends routes and nothing else.
func (p *Publisher) snapshot() (*cache.Snapshot, error) {
	resources := map[resource.Type][]types.Resource{
		resource.ClusterType: {}, resource.EndpointType: {}, resource.ListenerType: {}, resource.RouteType: {},
	}
	for d, c := range p.transition.clusters {
		cl, err := clusterResource(d)
		if err != nil {
			return nil, err
		}
		resources[resource.ClusterType] = append(resources[resource.ClusterType], cl)
		resources[resource.EndpointType] = append(resources[resource.EndpointType], endpointResource(d, c.endpoints))
	}
	for _, r := range p.transition.sent {
		l, err := listenerResource(r)
		if err != nil {
			return nil, err
		}
		resources[resource.ListenerType] = append(resources[resource.ListenerType], l)
		resources[resource.RouteType] = append(resources[resource.RouteType], routeResource(r))
	}
	snapshot := &cache.Snapshot{}
	for kind, items := range resources {
		snapshot.Resources[cache.GetResponseType(kind)] = cache.NewResources(p.acks.version(p.transition.versions[kind]), items)
	}
	if err := snapshot.Consistent(); err != nil {
		return nil, fmt.Errorf("check the snapshot: %w", err)
	}
	return snapshot, nil
}

func (p *Publisher) versions() map[string]uint64 {
	out := map[string]uint64{}
	for kind, name := range kinds {
		out[name] = p.transition.versions[kind]
	}
	return out
}

// Report is what Envoy has taken, and what it has yet to take.
func (p *Publisher) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.report
	out.Routes = slices.Clone(out.Routes)
	for i, r := range out.Routes {
		out.Routes[i].History = slices.Clone(r.History)
	}
	return out
}
