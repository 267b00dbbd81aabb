package xds

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/weighlock/weighlock/local/mesh/routing"
)

// transition moves Envoy from one table to the next in an order that costs no
// request. It is pure: time and acknowledgements are handed to step.
//
//	a destination appears:  cluster + endpoints sent -> acknowledged -> routes may name it
//	a route moves away:     route sent -> acknowledged -> endpoints may go -> drain -> cluster removed
//
// With no proxy connected there is nobody to wait for, and the first table is
// sent whole: a proxy that starts fetches clusters before routes by itself.
type transition struct {
	patience time.Duration
	drain    time.Duration

	started  bool
	versions map[resource.Type]uint64
	clusters map[routing.Destination]*clusterState
	sent     map[routing.Destination]routing.Route
	waiting  map[routing.Destination]Waiting
	inForce  map[routing.Destination]InForce
	history  []sentRoutes
}

type clusterState struct {
	endpoints []netip.AddrPort
	// since and filled are versions of the endpoints: of the first that held
	// the cluster, and of the first that held endpoints for it ever since.
	since, filled uint64
	// idle is when nothing needed the cluster any more.
	idle time.Time
	// emptied is when its last endpoint went while Envoy still used it.
	emptied time.Time
}

type sentRoutes struct {
	version uint64
	at      time.Time
	routes  map[routing.Destination]routing.Route
}

// InForce is a route that Envoy has acknowledged.
type InForce struct {
	Route routing.Route
	// Sent is when Envoy was first sent something else than what was in force
	// before, and Since when the acknowledgement came in.
	Sent, Since time.Time
}

// Waiting says why a route is not sent to Envoy yet.
type Waiting struct {
	Since  time.Time
	Reason string
	// Source is of the route that waits.
	Source routing.Source
	// forCluster is set while Envoy doesn't know a cluster that the route names.
	forCluster bool
}

func newTransition(patience, drain time.Duration) *transition {
	return &transition{
		patience: patience, drain: drain,
		versions: map[resource.Type]uint64{}, clusters: map[routing.Destination]*clusterState{},
		sent: map[routing.Destination]routing.Route{}, waiting: map[routing.Destination]Waiting{}, inForce: map[routing.Destination]InForce{},
	}
}

