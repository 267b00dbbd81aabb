// Package smi moves traffic with TrafficSplits of the Service Mesh Interface.
package smi

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/router"
)

// AnnotationWrittenAt is on every TrafficSplit of Weighlock's: when its traffic or its progress was last changed, in
// RFC 3339 with nanoseconds: two steps may ask for the same traffic, and each has its own clock. SMI has no status from which to tell that the mesh has taken a change.
const AnnotationWrittenAt = "weighlock.dev/written-at"

// DefaultSettle is how long a mesh is given to take a change, unless told otherwise.
const DefaultSettle = 2 * time.Second

// noMirror says why requests can't be copied, and what to do about it.
const noMirror = "SMI can't copy requests: leave shadow out of spec.steps, or set smi.mirror: true in spec.router if the mesh understands the annotation weighlock.dev/mirror on a TrafficSplit"

// Options are what a Router works with.
type Options struct {
	// Reader reads from caches. It must serve unstructured objects from them, as a manager's cache does.
	Reader client.Reader
	// Index of Reader, without which all TrafficSplits of a namespace are gone through.
	Index *Index
	// Writer writes to the API server.
	Writer client.Writer
	// Mapper tells which versions of TrafficSplit and HTTPRouteGroup the cluster serves.
	Mapper meta.RESTMapper
	// Version forces the version of TrafficSplit in which is written; empty for the newest that the cluster serves.
	Version string
	// Match says that the Rollout has steps that match: HTTPRouteGroups are looked after, and Capabilities tells whether they can be used.
	Match bool
	// Mirror says that the mesh understands the annotation v1alpha1.AnnotationMirror.
	Mirror bool
	// Settle is how long the mesh is given to take a change; DefaultSettle if zero.
	Settle time.Duration
	// Clock is the real one unless set.
	Clock clock.PassiveClock
	// Written and Deleted are called with each object that was written, as the API server returned it, or
	// deleted, so that the caller can wait until caches show it. They may be nil.
	Written func(client.Object)
	Deleted func(client.Object)
}

// Router is the router.Router for SMI. It keeps nothing: making one for each use is fine.
type Router struct {
	reader  client.Reader
	index   *Index
	writer  client.Writer
	mapper  meta.RESTMapper
	forced  string
	match   bool
	mirror  bool
	settle  time.Duration
	clock   clock.PassiveClock
	written func(client.Object)
	deleted func(client.Object)
}

var _ router.Router = (*Router)(nil)

// New returns a Router.
func New(opts Options) *Router {
	r := &Router{
		reader: opts.Reader, index: opts.Index, writer: opts.Writer, mapper: opts.Mapper,
		forced: opts.Version, match: opts.Match, mirror: opts.Mirror, settle: opts.Settle, clock: opts.Clock,
		written: opts.Written, deleted: opts.Deleted,
	}
	if r.settle == 0 {
		r.settle = DefaultSettle
	}
	if r.clock == nil {
		r.clock = clock.RealClock{}
	}
	if r.written == nil {
		r.written = func(client.Object) {}
	}
	if r.deleted == nil {
		r.deleted = func(client.Object) {}
	}
	return r
}

// Watched are the kinds whose changes may change what Observe says, as objects to watch them by. It is a
// router.UnsupportedError while the cluster doesn't serve TrafficSplits: a watch must not be started before.
func (r *Router) Watched() ([]client.Object, error) {
	speak, err := r.speech()
	if err != nil {
		return nil, err
	}
	kinds := []client.Object{object(splitKind, speak.read.name, "", "")}
	if !r.match {
		return kinds, nil
	}
	version, err := r.groupVersion()
	if err != nil {
		return nil, err
	}
	if version != "" {
		kinds = append(kinds, object(groupKind, version, "", ""))
	}
	return kinds, nil
}

// Capabilities says what SMI can express in this cluster. Whether it can match is only looked up when a step needs it.
func (r *Router) Capabilities() router.Capabilities {
	can := router.Capabilities{Weights: true, RestToRoot: true, Mirror: r.mirror, MirrorPercent: r.mirror}
	if !r.mirror {
		can.NoMirror = noMirror
	}
	if !r.match {
		return can
	}
	speak, err := r.speech()
	if err == nil {
		var groups string
		if groups, err = r.groupVersion(); err == nil {
			err = r.unmatchable(speak, groups)
		}
	}
	if err != nil {
		can.NoMatch = err.Error()
	}
	can.Match = err == nil
	return can
}
