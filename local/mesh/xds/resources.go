// Package xds keeps an Envoy in step with a routing table, over the aggregated
// discovery service, without ever costing a user's request: endpoints reach
// Envoy before the routes that use them, and leave it after them.
package xds

import (
	"fmt"
	"net/netip"
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	stream "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weighlock/weighlock/local/mesh/routing"
)

const (
	connectTimeout = 5 * time.Second
	// upstreamIdle is far below any application's own keep-alive timeout:
	// were it above, the application could close a connection in the moment
	// that Envoy puts a request on it, which is a 503.
	upstreamIdle = 20 * time.Second
	// unlimited lifts Envoy's default of 1,024 requests and connections per
	// cluster, which a benchmark would hit.
	unlimited = 1 << 20
)

func clusterResource(d routing.Destination) (*cluster.Cluster, error) {
	options, err := anypb.New(&upstreams.HttpProtocolOptions{
		CommonHttpProtocolOptions: &core.HttpProtocolOptions{IdleTimeout: durationpb.New(upstreamIdle)},
		UpstreamProtocolOptions: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &core.Http1ProtocolOptions{}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the protocol options of cluster %s: %w", d, err)
	}
	limit := wrapperspb.UInt32(unlimited)
	return &cluster.Cluster{
		Name:                          d.String(),
		ClusterDiscoveryType:          &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig:              &cluster.Cluster_EdsClusterConfig{EdsConfig: ads()},
		ConnectTimeout:                durationpb.New(connectTimeout),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
		CircuitBreakers: &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
			MaxConnections: limit, MaxPendingRequests: limit, MaxRequests: limit,
		}}},
	}, nil
}

func endpointResource(d routing.Destination, endpoints []netip.AddrPort) *endpoint.ClusterLoadAssignment {
	lb := make([]*endpoint.LbEndpoint, 0, len(endpoints))
	for _, e := range endpoints {
		lb = append(lb, &endpoint.LbEndpoint{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: socket(e)}}})
	}
	return &endpoint.ClusterLoadAssignment{ClusterName: d.String(), Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: lb}}}
}

func listenerResource(r routing.Route) (*listener.Listener, error) {
	name := r.Root.String()
	routerConfig, err := anypb.New(&router.Router{})
	if err != nil {
		return nil, fmt.Errorf("encode the router of listener %s: %w", name, err)
	}
	logs, err := proxyErrorLog()
	if err != nil {
		return nil, err
	}
	manager, err := anypb.New(&hcm.HttpConnectionManager{
		StatPrefix:                 name,
		RouteSpecifier:             &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: name, ConfigSource: ads()}},
		ServerHeaderTransformation: hcm.HttpConnectionManager_PASS_THROUGH,
		AccessLog:                  []*accesslog.AccessLog{logs},
		HttpFilters:                []*hcm.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: routerConfig}}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the connection manager of listener %s: %w", name, err)
	}
	return &listener.Listener{
		Name:    name,
		Address: socket(r.Listen),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{
			Name: "envoy.filters.network.http_connection_manager", ConfigType: &listener.Filter_TypedConfig{TypedConfig: manager},
		}}}},
	}, nil
}

// proxyErrorLog writes a line for each reply that Envoy made itself, with the
// response flags that say why: these are the ones a mesh has to answer for.
func proxyErrorLog() (*accesslog.AccessLog, error) {
	config, err := anypb.New(&stream.StderrAccessLog{})
	if err != nil {
		return nil, fmt.Errorf("encode the access log: %w", err)
	}
	return &accesslog.AccessLog{
		Name:       "envoy.access_loggers.stderr",
		Filter:     &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{ResponseFlagFilter: &accesslog.ResponseFlagFilter{}}},
		ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: config},
	}, nil
}

func ads() *core.ConfigSource {
	return &core.ConfigSource{
		ResourceApiVersion:    core.ApiVersion_V3,
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
	}
}

func socket(a netip.AddrPort) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address:       a.Addr().String(),
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(a.Port())},
	}}}
}
