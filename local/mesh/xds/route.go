package xds

import (
	"regexp"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weighlock/weighlock/local/mesh/routing"
)

func routeResource(r routing.Route) *route.RouteConfiguration {
	var routes []*route.Route
	for _, rule := range r.Rules {
		action := &route.Route_Route{Route: routeAction(rule)}
		if len(rule.Matches) == 0 {
			routes = append(routes, &route.Route{Match: routeMatch(routing.Match{}), Action: action})
		}
		for _, m := range rule.Matches {
			routes = append(routes, &route.Route{Match: routeMatch(m), Action: action})
		}
	}
	return &route.RouteConfiguration{
		Name:         r.Root.String(),
		VirtualHosts: []*route.VirtualHost{{Name: r.Root.String(), Domains: []string{"*"}, Routes: routes}},
	}
}

// routeAction leaves backends without weight out: a cluster that a route does
// not name can be removed without harm.
func routeAction(rule routing.Rule) *route.RouteAction {
	weighted := &route.WeightedCluster{}
	for _, b := range rule.Backends {
		if b.Weight > 0 {
			weighted.Clusters = append(weighted.Clusters, &route.WeightedCluster_ClusterWeight{Name: b.To.String(), Weight: wrapperspb.UInt32(b.Weight)})
		}
	}
	action := &route.RouteAction{
		ClusterSpecifier: &route.RouteAction_WeightedClusters{WeightedClusters: weighted},
		// Envoy's default of 15 s would fail slow requests that the
		// application answers; how long is too long is not the mesh's to say.
		Timeout: durationpb.New(0),
	}
	if m := rule.Mirror; m != nil {
		action.RequestMirrorPolicies = []*route.RouteAction_RequestMirrorPolicy{{
			Cluster: m.To.String(),
			RuntimeFraction: &core.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{
				Numerator: m.Share, Denominator: typev3.FractionalPercent_MILLION,
			}},
			DisableShadowHostSuffixAppend: true,
		}}
	}
	return action
}

func routeMatch(m routing.Match) *route.RouteMatch {
	out := &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}
	if m.PathRegex != "" {
		out.PathSpecifier = &route.RouteMatch_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: m.PathRegex}}
	}
	if len(m.Methods) > 0 {
		quoted := make([]string, len(m.Methods))
		for i, method := range m.Methods {
			quoted[i] = regexp.QuoteMeta(method)
		}
		out.Headers = append(out.Headers, headerMatcher(":method", strings.Join(quoted, "|")))
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, headerMatcher(h.Name, h.Regex))
	}
	return out
}

// headerMatcher matches the whole value, as Envoy's regular expressions do.
func headerMatcher(name, regex string) *route.HeaderMatcher {
	return &route.HeaderMatcher{Name: name, HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{StringMatch: &matcher.StringMatcher{
		MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: regex}},
	}}}
}
