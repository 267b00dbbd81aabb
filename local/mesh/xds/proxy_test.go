package xds_test

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/weighlock/weighlock/local/mesh/xds"
)

// proxy speaks the discovery protocol as Envoy does, but can hold its
// acknowledgements back, which a real one can't be made to.
type proxy struct {
	stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient

	mu       sync.Mutex
	names    map[resource.Type][]string // what is subscribed to
	versions map[resource.Type]string
	nonces   map[resource.Type]string
	held     map[resource.Type]bool
	owed     map[resource.Type]*discovery.DiscoveryResponse
	refusing map[resource.Type]string
	refused  int

	// endpoints by cluster, and the clusters that routes name.
	clusters  []string
	endpoints map[string]int
	named     map[string]bool
}

func connect(t *testing.T, publisher *xds.Publisher) *proxy {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- publisher.Serve(ctx, l) }()
	connection, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = connection.Close()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{
		stream: stream, names: map[resource.Type][]string{}, versions: map[resource.Type]string{}, nonces: map[resource.Type]string{},
		held: map[resource.Type]bool{}, owed: map[resource.Type]*discovery.DiscoveryResponse{}, refusing: map[resource.Type]string{},
		endpoints: map[string]int{}, named: map[string]bool{},
	}
	p.mu.Lock()
	p.request(resource.ClusterType, nil)
	p.request(resource.ListenerType, nil)
	p.mu.Unlock()
	go p.receive()
	return p
}

func (p *proxy) receive() {
	for {
		response, err := p.stream.Recv()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.nonces[response.GetTypeUrl()] = response.GetNonce()
		if p.held[response.GetTypeUrl()] {
			p.owed[response.GetTypeUrl()] = response
		} else {
			p.take(response)
		}
		p.mu.Unlock()
	}
}

func (p *proxy) take(response *discovery.DiscoveryResponse) {
	kind := response.GetTypeUrl()
	if reason := p.refusing[kind]; reason != "" {
		p.refused++
		p.request(kind, &status.Status{Message: reason})
		return
	}
	p.versions[kind] = response.GetVersionInfo()
	subscribe := map[resource.Type][]string{}
	p.apply(kind, response, subscribe)
	p.request(kind, nil)
	for kind, names := range subscribe {
		slices.Sort(names)
		if !slices.Equal(p.names[kind], names) && len(names) > 0 {
			p.names[kind] = names
			p.request(kind, nil)
		}
	}
}

func (p *proxy) apply(kind resource.Type, response *discovery.DiscoveryResponse, subscribe map[resource.Type][]string) {
	switch kind {
	case resource.ClusterType:
		p.clusters = nil
	case resource.RouteType:
		p.named = map[string]bool{}
	}
	for _, packed := range response.GetResources() {
		message, err := packed.UnmarshalNew()
		if err != nil {
			panic(err)
		}
		switch r := message.(type) {
		case *cluster.Cluster:
			p.clusters = append(p.clusters, r.GetName())
			subscribe[resource.EndpointType] = append(subscribe[resource.EndpointType], r.GetName())
		case *listener.Listener:
			subscribe[resource.RouteType] = append(subscribe[resource.RouteType], r.GetName())
		case *endpoint.ClusterLoadAssignment:
			p.endpoints[r.GetClusterName()] = len(r.GetEndpoints()[0].GetLbEndpoints())
		case *route.RouteConfiguration:
			for _, entry := range r.GetVirtualHosts()[0].GetRoutes() {
				for _, c := range entry.GetRoute().GetWeightedClusters().GetClusters() {
					p.named[c.GetName()] = true
				}
			}
		}
	}
}

func (p *proxy) request(kind resource.Type, refusal *status.Status) {
	_ = p.stream.Send(&discovery.DiscoveryRequest{
		Node: &core.Node{Id: "test"}, TypeUrl: kind, ResourceNames: p.names[kind],
		VersionInfo: p.versions[kind], ResponseNonce: p.nonces[kind], ErrorDetail: refusal,
	})
}

// hold makes the proxy look at nothing new of a type until it is released.
func (p *proxy) hold(kind resource.Type) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[kind] = true
}

func (p *proxy) release(kind resource.Type) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[kind] = false
	if response := p.owed[kind]; response != nil {
		delete(p.owed, kind)
		p.take(response)
	}
}

// refuse makes the proxy refuse what comes of a type, for a reason; none ends
// that.
func (p *proxy) refuse(kind resource.Type, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing[kind] = reason
}

// refusals is how often the proxy refused something.
func (p *proxy) refusals() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// offered is an offer of that type that the proxy holds; nil if there is none.
func (p *proxy) offered(kind resource.Type) *discovery.DiscoveryResponse {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed[kind] == nil {
		return nil
	}
	return proto.CloneOf(p.owed[kind])
}

// view is what the proxy has taken.
type view struct {
	Clusters  []string
	Endpoints map[string]int
	Named     []string
}

func (p *proxy) view() view {
	p.mu.Lock()
	defer p.mu.Unlock()
	clusters := slices.Clone(p.clusters)
	slices.Sort(clusters)
	return view{Clusters: clusters, Endpoints: maps.Clone(p.endpoints), Named: slices.Sorted(maps.Keys(p.named))}
}

// until waits for something to hold.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// never looks for a while that something does not come to hold.
func never(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if holds() {
			t.Fatalf("saw %s", what)
		}
	}
}
