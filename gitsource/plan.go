package gitsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	ssautils "github.com/fluxcd/pkg/ssa/utils"
	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Desired is what a tree asks for.
type Desired struct {
	// Commit that asks for it.
	Commit Commit
	// Objects of the tree.
	Objects []*unstructured.Unstructured
	// Previous are the objects of the tree that was applied before, if that is known. An object that is the
	// same in both was not changed by the commit, and keeps the name of the one that did.
	Previous []*unstructured.Unstructured
}

// Plan is what applying a tree would change. Nothing of it is done yet.
type Plan struct {
	commit  Commit
	entries []*entry
}

type entry struct {
	object *unstructured.Unstructured
	action ssa.Action
	// unchanged is true when git says of the object what it said before.
	unchanged bool
	// late objects can't be tried before what they depend on is there.
	late bool
}

// Inventory names all objects of the plan, changed or not.
func (p *Plan) Inventory() []v1alpha1.InventoryEntry {
	inventory := make([]v1alpha1.InventoryEntry, 0, len(p.entries))
	for _, entry := range p.entries {
		inventory = append(inventory, v1alpha1.InventoryEntry{
			ID:      object.UnstructuredToObjMetadata(entry.object).String(),
			Version: entry.object.GroupVersionKind().Version,
		})
	}
	return inventory
}

// Changes tells whether anything would be written.
func (p *Plan) Changes() bool {
	for _, entry := range p.entries {
		if entry.late || entry.changes() {
			return true
		}
	}
	return false
}

func (e *entry) changes() bool {
	return e.action == ssa.CreatedAction || e.action == ssa.ConfiguredAction
}

// Plan finds out what applying would change, by a dry run of every object on the server. If any of them
// is refused the error names all that are, and nothing has been written.
//
// An object whose CustomResourceDefinition or Namespace is new in the same tree can't be tried before that is
// there, nor a binding before its role: it is tried by Apply.
func (a *Applier) Plan(ctx context.Context, desired Desired) (*Plan, error) {
	known := define(desired.Objects)
	placed, err := a.place(ctx, desired.Objects, known)
	if err != nil {
		return nil, err
	}
	before, err := a.before(ctx, desired)
	if err != nil {
		return nil, err
	}
	plan := &Plan{commit: desired.Commit}
	var first, rest []*entry
	for _, object := range placed {
		entry := &entry{object: object}
		if previous, ok := before[identity(object)]; ok {
			entry.unchanged = apiequality.Semantic.DeepEqual(previous.Object, object.Object)
		}
		plan.entries = append(plan.entries, entry)
		if isDefinition(object) {
			first = append(first, entry)
		} else {
			rest = append(rest, entry)
		}
	}
	errDefinitions := a.try(ctx, first, plan.commit)
	var tried, bindings []*entry
	for _, entry := range rest {
		switch entry.late = dependsOnNew(entry.object, first); {
		case isBinding(entry.object):
			bindings = append(bindings, entry)
		case !entry.late:
			tried = append(tried, entry)
		}
	}
	errTried := a.try(ctx, tried, plan.commit)
	tried = nil
	for _, entry := range bindings {
		if entry.late = entry.late || bindsNew(entry.object, rest); !entry.late {
			tried = append(tried, entry)
		}
	}
	if err := errors.Join(errDefinitions, errTried, a.try(ctx, tried, plan.commit)); err != nil {
		return nil, err
	}
	return plan, nil
}

// before returns the earlier objects as they were placed.
func (a *Applier) before(ctx context.Context, desired Desired) (map[string]*unstructured.Unstructured, error) {
	if len(desired.Previous) == 0 {
		return nil, nil
	}
	placed, err := a.place(ctx, desired.Previous, define(desired.Previous))
	if err != nil {
		// A kind that is gone since can't have been kept either.
		return nil, ctx.Err()
	}
	before := make(map[string]*unstructured.Unstructured, len(placed))
	for _, object := range placed {
		before[identity(object)] = object
	}
	return before, nil
}

func isDefinition(object *unstructured.Unstructured) bool {
	return ssautils.IsCRD(object) || ssautils.IsNamespace(object)
}

