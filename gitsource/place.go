package gitsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/fluxcd/pkg/ssa"
	ssautils "github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
)

// definitions are the kinds that others of the same set depend on.
type definitions struct {
	// scopes of the kinds whose CustomResourceDefinitions are in the set.
	scopes map[schema.GroupKind]meta.RESTScopeName
	// namespaces that are in the set.
	namespaces map[string]bool
}

func define(objects []*unstructured.Unstructured) definitions {
	found := definitions{scopes: map[schema.GroupKind]meta.RESTScopeName{}, namespaces: map[string]bool{}}
	for _, object := range objects {
		switch {
		case ssautils.IsCRD(object):
			group, _, _ := unstructured.NestedString(object.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(object.Object, "spec", "names", "kind")
			scope, _, _ := unstructured.NestedString(object.Object, "spec", "scope")
			name := meta.RESTScopeNameNamespace
			if scope == "Cluster" {
				name = meta.RESTScopeNameRoot
			}
			found.scopes[schema.GroupKind{Group: group, Kind: kind}] = name
		case ssautils.IsNamespace(object):
			found.namespaces[object.GetName()] = true
		}
	}
	return found
}

// place returns copies of the objects with their namespaces and labels set, in the order in which they
// are to be written.
func (a *Applier) place(ctx context.Context, objects []*unstructured.Unstructured, known definitions) ([]*unstructured.Unstructured, error) {
	placed := make([]*unstructured.Unstructured, 0, len(objects))
	var errs []error
	seen := map[string]bool{}
	for _, object := range objects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		object = object.DeepCopy()
		if err := a.locate(object, known); err != nil {
			errs = append(errs, err)
			continue
		}
		id := identity(object)
		if seen[id] {
			errs = append(errs, fmt.Errorf("%s is in the tree twice", id))
			continue
		}
		seen[id] = true
		a.label(object)
		placed = append(placed, object)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	sort.Stable(ssa.SortableUnstructureds(placed))
	return placed, nil
}

// locate gives a namespaced object its namespace, and takes it from any other.
func (a *Applier) locate(object *unstructured.Unstructured, known definitions) error {
	gvk := object.GroupVersionKind()
	scope, ok := known.scopes[gvk.GroupKind()]
	if !ok {
		mapping, err := a.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
		switch {
		case meta.IsNoMatchError(err):
			return fmt.Errorf("%s: the cluster doesn't know %s: install its CRD first, or put that into the tree",
				identity(object), gvk.GroupVersion().String()+" "+gvk.Kind)
		case err != nil:
			return fmt.Errorf("look up the kind of %s: %w", identity(object), err)
		}
		scope = mapping.Scope.Name()
	}
	switch {
	case scope == meta.RESTScopeNameRoot:
		object.SetNamespace("")
	case object.GetNamespace() == "":
		object.SetNamespace(a.source.targetNamespace())
	}
	return nil
}

// label marks the object as this source's.
func (a *Applier) label(object *unstructured.Unstructured) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1alpha1.LabelSource] = naming.LabelValue(a.source.Name)
	labels[v1alpha1.LabelSourceNamespace] = a.source.Namespace
	object.SetLabels(labels)
	// What the server writes is not git's to say, and a commit names itself.
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "ownerReferences"} {
		unstructured.RemoveNestedField(object.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(object.Object, "status")
}

// owns tells whether an object in the cluster is this source's, or names the other one whose it is, as labels do.
func (a *Applier) owns(existing *unstructured.Unstructured) (own bool, other *types.NamespacedName) {
	labels := existing.GetLabels()
	name, namespace := labels[v1alpha1.LabelSource], labels[v1alpha1.LabelSourceNamespace]
	if namespace == "" {
		namespace = a.source.Namespace
	}
	switch {
	case name == "":
		return false, nil
	case name == naming.LabelValue(a.source.Name) && namespace == a.source.Namespace:
		return true, nil
	default:
		return false, &types.NamespacedName{Namespace: namespace, Name: name}
	}
}

// lives tells whether a GitSource is there. A name on a label may be cut, so all of the namespace are compared.
func (a *Applier) lives(ctx context.Context, labelled types.NamespacedName) (bool, error) {
	var sources metav1.PartialObjectMetadataList
	sources.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GitSourceList"))
	if err := a.sources.List(ctx, &sources, client.InNamespace(labelled.Namespace)); err != nil {
		return false, err
	}
	return slices.ContainsFunc(sources.Items, func(source metav1.PartialObjectMetadata) bool {
		return naming.LabelValue(source.Name) == labelled.Name
	}), nil
}
