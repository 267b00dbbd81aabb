package smi

import (
	"cmp"
	"context"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router"
)

// Observe reads the TrafficSplit of the root service, and the HTTPRouteGroups of the Rollout where it has steps that match. It is
// taken once the mesh has had its time to settle: SMI doesn't say more. It needs get, list and watch on both.
func (r *Router) Observe(ctx context.Context, target router.Target) (router.Observed, error) {
	observed := router.Observed{Matches: func(router.Traffic) bool { return false }}
	speak, err := r.speech()
	if err != nil {
		return observed, err
	}
	mine, obstacle, err := r.find(ctx, speak, target)
	if err != nil {
		return observed, err
	}
	if mine == nil && obstacle != "" {
		return observed, obstructed(obstacle, target)
	}
	if obstacle != "" {
		obstacle = splitKind.Kind + " " + obstacle
	}
	asks, legible := split{}, false
	if mine != nil {
		asks, err = read(mine)
		legible = err == nil
	}
	groups, err := r.observeGroups(ctx, target, asks)
	if err != nil {
		return observed, err
	}
	if mine == nil {
		// What a deletion that was cut short has left is still to be released.
		observed.Exists = len(groups.leftOver(nil)) > 0
		return observed, nil
	}
	legible = legible && labelled(mine, target)
	observed.Exists = true
	observed.Progress = annotation(mine, v1alpha1.AnnotationProgress)
	observed.Foreign = cmp.Or(obstacle, writtenBy(mine), asks.foreign(), groups.foreign(asks.groups))
	observed.Matches = func(traffic router.Traffic) bool {
		want, group, err := r.ask(target, traffic)
		return err == nil && legible && asks.equal(want) && groups.holds(group)
	}
	r.settled(&observed, mine)
	return observed, nil
}

// find reads the TrafficSplit that was made for the Rollout, as caches hold it, and the name of another one that is in its way.
func (r *Router) find(ctx context.Context, speak speech, target router.Target) (mine *unstructured.Unstructured, obstacle string, err error) {
	mine, err = r.get(ctx, speak, target, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, "", err
	}
	if mine != nil && !ours(mine, target) {
		return nil, target.Service, nil
	}
	var narrow []client.ListOption
	if r.index != nil {
		if err := r.index.ensure(ctx, speak.read.name); err != nil {
			return nil, "", err
		}
		narrow = append(narrow, client.MatchingFields{byRoot: target.Service})
	}
	items, err := r.list(ctx, splitKind, speak.read.name, target, narrow...)
	if err != nil {
		return nil, "", err
	}
	for i := range items {
		if item := &items[i]; nameOf(item) != target.Service && splits(item, target) {
			return mine, nameOf(item), nil
		}
	}
	return mine, "", nil
}

// observeGroups reads the HTTPRouteGroups that matter. A cluster that doesn't serve them isn't asked each time.
func (r *Router) observeGroups(ctx context.Context, target router.Target, asks split) (seenGroups, error) {
	if !r.match && len(asks.groups) == 0 {
		return nil, nil
	}
	version, err := r.groupVersion()
	if err != nil {
		return nil, err
	}
	return r.groups(ctx, target, version, asks.names)
}

// settled tells since when the mesh has taken a split, or when it will have.
func (r *Router) settled(observed *router.Observed, item *unstructured.Unstructured) {
	observed.WrittenAt = writtenAt(item)
	settled := observed.WrittenAt.Add(r.settle)
	if r.clock.Now().Before(settled) {
		observed.Settles = settled
		return
	}
	observed.Taken, observed.TakenAt = true, settled
}

// writtenAt is when the traffic of a TrafficSplit was last changed.
func writtenAt(item *unstructured.Unstructured) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, annotation(item, AnnotationWrittenAt)); err == nil {
		return at
	}
	latest := item.GetCreationTimestamp().Time
	for _, entry := range item.GetManagedFields() {
		if entry.Time != nil && entry.Time.After(latest) {
			latest = entry.Time.Time
		}
	}
	return latest
}

// Concerns is the root service that an object, of a kind that Watched tells, is about; empty when only its labels
// tell for whom it is.
func (*Router) Concerns(obj client.Object) string {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok || u.GetKind() != splitKind.Kind {
		return ""
	}
	service, _ := root(u)
	return service
}

// splits says that a TrafficSplit is for the target's root service, by any of the names that it has.
func splits(item *unstructured.Unstructured, target router.Target) bool {
	service, namespace := root(item)
	return service == target.Service && (namespace == "" || namespace == target.Namespace)
}

// root is the Service that a TrafficSplit is for, and its namespace where that is said.
func root(item *unstructured.Unstructured) (service, namespace string) {
	spec, _ := item.Object["spec"].(map[string]any)
	host, _ := spec["service"].(string)
	service, rest, _ := strings.Cut(host, ".")
	namespace, _, _ = strings.Cut(rest, ".")
	return service, namespace
}

func nameOf(item *unstructured.Unstructured) string {
	name, _ := metadata(item)["name"].(string)
	return name
}

// obstructed says that another TrafficSplit is in the way.
func obstructed(name string, target router.Target) error {
	return unsupported("TrafficSplit %s/%s, which Weighlock hasn't made for Rollout %s, is in the way of splitting Service %s: delete it",
		target.Namespace, name, target.Rollout, target.Service)
}