// step does what can be done now towards the table. It returns the types of
// resources that changed, and the time at which to call it again if nothing
// else happens before; zero for never.
func (t *transition) step(now time.Time, want routing.Table, got taken) (changed map[resource.Type]bool, wake time.Time) {
	changed = map[resource.Type]bool{}
	later := func(at time.Time) {
		if wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	t.acknowledge(now, got)
	t.wantedClusters(now, want, changed, later)
	t.idleClusters(now, want, changed, later)
	// The version that will hold this step's changes of endpoints.
	if changed[resource.EndpointType] {
		t.versions[resource.EndpointType]++
	}
	if changed[resource.ClusterType] {
		t.versions[resource.ClusterType]++
	}
	t.routes(now, want, got, changed, later)
	for _, kind := range []resource.Type{resource.ListenerType, resource.RouteType} {
		if changed[kind] {
			t.versions[kind]++
		}
	}
	if changed[resource.RouteType] {
		t.history = append(t.history, sentRoutes{t.versions[resource.RouteType], now, maps.Clone(t.sent)})
	}
	t.started = true
	return changed, wake
}

// acknowledge takes over the routes of the newest version that Envoy has.
func (t *transition) acknowledge(now time.Time, got taken) {
	if got.proxies == 0 {
		// Who connects next gets the newest.
		t.history = t.history[max(0, len(t.history)-1):]
		return
	}
	newest := -1
	for i, h := range t.history {
		if h.version <= got.numbers[resource.RouteType] {
			newest = i
		}
	}
	if newest < 0 {
		return
	}
	passed, routes := t.history[:newest+1], t.history[newest].routes
	t.history = t.history[newest+1:]
	for root, r := range routes {
		if old, ok := t.inForce[root]; !ok || !old.Route.SameTraffic(r) || old.Route.Source != r.Source {
			t.inForce[root] = InForce{Route: r, Sent: leftAt(old.Route, root, passed), Since: now}
		}
	}
	maps.DeleteFunc(t.inForce, func(root routing.Destination, _ InForce) bool {
		_, ok := routes[root]
		return !ok
	})
}

// leftAt is when Envoy was first sent something else than a route, of all that
// it has passed since; the last when that is the same again.
func leftAt(old routing.Route, root routing.Destination, passed []sentRoutes) time.Time {
	for _, h := range passed {
		if r, ok := h.routes[root]; ok && !r.SameTraffic(old) {
			return h.at
		}
	}
	return passed[len(passed)-1].at
}

func (t *transition) wantedClusters(now time.Time, want routing.Table, changed map[resource.Type]bool, later func(time.Time)) {
	next := t.versions[resource.EndpointType] + 1
	for d, endpoints := range want.Clusters {
		c, ok := t.clusters[d]
		if !ok {
			c = &clusterState{since: next}
			t.clusters[d] = c
			changed[resource.ClusterType], changed[resource.EndpointType] = true, true
		}
		c.idle = time.Time{}
		if len(endpoints) == 0 && len(c.endpoints) > 0 && t.leaving(d, want) {
			// The route that takes requests off it must reach Envoy first.
			if c.emptied.IsZero() {
				c.emptied = now
			}
			if end := c.emptied.Add(t.patience); now.Before(end) {
				later(end)
				continue
			}
		}
		c.emptied = time.Time{}
		if slices.Equal(c.endpoints, endpoints) {
			continue
		}
		if len(endpoints) == 0 {
			c.filled = 0
		} else if len(c.endpoints) == 0 {
			c.filled = next
		}
		c.endpoints = endpoints
		changed[resource.EndpointType] = true
	}
}

// leaving says whether Envoy still sends requests to a destination that the
// wanted routes don't.
func (t *transition) leaving(d routing.Destination, want routing.Table) bool {
	for _, r := range want.Routes {
		if r.Carries(d) {
			return false
		}
	}
	return slices.ContainsFunc(t.live(), func(r routing.Route) bool { return r.Carries(d) })
}

// live are all routes that Envoy may be using.
func (t *transition) live() []routing.Route {
	out := slices.Collect(maps.Values(t.sent))
	for _, f := range t.inForce {
		out = append(out, f.Route)
	}
	for _, h := range t.history {
		out = slices.AppendSeq(out, maps.Values(h.routes))
	}
	return out
}

// idleClusters removes clusters some time after the last route that named
// them, so that the requests under way can end, and adds those that a route
// names though their Service is gone.
func (t *transition) idleClusters(now time.Time, want routing.Table, changed map[resource.Type]bool, later func(time.Time)) {
	named := map[routing.Destination]bool{}
	for _, r := range slices.AppendSeq(t.live(), maps.Values(want.Routes)) {
		for _, d := range r.Destinations() {
			named[d] = true
		}
	}
	for d := range named {
		if _, ok := t.clusters[d]; !ok {
			t.clusters[d] = &clusterState{since: t.versions[resource.EndpointType] + 1}
			changed[resource.ClusterType], changed[resource.EndpointType] = true, true
		}
	}
	for d, c := range t.clusters {
		_, wanted := want.Clusters[d]
		switch {
		case wanted || named[d]:
			c.idle = time.Time{}
		case c.idle.IsZero():
			c.idle = now
			later(now.Add(t.drain))
		case now.Before(c.idle.Add(t.drain)):
			later(c.idle.Add(t.drain))
		default:
			delete(t.clusters, d)
			changed[resource.ClusterType], changed[resource.EndpointType] = true, true
		}
	}
}

func (t *transition) routes(now time.Time, want routing.Table, got taken, changed map[resource.Type]bool, later func(time.Time)) {
	for root, r := range want.Routes {
		old, known := t.sent[root]
		if known && old.SameTraffic(r) {
			delete(t.waiting, root)
			t.renew(now, root, r)
			continue
		}
		if w, wait := t.blocked(now, r, old, got); wait {
			t.waiting[root] = w
			if !w.forCluster {
				later(w.Since.Add(t.patience))
			}
			continue
		}
		delete(t.waiting, root)
		t.sent[root] = r
		changed[resource.RouteType] = true
		changed[resource.ListenerType] = changed[resource.ListenerType] || !known || old.Listen != r.Listen
	}
	for root := range t.sent {
		if _, ok := want.Routes[root]; !ok {
			delete(t.sent, root)
			changed[resource.RouteType], changed[resource.ListenerType] = true, true
		}
	}
	maps.DeleteFunc(t.waiting, func(root routing.Destination, _ Waiting) bool {
		_, ok := want.Routes[root]
		return !ok
	})
}

// renew records that what Envoy does already is now said by another
// generation or object: nothing has to be sent, or waited for.
func (t *transition) renew(now time.Time, root routing.Destination, r routing.Route) {
	if t.sent[root].Source == r.Source {
		return
	}
	t.sent[root] = r
	for _, h := range t.history {
		if old, ok := h.routes[root]; ok && old.SameTraffic(r) {
			h.routes[root] = r
		}
	}
	if f, ok := t.inForce[root]; ok && f.Route.SameTraffic(r) {
		t.inForce[root] = InForce{Route: r, Sent: now, Since: now}
	}
}

// blocked says why a route should wait: Envoy would answer 503 where it names
// a cluster that Envoy has not got, or newly sends requests to one without
// endpoints. The latter is waited for a limited time only, since the mesh
// can't know better than who wrote the split.
func (t *transition) blocked(now time.Time, r, old routing.Route, got taken) (Waiting, bool) {
	if got.proxies == 0 || !t.started {
		return Waiting{}, false
	}
	acknowledged := got.numbers[resource.EndpointType]
	var unknown, empty []string
	for _, d := range r.Destinations() {
		c := t.clusters[d]
		switch {
		case c.since > acknowledged:
			unknown = append(unknown, d.String())
		case r.Carries(d) && !old.Carries(d) && (c.filled == 0 || c.filled > acknowledged):
			empty = append(empty, d.String())
		}
	}
	w := Waiting{Since: now, Source: r.Source}
	if before, ok := t.waiting[r.Root]; ok {
		w.Since = before.Since
	}
	switch {
	case len(unknown) > 0:
		w.Reason = fmt.Sprintf("Envoy has not yet acknowledged %s", strings.Join(unknown, ", "))
		w.forCluster = true
		return w, true
	case len(empty) > 0 && now.Before(w.Since.Add(t.patience)):
		w.Reason = fmt.Sprintf("no endpoints of %s are ready", strings.Join(empty, ", "))
		return w, true
	default:
		return Waiting{}, false
	}
}
