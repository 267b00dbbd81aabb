package gitsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// pruneDisabled is the value of the annotation that keeps an object.
const pruneDisabled = "disabled"

// Union is all entries of both, sorted, each once; of two versions the second's.
func Union(first, second []v1alpha1.InventoryEntry) []v1alpha1.InventoryEntry {
	all := append(Stale(first, second), second...)
	slices.SortFunc(all, func(a, b v1alpha1.InventoryEntry) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Stale is what is in the inventory and no longer wanted.
func Stale(inventory, wanted []v1alpha1.InventoryEntry) []v1alpha1.InventoryEntry {
	keep := make(map[string]bool, len(wanted))
	for _, entry := range wanted {
		keep[entry.ID] = true
	}
	var stale []v1alpha1.InventoryEntry
	for _, entry := range inventory {
		if !keep[entry.ID] {
			stale = append(stale, entry)
		}
	}
	return stale
}

// Prune deletes objects that left the tree, in the reverse order of applying. It leaves alone what no
// longer carries the source's labels, what says that it is not to be pruned, and CustomResourceDefinitions and
// Namespaces, which would take everything in them along. It returns what it deleted, for people, and the
// entries that could not be deleted.
func (a *Applier) Prune(ctx context.Context, stale []v1alpha1.InventoryEntry) (deleted []string, left []v1alpha1.InventoryEntry, err error) {
	objects := make([]*unstructured.Unstructured, 0, len(stale))
	entries := map[string]v1alpha1.InventoryEntry{}
	for _, entry := range stale {
		target, err := resolve(entry)
		if err != nil {
			// An entry that can't be read names nothing that could be deleted.
			continue
		}
		if isDefinition(target) {
			continue
		}
		entries[identity(target)] = entry
		objects = append(objects, target)
	}
	sort.Sort(sort.Reverse(ssa.SortableUnstructureds(objects)))
	var errs []error
	for _, target := range objects {
		done, err := a.pruneOne(ctx, target)
		switch {
		case err != nil:
			errs = append(errs, err)
			left = append(left, entries[identity(target)])
		case done:
			deleted = append(deleted, identity(target)+" deleted")
		}
	}
	return deleted, left, summarize(errs)
}

func (a *Applier) pruneOne(ctx context.Context, target *unstructured.Unstructured) (bool, error) {
	err := a.client.Get(ctx, client.ObjectKeyFromObject(target), target)
	if meta.IsNoMatchError(err) || errors.As(err, new(*meta.NoKindMatchError)) {
		return false, nil
	}
	if err != nil {
		if client.IgnoreNotFound(err) == nil {
			return false, nil
		}
		return false, fmt.Errorf("prune %w", a.explain(target, err))
	}
	own, _ := a.owns(target)
	if !own || target.GetDeletionTimestamp() != nil ||
		strings.EqualFold(target.GetAnnotations()[v1alpha1.AnnotationPrune], pruneDisabled) {
		return false, nil
	}
	err = a.client.Delete(ctx, target, client.PropagationPolicy(metav1.DeletePropagationBackground),
		client.Preconditions{UID: new(target.GetUID())})
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("prune %w", a.explain(target, err))
	}
	return err == nil, nil
}

// resolve names the object of an inventory entry.
func resolve(entry v1alpha1.InventoryEntry) (*unstructured.Unstructured, error) {
	id, err := object.ParseObjMetadata(entry.ID)
	if err != nil {
		return nil, fmt.Errorf("read the inventory entry %q: %w", entry.ID, err)
	}
	target := &unstructured.Unstructured{}
	target.SetGroupVersionKind(schema.GroupVersionKind{Group: id.GroupKind.Group, Version: entry.Version, Kind: id.GroupKind.Kind})
	target.SetNamespace(id.Namespace)
	target.SetName(id.Name)
	return target, nil
}
