package xds_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/weighlock/weighlock/local/mesh/routing"
	"github.com/weighlock/weighlock/local/mesh/xds"
)

func at(service string) routing.Destination {
	return routing.Destination{Namespace: "shop", Service: service, Port: 80}
}

// table is one Service, root, whose requests go to backends in equal parts,
// and other Services with so many endpoints.
func table(endpoints map[string]int, backends ...string) routing.Table {
	out := routing.Table{Clusters: map[routing.Destination][]netip.AddrPort{}, Routes: map[routing.Destination]routing.Route{}}
	for name, n := range endpoints {
		out.Clusters[at(name)] = nil
		for i := range n {
			address := netip.AddrFrom4([4]byte{10, 244, 0, byte(i + 1)})
			out.Clusters[at(name)] = append(out.Clusters[at(name)], netip.AddrPortFrom(address, 8080))
		}
	}
	rule := routing.Rule{}
	for _, b := range backends {
		rule.Backends = append(rule.Backends, routing.Backend{To: at(b), Weight: 1})
	}
	out.Routes[at("root")] = routing.Route{
		Root: at("root"), Listen: netip.MustParseAddrPort("10.96.0.50:80"), Rules: []routing.Rule{rule},
		Source: routing.Source{Kind: "TrafficSplit", Name: "root", Generation: int64(len(backends))},
	}
	return out
}

type rig struct {
	*proxy
	publisher *xds.Publisher
	clock     *clocktesting.FakeClock
	t         *testing.T
}

// start publishes a first table, and connects a proxy that takes it.
func start(t *testing.T, first routing.Table) *rig {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	r := &rig{publisher: xds.NewPublisher(xds.Options{Log: logr.Discard(), Clock: clock}), clock: clock, t: t}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.publisher.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r.publish(first)
	r.proxy = connect(t, r.publisher)
	until(t, "the first table to be acknowledged", func() bool {
		report := r.publisher.Report()
		route, ok := report.Route("shop", "root", 80)
		return ok && route.InForce != nil && route.Pending == nil
	})
	return r
}

func (r *rig) publish(table routing.Table) { r.publisher.Publish(r.t.Context(), table) }

// pass lets time pass once the publisher waits for it to.
func (r *rig) pass(d time.Duration) {
	until(r.t, "the publisher to wait", r.clock.HasWaiters)
	r.clock.Step(d)
}

func (r *rig) names(service string) func() bool {
	return func() bool { return slices.Contains(r.view().Named, at(service).String()) }
}

func (r *rig) has(service string) func() bool {
	return func() bool { return slices.Contains(r.view().Clusters, at(service).String()) }
}

func TestPublisher_NamesNoClusterInARouteBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	r := start(t, table(map[string]int{"root": 1}, "root"))
	r.hold(resource.EndpointType)
	r.publish(table(map[string]int{"root": 1, "new": 1}, "root", "new"))
	until(t, "the new endpoints to be offered", func() bool { return r.offered(resource.EndpointType) != nil })
	// However long it takes: Envoy would answer 503.
	r.clock.Step(time.Hour)
	r.publish(table(map[string]int{"root": 1, "new": 1}, "root", "new"))
	never(t, "a route to a cluster without endpoints", r.names("new"))
	report := r.publisher.Report()
	if route, _ := report.Route("shop", "root", 80); route.Pending == nil || route.Pending.Source.Generation != 2 {
		t.Errorf("pending is %+v, want the route that waits", route.Pending)
	}
	r.release(resource.EndpointType)
	until(t, "the route", r.names("new"))
}

func TestPublisher_WaitsForEndpointsForALimitedTime(t *testing.T) {
	t.Parallel()
	r := start(t, table(map[string]int{"root": 1}, "root"))
	r.publish(table(map[string]int{"root": 1, "new": 0}, "root", "new"))
	until(t, "the new cluster", r.has("new"))
	r.pass(xds.DefaultPatience - time.Millisecond)
	never(t, "a route to a cluster without endpoints", r.names("new"))
	r.pass(time.Millisecond)
	until(t, "the route", r.names("new"))
}

func TestPublisher_SendsTheRouteAsSoonAsEndpointsAreThere(t *testing.T) {
	t.Parallel()
	r := start(t, table(map[string]int{"root": 1}, "root"))
	r.publish(table(map[string]int{"root": 1, "new": 0}, "root", "new"))
	until(t, "the new cluster", r.has("new"))
	never(t, "a route to a cluster without endpoints", r.names("new"))
	r.publish(table(map[string]int{"root": 1, "new": 2}, "root", "new"))
	until(t, "the route, with no time passed", r.names("new"))
	if n := r.view().Endpoints[at("new").String()]; n != 2 {
		t.Errorf("the proxy has %d endpoints, want 2", n)
	}
}

