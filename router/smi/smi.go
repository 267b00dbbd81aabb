// Package smi moves traffic with TrafficSplits of the Service Mesh Interface.
package smi

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/router"
)

// AnnotationWrittenAt is on every TrafficSplit of Weighlock's: when its traffic or its progress was last changed, in
// RFC 3339 with nanoseconds: two steps may ask for the same traffic, and each has its own clock. SMI has no status from which to tell that the mesh has taken a change.
const AnnotationWrittenAt = "weighlock.dev/written-at"

// DefaultSettle is how long a mesh is given to take a change, unless told otherwise.
const DefaultSettle = 2 * time.Second

// Options are what a Router works with.
type Options struct {
	// Reader reads from caches. It must serve unstructured objects from them, as a manager's cache does.
	Reader client.Reader
	// Writer writes to the API server.
	Writer client.Writer
	// Mapper tells which versions of TrafficSplit the cluster serves.
	Mapper meta.RESTMapper
	// Version forces a version; empty for the best that the cluster serves.
	Version string
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
	writer  client.Writer
	mapper  meta.RESTMapper
	forced  string
	settle  time.Duration
	clock   clock.PassiveClock
	written func(client.Object)
	deleted func(client.Object)
}

var _ router.Router = (*Router)(nil)

// New returns a Router.
func New(opts Options) *Router {
	r := &Router{
		reader: opts.Reader, writer: opts.Writer, mapper: opts.Mapper,
		forced: opts.Version, settle: opts.Settle, clock: opts.Clock,
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

// Watched is the kind whose changes may change what Observe says, as the object to watch it by. It is a
// router.UnsupportedError while the cluster doesn't serve it: a watch must not be started before.
func (r *Router) Watched() (client.Object, error) {
	speak, err := r.version()
	if err != nil {
		return nil, err
	}
	return object(speak, "", ""), nil
}

// Capabilities says what SMI can express: weights, so far.
func (r *Router) Capabilities() router.Capabilities {
	return router.Capabilities{Weights: true}
}

// Apply writes the TrafficSplit of the root service. It needs get, list, watch, create and patch on
// trafficsplits.
func (r *Router) Apply(ctx context.Context, target router.Target, traffic router.Traffic) error {
	if err := expressible(traffic); err != nil {
		return err
	}
	speak, err := r.version()
	if err != nil {
		return err
	}
	existing, err := r.get(ctx, speak, target)
	if err != nil {
		return err
	}
	if existing != nil && !ours(existing, target) {
		return obstructed(existing.GetName(), target)
	}
	want := render(speak, target, traffic)
	if existing != nil {
		want.SetUID(existing.GetUID())
		known := existing.GetAnnotations()
		if sameTraffic(existing, want) && known[AnnotationWrittenAt] != "" && known[v1alpha1.AnnotationProgress] == traffic.Progress {
			return nil
		}
	}
	at := r.clock.Now().UTC().Format(time.RFC3339Nano)
	want.SetAnnotations(map[string]string{v1alpha1.AnnotationProgress: traffic.Progress, AnnotationWrittenAt: at})
	opts := []client.ApplyOption{client.FieldOwner(v1alpha1.FieldManager)}
	if existing != nil {
		// What is ours is set right whoever changed it. One that caches don't show yet isn't forced: it may be
		// somebody else's.
		opts = append(opts, client.ForceOwnership)
	}
	if err := r.writer.Apply(ctx, client.ApplyConfigurationFromUnstructured(want), opts...); err != nil {
		return fmt.Errorf("apply TrafficSplit %s/%s: %w", target.Namespace, target.Service, err)
	}
	r.written(want)
	return nil
}

// Release deletes the TrafficSplit, if it is ours. It needs delete on trafficsplits.
func (r *Router) Release(ctx context.Context, target router.Target) error {
	speak, err := r.version()
	if unsupported := (*router.UnsupportedError)(nil); errors.As(err, &unsupported) {
		return nil // Without the kind there is nothing to delete.
	}
	if err != nil {
		return err
	}
	existing, err := r.get(ctx, speak, target)
	if err != nil || existing == nil || !ours(existing, target) {
		return err
	}
	uid := existing.GetUID()
	if err := r.writer.Delete(ctx, existing, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete TrafficSplit %s/%s: %w", target.Namespace, target.Service, err)
	}
	r.deleted(existing)
	return nil
}

// expressible refuses what SMI can't say, so that nothing is dropped silently.
func expressible(traffic router.Traffic) error {
	switch {
	case len(traffic.Match) > 0:
		return unsupported("the smi router doesn't route by header: remove match from the steps in spec.steps, and use weight")
	case traffic.Shadow > 0:
		return unsupported("the smi router doesn't copy requests: remove shadow from the steps in spec.steps, or use a router that mirrors")
	case traffic.Incumbent == "":
		return errors.New("write a route without an incumbent: there is nothing to send traffic to")
	case traffic.Weight < 0 || traffic.Weight > traffic.Total && traffic.Candidate != "":
		return fmt.Errorf("write a route with the weight %d out of %d: it is out of range", traffic.Weight, traffic.Total)
	}
	return nil
}

// get reads the TrafficSplit of the target; nil when there is none.
func (r *Router) get(ctx context.Context, speak version, target router.Target) (*unstructured.Unstructured, error) {
	u := object(speak, "", "")
	err := r.reader.Get(ctx, types.NamespacedName{Namespace: target.Namespace, Name: target.Service}, u)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read TrafficSplit %s/%s: %w", target.Namespace, target.Service, err)
	}
	return u, nil
}

func object(speak version, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(splitKind.WithVersion(speak.name))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// ours says that a TrafficSplit was made for the Rollout.
func ours(split *unstructured.Unstructured, target router.Target) bool {
	return split.GetLabels()[v1alpha1.LabelRollout] == naming.LabelValue(target.Rollout)
}