// dependsOnNew tells whether an object needs a definition that doesn't exist yet, or changes.
func dependsOnNew(object *unstructured.Unstructured, first []*entry) bool {
	for _, definition := range first {
		if !definition.changes() {
			continue
		}
		if ssautils.IsNamespace(definition.object) {
			if definition.action == ssa.CreatedAction && object.GetNamespace() == definition.object.GetName() {
				return true
			}
			continue
		}
		group, _, _ := unstructured.NestedString(definition.object.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(definition.object.Object, "spec", "names", "kind")
		if gvk := object.GroupVersionKind(); gvk.Group == group && gvk.Kind == kind {
			return true
		}
	}
	return false
}

func isRole(object *unstructured.Unstructured) bool {
	return isRBAC(object, "Role", "ClusterRole")
}

func isBinding(object *unstructured.Unstructured) bool {
	return isRBAC(object, "RoleBinding", "ClusterRoleBinding")
}

func isRBAC(object *unstructured.Unstructured, kinds ...string) bool {
	gvk := object.GroupVersionKind()
	return gvk.Group == rbacv1.GroupName && slices.Contains(kinds, gvk.Kind)
}

// bindsNew tells whether a binding is to a role of the same tree that isn't yet as the tree says. The API
// server looks at the role's rules in a dry run as well: who binds must have what they permit.
func bindsNew(binding *unstructured.Unstructured, entries []*entry) bool {
	kind, _, _ := unstructured.NestedString(binding.Object, "roleRef", "kind")
	name, _, _ := unstructured.NestedString(binding.Object, "roleRef", "name")
	return slices.ContainsFunc(entries, func(role *entry) bool {
		return isRole(role.object) && role.action != ssa.UnchangedAction &&
			role.object.GetKind() == kind && role.object.GetName() == name &&
			(kind == "ClusterRole" || role.object.GetNamespace() == binding.GetNamespace())
	})
}

// try dry-runs entries, a few at a time, and returns all that went wrong.
func (a *Applier) try(ctx context.Context, entries []*entry, commit Commit) error {
	errs := make([]error, len(entries))
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i, entry := range entries {
		group.Go(func() error {
			errs[i] = a.tryOne(ctx, entry, commit)
			return nil
		})
	}
	_ = group.Wait()
	return summarize(errs)
}

// maxErrors is how many of the objects that were refused are told of.
const maxErrors = 5

// refusals are the errors of several objects. All can be asked for, the first few are told.
type refusals []error

// Error tells of the first few.
func (r refusals) Error() string {
	lines := make([]string, 0, maxErrors+1)
	for _, err := range r[:min(len(r), maxErrors)] {
		lines = append(lines, err.Error())
	}
	if len(r) > maxErrors {
		lines = append(lines, fmt.Sprintf("and %d more", len(r)-maxErrors))
	}
	return strings.Join(lines, "; ")
}

// Unwrap gives all of them.
func (r refusals) Unwrap() []error { return r }

func summarize(errs []error) error {
	var found refusals
	for _, err := range errs {
		if err != nil {
			found = append(found, err)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

// tryOne finds out what applying one object would do, and completes the object for that.
func (a *Applier) tryOne(ctx context.Context, entry *entry, commit Commit) error {
	existing := &unstructured.Unstructured{}
	existing.SetGroupVersionKind(entry.object.GroupVersionKind())
	err := a.client.Get(ctx, client.ObjectKeyFromObject(entry.object), existing)
	if client.IgnoreNotFound(err) != nil {
		return a.explain(entry.object, err)
	}
	exists := err == nil
	own, other := a.owns(existing)
	if other != nil {
		lives, err := a.lives(ctx, *other)
		switch {
		case err != nil:
			return fmt.Errorf("look whether %s still belongs to the GitSource %s: %w", identity(entry.object), other, err)
		case lives:
			return fmt.Errorf("%s belongs to the GitSource %s: take it out of one of the two trees, or its label %s off",
				identity(entry.object), other, v1alpha1.LabelSource)
		}
	}
	sign(entry.object, commit)
	keeps := own && existing.GetAnnotations()[v1alpha1.AnnotationCommit] != ""
	if keeps {
		copySignature(entry.object, existing)
	}
	if exists {
		yield(entry.object, existing)
	}
	change, _, _, err := a.manager.Diff(ctx, entry.object, ssa.DefaultDiffOptions())
	if err != nil {
		return a.explain(entry.object, err)
	}
	entry.action = change.Action
	if entry.changes() && (!keeps || !entry.unchanged) {
		sign(entry.object, commit)
	}
	return nil
}

// explain names the object and what was refused. An API server quotes values in its errors: of a
// Secret only the reason is told.
func (a *Applier) explain(object *unstructured.Unstructured, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		if ssautils.IsSecret(object) {
			return fmt.Errorf("%s: the ServiceAccount %s/%s may not: %w", identity(object), a.source.Namespace, a.source.ServiceAccount, &hiddenError{err})
		}
		return fmt.Errorf("%s: the ServiceAccount %s/%s may not: %w", identity(object), a.source.Namespace, a.source.ServiceAccount, err)
	case ssautils.IsSecret(object):
		return fmt.Errorf("%s: %w", identity(object), &hiddenError{err})
	default:
		return fmt.Errorf("%s: %w", identity(object), unwrapDryRun(err))
	}
}

// hiddenError tells the reason of an API error and nothing else.
type hiddenError struct{ cause error }

func (e *hiddenError) Error() string {
	if reason := apierrors.ReasonForError(e.cause); reason != "" {
		return string(reason) + " (details are hidden because this is a Secret)"
	}
	return "refused (details are hidden because this is a Secret)"
}

// Unwrap lets callers ask for the reason.
func (e *hiddenError) Unwrap() error { return e.cause }
