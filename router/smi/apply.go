package smi

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/router"
)

// Apply writes the TrafficSplit of the root service, and the HTTPRouteGroup that it names where requests are matched. Only the
// write of the split moves traffic: the group that a split begins to name is written before, under a name of its own, and what it named until then is deleted
// afterwards. It needs get, list, watch, create, patch and delete on trafficsplits and httproutegroups.
func (r *Router) Apply(ctx context.Context, target router.Target, traffic router.Traffic) error {
	want, group, err := r.ask(target, traffic)
	if err != nil {
		return err
	}
	speak, err := r.speech()
	if err != nil {
		return err
	}
	now, err := r.look(ctx, speak, target)
	if err != nil {
		return err
	}
	same := now.holds(target, want, traffic.Progress)
	if same && group == nil && !r.match {
		return nil
	}
	version, err := r.groupVersion()
	if err != nil {
		return err
	}
	if group != nil {
		if err := r.unmatchable(speak, version); err != nil {
			return err
		}
	}
	groups, err := r.groups(ctx, target, version, want.names)
	if err != nil {
		return err
	}
	if same && groups.holds(group) {
		return nil
	}
	c := r.change(target, speak, want, traffic.Progress, now)
	if group != nil && !now.asks.names(group.name) {
		if err := r.rehearse(ctx, speak, c, want); err != nil {
			return err
		}
	}
	mended, err := r.ensureGroup(ctx, target, version, group, groups)
	if err != nil {
		return err
	}
	if (same || traffic.Continues && now.asksFor(want)) && !mended {
		// Either only groups are left over: that a write of the same split gets through shows that it is the one which was looked at, and
		// that it doesn't name them. Or only progress is another one.
		c.annotations[AnnotationWrittenAt] = writtenAt(now.object).UTC().Format(time.RFC3339Nano)
	}
	written, err := r.send(ctx, c, false)
	if err != nil {
		return err
	}
	// It is waited for, and read, in the one version in which splits are read.
	written.SetGroupVersionKind(splitKind.WithVersion(speak.read.name))
	r.written(written)
	return r.drop(ctx, groups.leftOver(group))
}

// present is the TrafficSplit of a target as caches show it.
type present struct {
	// object is nil when there is none.
	object *unstructured.Unstructured
	asks   split
	// legible is false when it can't be read.
	legible bool
}

// look reads the TrafficSplit of the target. One of somebody else's is a router.UnsupportedError.
func (r *Router) look(ctx context.Context, speak speech, target router.Target) (present, error) {
	existing, err := r.get(ctx, speak, target)
	if err != nil || existing == nil {
		return present{}, err
	}
	if !ours(existing, target) {
		return present{}, obstructed(existing.GetName(), target)
	}
	asks, err := read(existing)
	return present{object: existing, asks: asks, legible: err == nil}, nil
}

// asksFor says that the split asks for the same traffic.
func (p present) asksFor(want split) bool { return p.object != nil && p.legible && p.asks.equal(want) }

// holds says that the split asks for the same traffic and has the same progress, and tells since when.
func (p present) holds(target router.Target, want split, progress string) bool {
	return p.asksFor(want) && labelled(p.object, target) &&
		annotation(p.object, v1alpha1.AnnotationProgress) == progress && annotation(p.object, AnnotationWrittenAt) != ""
}

// change is the write that makes the TrafficSplit of the target ask for what is wanted.
func (r *Router) change(target router.Target, speak speech, want split, progress string, now present) change {
	return change{
		kind: splitKind, version: speak.write.name, target: target, name: target.Service, over: now.object,
		labels: map[string]any{v1alpha1.LabelRollout: naming.LabelValue(target.Rollout)},
		annotations: map[string]any{
			v1alpha1.AnnotationProgress: progress,
			v1alpha1.AnnotationMirror:   want.mirror.annotation(),
			AnnotationWrittenAt:         r.clock.Now().UTC().Format(time.RFC3339Nano),
		},
		spec: want.spec(speak.write),
	}
}

// rehearse has the API server tell what would become of a split that begins to match requests. Where it drops the matches, because
// it stores splits in a version that has none, all requests would go to the candidate.
func (r *Router) rehearse(ctx context.Context, speak speech, c change, want split) error {
	would, err := r.send(ctx, c, true)
	if err != nil {
		return err
	}
	if got, err := read(would); err != nil || !got.equal(want) {
		return unsupported("the cluster takes a TrafficSplit of version %s but drops its matches: store TrafficSplits as %s in their CRD, or use weight",
			speak.write.name, speak.write.name)
	}
	return nil
}

// Release deletes the TrafficSplit of the target and its HTTPRouteGroups, those that are the Rollout's.
func (r *Router) Release(ctx context.Context, target router.Target) error {
	if err := r.releaseSplit(ctx, target); err != nil {
		return err
	}
	version, err := r.groupVersion()
	if err != nil {
		return err
	}
	groups, err := r.groups(ctx, target, version, func(string) bool { return false })
	if err != nil {
		return err
	}
	return r.drop(ctx, groups.leftOver(nil))
}

func (r *Router) releaseSplit(ctx context.Context, target router.Target) error {
	speak, err := r.speech()
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
	return r.remove(ctx, existing)
}
