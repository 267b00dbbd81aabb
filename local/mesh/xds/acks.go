package xds

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	server "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// kinds are the resource types that this package serves, with the names that
// logs and the report use.
var kinds = map[resource.Type]string{
	resource.ClusterType:  "clusters",
	resource.EndpointType: "endpoints",
	resource.ListenerType: "listeners",
	resource.RouteType:    "routes",
}

// Nack is a configuration that Envoy refused.
type Nack struct {
	Type    string    `json:"type"`
	Version string    `json:"version"`
	Error   string    `json:"error"`
	At      time.Time `json:"at"`
}

// acks follows what connected proxies have taken. Versions are
// `<incarnation>.<number>`; numbers of another incarnation count as nothing.
type acks struct {
	incarnation string
	log         logr.Logger
	clock       clock.PassiveClock
	changed     chan struct{}

	mu      sync.Mutex
	streams map[int64]map[resource.Type]uint64
	sent    map[string]string // the version sent, by stream, type and nonce
	nacks   map[resource.Type]Nack
}

func newAcks(incarnation string, log logr.Logger, c clock.PassiveClock) *acks {
	return &acks{
		incarnation: incarnation, log: log, clock: c, changed: make(chan struct{}, 1),
		streams: map[int64]map[resource.Type]uint64{}, sent: map[string]string{}, nacks: map[resource.Type]Nack{},
	}
}

func (a *acks) version(n uint64) string { return a.incarnation + "." + strconv.FormatUint(n, 10) }

func (a *acks) number(version string) uint64 {
	text, ok := strings.CutPrefix(version, a.incarnation+".")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// callbacks are what the discovery server reports to.
func (a *acks) callbacks() server.Callbacks {
	return server.CallbackFuncs{
		StreamOpenFunc: func(_ context.Context, id int64, _ string) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.streams[id] = map[resource.Type]uint64{}
			return nil
		},
		StreamClosedFunc: func(id int64, _ *core.Node) { a.close(id) },
		StreamResponseFunc: func(_ context.Context, id int64, _ *discovery.DiscoveryRequest, r *discovery.DiscoveryResponse) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.sent[sentKey(id, r.GetTypeUrl(), r.GetNonce())] = r.GetVersionInfo()
		},
		StreamRequestFunc: func(id int64, r *discovery.DiscoveryRequest) error {
			a.request(id, r)
			return nil
		},
	}
}

func sentKey(stream int64, typeURL, nonce string) string {
	return fmt.Sprintf("%d %s %s", stream, typeURL, nonce)
}

func (a *acks) close(stream int64) {
	a.mu.Lock()
	delete(a.streams, stream)
	prefix := strconv.FormatInt(stream, 10) + " "
	maps.DeleteFunc(a.sent, func(k, _ string) bool { return strings.HasPrefix(k, prefix) })
	a.mu.Unlock()
	a.log.Info("Envoy disconnected", "stream", stream)
	a.notify()
}

func (a *acks) request(stream int64, r *discovery.DiscoveryRequest) {
	typeURL := r.GetTypeUrl()
	a.mu.Lock()
	key := sentKey(stream, typeURL, r.GetResponseNonce())
	refused := a.sent[key]
	delete(a.sent, key)
	if e := r.GetErrorDetail(); e != nil {
		a.nacks[typeURL] = Nack{Type: kinds[typeURL], Version: refused, Error: e.GetMessage(), At: a.clock.Now()}
		a.mu.Unlock()
		// A refusal carries the version taken before, to which the cache
		// would answer by sending what was refused again, and so on for ever.
		// With the version refused it waits for another.
		r.VersionInfo = refused
		a.log.Error(nil, "Envoy refused a configuration", "type", kinds[typeURL], "version", refused, "reason", e.GetMessage())
		a.notify()
		return
	}
	n := a.number(r.GetVersionInfo())
	if s := a.streams[stream]; s != nil {
		s[typeURL] = max(s[typeURL], n)
	}
	if nack, ok := a.nacks[typeURL]; ok && n > a.number(nack.Version) {
		delete(a.nacks, typeURL)
	}
	a.mu.Unlock()
	a.log.V(1).Info("Envoy acknowledged", "type", kinds[typeURL], "version", r.GetVersionInfo())
	a.notify()
}

func (a *acks) notify() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// taken is what all connected proxies have acknowledged.
type taken struct {
	proxies int
	numbers map[resource.Type]uint64
	nacks   []Nack
}

func (a *acks) taken() taken {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := taken{proxies: len(a.streams), numbers: map[resource.Type]uint64{}}
	for kind := range kinds {
		first := true
		for _, s := range a.streams {
			if first || s[kind] < out.numbers[kind] {
				out.numbers[kind] = s[kind]
			}
			first = false
		}
	}
	out.nacks = slices.SortedFunc(maps.Values(a.nacks), func(x, y Nack) int { return strings.Compare(x.Type, y.Type) })
	return out
}
