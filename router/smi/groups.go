package smi

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/router"
)

// seenGroup is an HTTPRouteGroup in the target's namespace.
type seenGroup struct {
	*routeGroup
	// object as caches hold it: it must not be changed.
	object *unstructured.Unstructured
	// ours says that it was made for the Rollout, labelled that it can be found so.
	ours, labelled bool
}

// seenGroups are the HTTPRouteGroups that matter to a Rollout: its own, and others that stand in their place.
type seenGroups []seenGroup

// groups reads those HTTPRouteGroups which were made for the Rollout, or have one of the names; none where the cluster doesn't serve them.
func (r *Router) groups(ctx context.Context, target router.Target, version string, named func(string) bool) (seenGroups, error) {
	if version == "" {
		return nil, nil
	}
	items, err := r.list(ctx, groupKind, version, target)
	if err != nil {
		return nil, err
	}
	var out seenGroups
	for i := range items {
		item := &items[i]
		mine := ours(item, target)
		if mine || named(item.GetName()) {
			out = append(out, seenGroup{routeGroup: readRouteGroup(item), object: item, ours: mine, labelled: labelled(item, target)})
		}
	}
	return out, nil
}

// find finds a group by its name; nil when it is not there.
func (gs seenGroups) find(name string) *seenGroup {
	for i := range gs {
		if gs[i].name == name {
			return &gs[i]
		}
	}
	return nil
}

// leftOver are the Rollout's groups but for the one that is wanted, which may be nil.
func (gs seenGroups) leftOver(want *routeGroup) seenGroups {
	var out seenGroups
	for _, g := range gs {
		if g.ours && (want == nil || g.name != want.name) {
			out = append(out, g)
		}
	}
	return out
}

// holds says whether the Rollout has just the group that is wanted, nil for none, and that one says the right thing.
func (gs seenGroups) holds(want *routeGroup) bool {
	if len(gs.leftOver(want)) > 0 {
		return false
	}
	if want == nil {
		return true
	}
	g := gs.find(want.name)
	return g != nil && g.labelled && g.says(want)
}

// foreign names who else wrote a group that the split names, or took it away; empty when nobody did.
func (gs seenGroups) foreign(names []reference) string {
	for _, ref := range names {
		g := gs.find(ref.name)
		if g == nil {
			return "whoever deleted " + ref.kind + " " + ref.name
		}
		if by := writtenBy(g.object); by != "" {
			return by
		}
	}
	return ""
}

// ensureGroup writes the group that is wanted unless it is there already. It returns whether it wrote.
func (r *Router) ensureGroup(ctx context.Context, target router.Target, version string, want *routeGroup, seen seenGroups) (bool, error) {
	if want == nil {
		return false, nil
	}
	c := change{
		kind: groupKind, version: version, target: target, name: want.name,
		labels: map[string]any{v1alpha1.LabelRollout: naming.LabelValue(target.Rollout)},
		spec:   map[string]any{"matches": want.list()},
	}
	if g := seen.find(want.name); g != nil {
		if !g.ours {
			return false, unsupported("HTTPRouteGroup %s/%s, which Weighlock hasn't made for Rollout %s, is in the way of matching requests to Service %s: delete it",
				target.Namespace, want.name, target.Rollout, target.Service)
		}
		if g.labelled && g.says(want) {
			return false, nil
		}
		c.over = g.object
	}
	written, err := r.send(ctx, c, false)
	if err != nil {
		return false, err
	}
	r.written(written)
	return true, nil
}

// drop deletes groups.
func (r *Router) drop(ctx context.Context, groups seenGroups) error {
	for _, g := range groups {
		if err := r.remove(ctx, g.object); err != nil {
			return err
		}
	}
	return nil
}
