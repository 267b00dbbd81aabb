// Package routing is the mesh's own model of traffic: what is listened on,
// where requests go from there, and which endpoints stand behind each
// destination. Traffic APIs (SMI today) are translated into it, and it is
// translated into Envoy's configuration, so that neither side knows the other.
package routing

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Million is the denominator of a Mirror's share.
const Million = 1_000_000

// Destination is one port of one Service. Its string is the name of the
// Envoy cluster, listener and route that stand for it.
type Destination struct {
	Namespace string
	Service   string
	Port      uint16
}

// String is `<namespace>/<service>/<port>`.
func (d Destination) String() string {
	return fmt.Sprintf("%s/%s/%d", d.Namespace, d.Service, d.Port)
}

// Compare orders destinations by namespace, service and port.
func (d Destination) Compare(other Destination) int {
	switch {
	case d.Namespace != other.Namespace:
		return compare(d.Namespace, other.Namespace)
	case d.Service != other.Service:
		return compare(d.Service, other.Service)
	default:
		return int(d.Port) - int(other.Port)
	}
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// Backend is a destination and its relative weight.
type Backend struct {
	To     Destination
	Weight uint32
}

// Mirror sends copies of requests to a destination; the replies are dropped.
type Mirror struct {
	To Destination
	// Share is the part of the requests that is copied, out of Million.
	Share uint32
}

// HeaderMatch matches a header whose whole value matches the RE2 Regex.
type HeaderMatch struct {
	Name  string
	Regex string
}

// Match is a set of conditions that must all hold. An empty one always holds.
type Match struct {
	// PathRegex is an RE2 expression for the whole path, without the query.
	PathRegex string
	Methods   []string
	Headers   []HeaderMatch
}

// String tells the conditions in the order in which they stand, such as
// `path ^/cart$, header x-tenant ^(?:acme)$`.
func (m Match) String() string {
	var conditions []string
	if m.PathRegex != "" {
		conditions = append(conditions, "path "+m.PathRegex)
	}
	if len(m.Methods) > 0 {
		conditions = append(conditions, "method "+strings.Join(m.Methods, " or "))
	}
	for _, h := range m.Headers {
		conditions = append(conditions, "header "+h.Name+" "+h.Regex)
	}
	return strings.Join(conditions, ", ")
}

// Rule says where the requests that it matches go.
type Rule struct {
	// Matches are alternatives; without any, the rule takes every request.
	Matches  []Match
	Backends []Backend
	Mirror   *Mirror
}

// Source is the object that a route was made from.
type Source struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation"`
}

// Route is what happens to the requests that reach one Service port. The
// first rule that matches a request decides.
type Route struct {
	Root   Destination
	Listen netip.AddrPort
	Rules  []Rule
	Source Source
}

// Destinations are all destinations that the route names, mirrors included,
// in order and without repetition.
func (r Route) Destinations() []Destination {
	set := map[Destination]struct{}{}
	for _, rule := range r.Rules {
		for _, b := range rule.Backends {
			set[b.To] = struct{}{}
		}
		if rule.Mirror != nil {
			set[rule.Mirror.To] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(set), Destination.Compare)
}

// Carries says whether any of the users' requests go to the destination.
func (r Route) Carries(d Destination) bool {
	for _, rule := range r.Rules {
		for _, b := range rule.Backends {
			if b.To == d && b.Weight > 0 {
				return true
			}
		}
	}
	return false
}

// SameTraffic says whether both routes do the same with every request,
// whatever object they were made from.
func (r Route) SameTraffic(other Route) bool {
	return r.Root == other.Root && r.Listen == other.Listen && slices.EqualFunc(r.Rules, other.Rules, sameRule)
}

func sameRule(a, b Rule) bool {
	sameMirror := a.Mirror == nil && b.Mirror == nil || a.Mirror != nil && b.Mirror != nil && *a.Mirror == *b.Mirror
	return sameMirror && slices.Equal(a.Backends, b.Backends) && slices.EqualFunc(a.Matches, b.Matches, sameMatch)
}

func sameMatch(a, b Match) bool {
	return a.PathRegex == b.PathRegex && slices.Equal(a.Methods, b.Methods) && slices.Equal(a.Headers, b.Headers)
}

// Table is everything that the proxy is to do.
type Table struct {
	// Clusters has the endpoints of each destination, in order.
	Clusters map[Destination][]netip.AddrPort
	// Routes has an entry for each Service port that is listened on.
	Routes map[Destination]Route
}

// NewTable makes the table of services whose requests all go to their own
// endpoints.
func NewTable(services Services) Table {
	t := Table{Clusters: map[Destination][]netip.AddrPort{}, Routes: map[Destination]Route{}}
	for _, s := range services {
		for _, p := range s.Ports {
			d := s.Destination(p.Number)
			t.Clusters[d] = p.Endpoints
			if !p.HTTP {
				continue
			}
			t.Routes[d] = Route{
				Root:   d,
				Listen: netip.AddrPortFrom(s.Address, p.Number),
				Rules:  []Rule{{Backends: []Backend{{To: d, Weight: 1}}}},
				Source: Source{Kind: "Service", Name: s.Name, UID: s.UID},
			}
		}
	}
	return t
}
