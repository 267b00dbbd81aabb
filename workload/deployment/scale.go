package deployment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// giveUpTries is how often giving up the claim on a size is tried while others write the Deployment.
const giveUpTries = 5

// Scale sets the replicas of a copy. One that an autoscaler adds to only grows, unless to zero. With an empty revision it
// raises the replicas of the workload itself. It needs patch on deployments.
func (a *Adapter) Scale(ctx context.Context, ref workload.Reference, revision string, replicas int32) error {
	if revision == "" {
		return a.raise(ctx, ref, replicas)
	}
	existing, err := a.ownCopy(ctx, ref, revision)
	if err != nil {
		return err
	}
	if existing == nil {
		return fmt.Errorf("scale the copy %s/%s: there is none", ref.Namespace, copyName(ref, revision))
	}
	size, version, err := a.sizeFor(ctx, ref, existing, replicas)
	if err != nil || number(existing, "spec", "replicas") == int64(size) {
		return err
	}
	u := object(deploymentKind, ref.Namespace, existing.GetName())
	u.SetResourceVersion(version)
	u.SetLabels(copyLabels(ref, revision))
	carry(existing, u, v1alpha1.AnnotationConfig)
	spec, _ := existing.Object["spec"].(map[string]any)
	u.Object["spec"] = runtime.DeepCopyJSON(spec)
	return a.applyCopy(ctx, existing, u, size)
}

// sizeFor is the size of a copy of which so many replicas are asked for. Where an autoscaler adds to them that is no less
// than it has, and the version must be written with it: the autoscaler may have added more by now, and a write that says
// how many there were would take those away.
func (a *Adapter) sizeFor(ctx context.Context, ref workload.Reference, existing *unstructured.Unstructured, asked int32) (size int32, version string, err error) {
	p, err := a.protection(ctx, ref)
	if err != nil || !p.scales(existing) {
		return asked, "", err
	}
	if asked > 0 {
		asked = max(asked, replicas(existing))
	}
	return asked, existing.GetResourceVersion(), nil
}

// raise brings the workload to a size, never down, and not up from zero: that is people's emergency stop.
//
// Whoever writes a size claims it, and an applier that names another one is refused then. So the claim is given up at
// once. It takes a second write: the first always leaves it.
func (a *Adapter) raise(ctx context.Context, ref workload.Reference, size int32) error {
	deployment, err := a.deployment(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return err
	}
	if deployment == nil {
		return &workload.ProblemError{Problem: *workloadNotFound(ref)}
	}
	if now := replicas(deployment); now == 0 || now >= size {
		if !raised(deployment) {
			return nil
		}
		return a.giveUpSize(ctx, object(deploymentKind, ref.Namespace, ref.Name))
	}
	data, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": deployment.GetUID(), "resourceVersion": deployment.GetResourceVersion()},
		"spec":     map[string]any{"replicas": size},
	})
	if err != nil {
		return fmt.Errorf("write the patch: %w", err)
	}
	u := object(deploymentKind, ref.Namespace, ref.Name)
	if err := a.writer.Patch(ctx, u, client.RawPatch(types.MergePatchType, data), client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		return fmt.Errorf("raise the size of %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	a.written(u)
	return a.giveUpSize(ctx, u)
}

// giveUpSize takes away Weighlock's claim on the size of the workload u, which is read if it is only named.
func (a *Adapter) giveUpSize(ctx context.Context, u *unstructured.Unstructured) error {
	var err error
	for range giveUpTries {
		if u.GetUID() == "" || err != nil {
			// A patch of nothing writes nothing, and returns what is there.
			if err := a.writer.Patch(ctx, u, client.RawPatch(types.MergePatchType, []byte("{}"))); err != nil {
				return fmt.Errorf("read %s/%s: %w", u.GetNamespace(), u.GetName(), err)
			}
		}
		patch := giveUpPatch(u)
		if patch == nil {
			return nil
		}
		err = a.writer.Patch(ctx, u, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(v1alpha1.FieldManager))
		if !apierrors.IsConflict(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("give up the size of %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}
	a.written(u)
	return nil
}

// giveUpPatch takes the claim out of u; nil when there is none.
func giveUpPatch(u *unstructured.Unstructured) []byte {
	for i, entry := range u.GetManagedFields() {
		if !isRaise(entry) {
			continue
		}
		data, err := json.Marshal([]map[string]any{
			{"op": "replace", "path": "/metadata/resourceVersion", "value": u.GetResourceVersion()},
			{"op": "remove", "path": fmt.Sprintf("/metadata/managedFields/%d", i)},
		})
		if err != nil {
			return nil
		}
		return data
	}
	return nil
}

// raised says that Weighlock still claims the size of the workload.
func raised(deployment *unstructured.Unstructured) bool {
	return slices.ContainsFunc(deployment.GetManagedFields(), isRaise)
}

// isRaise says that a manager is Weighlock by its raise of a size: all else that it writes is applied.
func isRaise(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == v1alpha1.FieldManager && entry.Operation == metav1.ManagedFieldsOperationUpdate &&
		owns(entry, "f:spec", "f:replicas")
}