func TestPublisher_KeepsEndpointsUntilTheRouteHasLeftThem(t *testing.T) {
	t.Parallel()
	r := start(t, table(map[string]int{"root": 1, "old": 1}, "old"))
	r.hold(resource.RouteType)
	r.publish(table(map[string]int{"root": 1, "old": 0}, "root"))
	until(t, "the route to be offered", func() bool { return r.offered(resource.RouteType) != nil })
	left := func() bool { return r.view().Endpoints[at("old").String()] == 0 }
	never(t, "endpoints go that requests are sent to", left)
	r.release(resource.RouteType)
	until(t, "the endpoints to go", left)
}

func TestPublisher_TakesEndpointsFromARouteThatStays(t *testing.T) {
	t.Parallel()
	r := start(t, table(map[string]int{"root": 1}, "root"))
	r.publish(table(map[string]int{"root": 0}, "root"))
	until(t, "the endpoints to go", func() bool { return r.view().Endpoints[at("root").String()] == 0 })
}

func TestPublisher_RemovesAClusterOnlyOnceDrained(t *testing.T) {
	t.Parallel()
	r := start(t, table(map[string]int{"root": 1, "old": 1}, "root", "old"))
	r.publish(table(map[string]int{"root": 1}, "root"))
	until(t, "the route to leave", func() bool { return !r.names("old")() })
	r.pass(xds.DefaultDrain - time.Millisecond)
	r.publish(table(map[string]int{"root": 1}, "root"))
	never(t, "the cluster go before it is drained", func() bool { return !r.has("old")() || r.view().Endpoints[at("old").String()] == 0 })
	r.pass(time.Millisecond)
	until(t, "the cluster to go", func() bool { return !r.has("old")() })
}

func TestPublisher_KeepsAClusterThatIsWantedAgain(t *testing.T) {
	t.Parallel()
	both := table(map[string]int{"root": 1, "old": 1}, "root", "old")
	r := start(t, both)
	r.publish(table(map[string]int{"root": 1}, "root"))
	until(t, "the route to leave", func() bool { return !r.names("old")() })
	r.pass(xds.DefaultDrain / 2)
	r.publish(both)
	until(t, "the route to come back", r.names("old"))
	r.clock.Step(2 * xds.DefaultDrain)
	never(t, "a cluster go that a route names", func() bool { return !r.has("old")() })
}

func TestPublisher_SendsOnlyRoutesWhenOnlyWeightsChange(t *testing.T) {
	t.Parallel()
	r := start(t, table(map[string]int{"root": 1, "new": 1}, "root"))
	before := r.publisher.Report().Acknowledged
	r.publish(table(map[string]int{"root": 1, "new": 1}, "root", "new"))
	until(t, "the route", r.names("new"))
	after := r.publisher.Report().Sent
	for _, kind := range []string{"clusters", "endpoints", "listeners"} {
		if before[kind] != after[kind] {
			t.Errorf("%s went from version %d to %d", kind, before[kind], after[kind])
		}
	}
	if after["routes"] != before["routes"]+1 {
		t.Errorf("routes went from version %d to %d, want one more", before["routes"], after["routes"])
	}
}

func TestPublisher_ReportsWhatIsAcknowledgedNotWhatIsSent(t *testing.T) {
	t.Parallel()
	r := start(t, table(map[string]int{"root": 1, "new": 1}, "root"))
	inForce := func() *xds.Traffic {
		report := r.publisher.Report()
		route, _ := report.Route("shop", "root", 80)
		return route.InForce
	}
	r.refuse(resource.RouteType, "no such thing")
	refused := r.clock.Now()
	r.publish(table(map[string]int{"root": 1, "new": 1}, "new"))
	until(t, "the refusal to be reported", func() bool {
		nacks := r.publisher.Report().Nacks
		return len(nacks) == 1 && nacks[0].Type == "routes" && nacks[0].Error == "no such thing"
	})
	never(t, "the same offered again", func() bool { return r.refusals() > 1 })
	if got := inForce(); got.Weights["new"] != 0 || got.Weights["root"] != 1 {
		t.Errorf("in force is %+v, want what the proxy took last", got)
	}
	r.refuse(resource.RouteType, "")
	r.clock.Step(time.Minute)
	r.publish(table(map[string]int{"root": 1, "new": 1}, "root", "new"))
	until(t, "the next route to be in force", func() bool { return inForce().Weights["new"] == 1 && inForce().Weights["root"] == 1 })
	if nacks := r.publisher.Report().Nacks; len(nacks) > 0 {
		t.Errorf("the refusal %+v is still reported after a route was taken", nacks)
	}
	if got := inForce(); got.Source.Generation != 2 || !got.AcknowledgedAt.Equal(r.clock.Now()) {
		t.Errorf("in force is %+v, want generation 2 since %v", got, r.clock.Now())
	}
	// Whether a proxy did what it refused only it can know.
	if got := inForce(); !got.SentAt.Equal(refused) {
		t.Errorf("the route before was left at %v, want %v, when something else was first sent", got.SentAt, refused)
	}
}
