package xds

import (
	"maps"
	"slices"
	"time"

	"github.com/weighlock/weighlock/local/mesh/routing"
)

// historyLength is how many past changes of each route a report holds.
const historyLength = 50

// Report says what Envoy does, as far as it has acknowledged it.
type Report struct {
	// Proxies is the number of Envoys that are connected.
	Proxies int `json:"proxies"`
	// Sent and Acknowledged are version numbers by type: clusters, endpoints,
	// listeners, routes.
	Sent         map[string]uint64 `json:"sent"`
	Acknowledged map[string]uint64 `json:"acknowledged"`
	// Nacks are configurations that Envoy refused and that no accepted one of
	// the same type followed yet.
	Nacks  []Nack        `json:"nacks,omitempty"`
	Routes []RouteReport `json:"routes"`
}

// RouteReport is about one Service port that Envoy listens on.
type RouteReport struct {
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Port      uint16 `json:"port"`
	// InForce is what Envoy has acknowledged; nil if nothing yet.
	InForce *Traffic `json:"inForce,omitempty"`
	// Pending is a change that is not in force, and what it waits for.
	Pending *Pending `json:"pending,omitempty"`
	// History are the latest changes, the oldest first, InForce the last.
	History []Traffic `json:"history,omitempty"`
}

// Traffic is where the requests of a route go.
type Traffic struct {
	Source routing.Source `json:"source"`
	// Weights by Service, for the requests that the first rule matches.
	Weights map[string]uint32 `json:"weights"`
	// Matches are the alternatives of which one must hold for the first rule to
	// take a request; it takes every one without.
	Matches []string `json:"matches,omitempty"`
	// Mirror is the Service that gets copies, MirrorPercent of all requests.
	Mirror        string  `json:"mirror,omitempty"`
	MirrorPercent float64 `json:"mirrorPercent,omitempty"`
	// SentAt is when Envoy was first sent something else than what was in
	// force before: until then that was in force.
	SentAt time.Time `json:"sentAt"`
	// AcknowledgedAt is when Envoy's acknowledgement came in.
	AcknowledgedAt time.Time `json:"acknowledgedAt"`
}

// Pending is a change that Envoy has not acknowledged.
type Pending struct {
	Source routing.Source `json:"source"`
	Reason string         `json:"reason"`
}

// Route finds the report on a Service port; false if Envoy does not, and will
// not, listen on it.
func (r *Report) Route(namespace, service string, port uint16) (RouteReport, bool) {
	i := slices.IndexFunc(r.Routes, func(rr RouteReport) bool {
		return rr.Namespace == namespace && rr.Service == service && rr.Port == port
	})
	if i < 0 {
		return RouteReport{}, false
	}
	return r.Routes[i], true
}

func newReport() Report {
	return Report{Sent: map[string]uint64{}, Acknowledged: map[string]uint64{}, Routes: []RouteReport{}}
}

func (r *Report) update(t *transition, got taken, sent map[string]uint64) {
	r.Proxies, r.Sent, r.Nacks = got.proxies, sent, got.nacks
	acknowledged := map[string]uint64{}
	for kind, n := range got.numbers {
		acknowledged[kinds[kind]] = n
	}
	r.Acknowledged = acknowledged

	roots := map[routing.Destination]bool{}
	for root := range t.sent {
		roots[root] = true
	}
	for root := range t.inForce {
		roots[root] = true
	}
	for root := range t.waiting {
		roots[root] = true
	}
	routes := make([]RouteReport, 0, len(roots))
	for _, root := range slices.SortedFunc(maps.Keys(roots), routing.Destination.Compare) {
		before, _ := r.Route(root.Namespace, root.Service, root.Port)
		routes = append(routes, routeReport(root, t, before.History))
	}
	r.Routes = routes
}

func routeReport(root routing.Destination, t *transition, history []Traffic) RouteReport {
	out := RouteReport{Namespace: root.Namespace, Service: root.Service, Port: root.Port, History: history}
	force, known := t.inForce[root]
	if known {
		now := traffic(force)
		out.InForce = &now
		if len(history) == 0 || history[len(history)-1].Source != now.Source || !history[len(history)-1].AcknowledgedAt.Equal(now.AcknowledgedAt) {
			out.History = append(slices.Clip(history), now)
			out.History = out.History[max(0, len(out.History)-historyLength):]
		}
	}
	sent, isSent := t.sent[root]
	switch w, isWaiting := t.waiting[root]; {
	case isWaiting:
		out.Pending = &Pending{Source: w.Source, Reason: w.Reason}
	case isSent && (!known || !force.Route.SameTraffic(sent)):
		out.Pending = &Pending{Source: sent.Source, Reason: "sent to Envoy, not yet acknowledged"}
	}
	return out
}

func traffic(f InForce) Traffic {
	rule := f.Route.Rules[0]
	out := Traffic{Source: f.Route.Source, Weights: map[string]uint32{}, SentAt: f.Sent, AcknowledgedAt: f.Since}
	for _, m := range rule.Matches {
		out.Matches = append(out.Matches, m.String())
	}
	for _, b := range rule.Backends {
		out.Weights[b.To.Service] += b.Weight
	}
	if m := rule.Mirror; m != nil {
		out.Mirror, out.MirrorPercent = m.To.Service, float64(m.Share)*100/routing.Million
	}
	return out
}
