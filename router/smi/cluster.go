package smi

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router"
)

// Objects are created, and then changed by merge patches that carry the resourceVersion which was looked at: whoever looked
// at an old state gets a conflict and does no harm. Server-side apply can't be used. It converts an object to each version in which it was
// applied before, and fails where that one has no matches, or where another writer used a fraction for a weight.

func object(kind schema.GroupKind, version, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind.WithVersion(version))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// list lists the objects of a kind in the target's namespace, as caches hold them: they must not be changed.
func (r *Router) list(ctx context.Context, kind schema.GroupKind, version string, target router.Target, narrow ...client.ListOption) ([]unstructured.Unstructured, error) {
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(kind.WithVersion(version))
	if err := r.reader.List(ctx, all, append(narrow, client.InNamespace(target.Namespace), client.UnsafeDisableDeepCopy)...); err != nil {
		return nil, fmt.Errorf("list %ss in %s: %w", kind.Kind, target.Namespace, err)
	}
	return all.Items, nil
}

// get reads the TrafficSplit of the target; nil when there is none.
func (r *Router) get(ctx context.Context, speak speech, target router.Target, opts ...client.GetOption) (*unstructured.Unstructured, error) {
	u := object(splitKind, speak.read.name, "", "")
	err := r.reader.Get(ctx, types.NamespacedName{Namespace: target.Namespace, Name: target.Service}, u, opts...)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read TrafficSplit %s/%s: %w", target.Namespace, target.Service, err)
	}
	return u, nil
}

// change is a write of an object.
type change struct {
	kind    schema.GroupKind
	version string
	target  router.Target
	name    string
	// over is the object that was looked at; nil to create it.
	over *unstructured.Unstructured
	// labels, annotations and spec that it gets; null removes.
	annotations map[string]any
	labels      map[string]any
	spec        map[string]any
}

// send writes a change, and returns the object as the API server has it afterwards, or would have it when the
// write is a rehearsal. An object that isn't the one that was looked at is a conflict.
func (r *Router) send(ctx context.Context, c change, rehearsal bool) (*unstructured.Unstructured, error) {
	if c.over == nil {
		return r.create(ctx, c, rehearsal)
	}
	fields := map[string]any{"resourceVersion": c.over.GetResourceVersion(), "labels": c.labels}
	if len(c.annotations) > 0 {
		fields["annotations"] = c.annotations
	}
	data, err := json.Marshal(map[string]any{"metadata": fields, "spec": c.spec})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c, err)
	}
	opts := []client.PatchOption{client.FieldOwner(v1alpha1.FieldManager)}
	if rehearsal {
		opts = append(opts, client.DryRunAll)
	}
	u := object(c.kind, c.version, c.target.Namespace, c.name)
	err = r.writer.Patch(ctx, u, client.RawPatch(types.MergePatchType, data), opts...)
	if apierrors.IsNotFound(err) {
		return nil, c.conflict(err)
	}
	if err != nil {
		return nil, fmt.Errorf("change %s: %w", c, err)
	}
	return u, nil
}

func (r *Router) create(ctx context.Context, c change, rehearsal bool) (*unstructured.Unstructured, error) {
	u := object(c.kind, c.version, c.target.Namespace, c.name)
	metadata(u)["labels"] = without(c.labels)
	metadata(u)["annotations"] = without(c.annotations)
	u.Object["spec"] = without(c.spec)
	opts := []client.CreateOption{client.FieldOwner(v1alpha1.FieldManager)}
	if rehearsal {
		opts = append(opts, client.DryRunAll)
	}
	err := r.writer.Create(ctx, u, opts...)
	if apierrors.IsAlreadyExists(err) {
		return nil, c.conflict(err) // Caches don't show it yet.
	}
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", c, err)
	}
	return u, nil
}

// without is fields without those that are null.
func without(fields map[string]any) map[string]any {
	out := make(map[string]any, len(fields))
	for key, value := range fields {
		if value != nil {
			out[key] = value
		}
	}
	return out
}

func (c change) String() string {
	return fmt.Sprintf("%s %s/%s", c.kind.Kind, c.target.Namespace, c.name)
}

func (c change) conflict(err error) error {
	return apierrors.NewConflict(schema.GroupResource{Group: c.kind.Group, Resource: c.kind.Kind}, c.name, err)
}

// remove deletes an object just as it was looked at. One that is gone already is no error.
func (r *Router) remove(ctx context.Context, u *unstructured.Unstructured) error {
	uid, version := u.GetUID(), u.GetResourceVersion()
	target := &unstructured.Unstructured{}
	target.SetGroupVersionKind(u.GroupVersionKind())
	target.SetNamespace(u.GetNamespace())
	target.SetName(u.GetName())
	err := r.writer.Delete(ctx, target, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	r.deleted(u)
	return nil
}
