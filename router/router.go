// Package router is the port through which Weighlock moves the traffic of one
// root service between tracks. Its adapters are below it.
package router

import (
	"context"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Router moves traffic of one root service between the incumbent and the
// candidate.
type Router interface {
	// Apply makes the cluster ask the mesh for traffic. It is idempotent: it
	// writes nothing where the cluster holds the same already, and once at most where
	// only weights change.
	Apply(ctx context.Context, target Target, traffic Traffic) error

	// Observe reads, from caches, what the cluster holds and how far the mesh has taken it. It is an
	// UnsupportedError when no route can be written here: what is returned with it says that none exists.
	Observe(ctx context.Context, target Target) (Observed, error)

	// Release leaves the service as it was found: it removes what Apply made. Nothing
	// there is no error.
	Release(ctx context.Context, target Target) error

	// Capabilities says what the router can express in this cluster.
	Capabilities() Capabilities
}

// Target is the root service whose traffic is moved, and for whom.
type Target struct {
	// Namespace of the Rollout, the Service and the route.
	Namespace string
	// Rollout is the name of the Rollout that asks; what is written carries it as a label.
	Rollout string
	// Service is the root service.
	Service string
	// Port of the root service and of each backend.
	Port int32
}

// Traffic is a whole traffic state. What it does not name is off.
type Traffic struct {
	// Incumbent is the Service of the incumbent's track.
	Incumbent string
	// Candidate is the Service of the candidate's track; empty when there is none.
	Candidate string
	// Weight of the candidate out of Total.
	Weight, Total int32
	// Match sends matched requests to the candidate.
	Match []v1alpha1.RequestMatch
	// Shadow is the percentage of requests that are copied to the candidate.
	Shadow int32
	// Progress is kept with the route, in the same write.
	Progress string
	// Continues says that the progress is of the same step as before: where the traffic stays, too, it counts as written and taken
	// when it was.
	Continues bool
}

// Observed is what the cluster holds of a route.
type Observed struct {
	// Exists is false when there is no route of ours.
	Exists bool
	// Progress as it was written with the traffic.
	Progress string
	// Foreign says who else wrote the route, or which other route moves the traffic of the same service; empty when
	// nobody does.
	Foreign string
	// WrittenAt is when its traffic or progress was last changed.
	WrittenAt time.Time
	// Taken says that the mesh has taken the route as it now stands; TakenAt is since when.
	Taken   bool
	TakenAt time.Time
	// Settles is when a route that isn't Taken will be, where that can be known; else zero.
	Settles time.Time
	// Rejected is the mesh's reason for not taking the route; empty when it has none.
	Rejected string
	// Matches says whether the route holds the traffic that is handed in. It is never nil.
	Matches func(Traffic) bool
}

// Capabilities is what a router can express.
type Capabilities struct {
	Weights         bool
	Match           bool
	WeightWithMatch bool
	Mirror          bool
	MirrorPercent   bool
	// NoMatch and NoMirror say why there is no Match or Mirror, and what to do about it; empty where there is
	// nothing more to say.
	NoMatch, NoMirror string
	// RestToRoot says that requests which a match leaves over go to the root Service's own pods, the workload's,
	// whatever the incumbent's track is.
	RestToRoot bool
}

// UnsupportedError says that the cluster or the mesh can't do what is asked, and what
// to do about it. It doesn't go away by trying again.
type UnsupportedError struct {
	Message string
}

func (e *UnsupportedError) Error() string { return e.Message }
