package controller

import (
	"context"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
)

// Freshness says whether caches show what there is, before the first write for a Rollout. From then on Expectations know.
// A controller that has just taken over from another one may have caches that lag behind what that one wrote last, and
// kinds that lag differently: it would shrink a copy that has just got all traffic.
type Freshness struct {
	cached, live client.Reader

	mu    sync.Mutex
	known map[string]types.UID
}

// NewFreshness compares what cached shows with what live, which asks the API server, says.
func NewFreshness(cached, live client.Reader) *Freshness {
	return &Freshness{cached: cached, live: live, known: map[string]types.UID{}}
}

// Fresh says whether the caches show the workload, the copies and the routes of a Rollout as they are. It asks once for
// each Rollout; routes are the kinds of its routes.
func (f *Freshness) Fresh(ctx context.Context, obj *v1alpha1.Rollout, routes []client.Object) (bool, error) {
	f.mu.Lock()
	known := f.known[keyOf(obj)] == obj.UID
	f.mu.Unlock()
	if known {
		return true, nil
	}
	made := client.MatchingLabels{v1alpha1.LabelRollout: naming.LabelValue(obj.Name)}
	held := client.MatchingLabels{v1alpha1.LabelHeld: naming.LabelValue(obj.Name)}
	deployments := appsv1.SchemeGroupVersion.WithKind("Deployment")
	if same, err := f.same(ctx, obj.Namespace, deployments, held); err != nil || !same {
		return false, err
	}
	kinds := []schema.GroupVersionKind{deployments}
	for _, route := range routes {
		kinds = append(kinds, route.GetObjectKind().GroupVersionKind())
	}
	for _, kind := range kinds {
		if same, err := f.same(ctx, obj.Namespace, kind, made); err != nil || !same {
			return false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[keyOf(obj)] = obj.UID
	return true, nil
}

// same says whether the caches show just the objects, in just the versions, that there are.
func (f *Freshness) same(ctx context.Context, namespace string, kind schema.GroupVersionKind, labels client.MatchingLabels) (bool, error) {
	there := &metav1.PartialObjectMetadataList{}
	there.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := f.live.List(ctx, there, client.InNamespace(namespace), labels); err != nil {
		return false, fmt.Errorf("asking the API server for each %s of a Rollout: %w", kind.Kind, err)
	}
	shown := &unstructured.UnstructuredList{}
	shown.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := f.cached.List(ctx, shown, client.InNamespace(namespace), labels, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing each %s of a Rollout: %w", kind.Kind, err)
	}
	if len(there.Items) != len(shown.Items) {
		return false, nil
	}
	versions := map[string]string{}
	for i := range shown.Items {
		versions[shown.Items[i].GetName()] = shown.Items[i].GetResourceVersion()
	}
	for i := range there.Items {
		if versions[there.Items[i].Name] != there.Items[i].ResourceVersion {
			return false, nil
		}
	}
	return true, nil
}

// Exists says whether there is a Rollout, as the API server tells.
func (f *Freshness) Exists(ctx context.Context, key client.ObjectKey) (bool, error) {
	err := f.live.Get(ctx, key, &v1alpha1.Rollout{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Pending says whether a decision has no outcome yet. The API server is asked, each time: they are few, and to act on one again
// because a cache lags behind its outcome would be to put words into people's mouths.
func (f *Freshness) Pending(ctx context.Context, decision *v1alpha1.Decision) (bool, error) {
	now := &v1alpha1.Decision{}
	if err := f.live.Get(ctx, client.ObjectKeyFromObject(decision), now); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return now.UID == decision.UID && now.Status.Outcome == "", nil
}

// Forget drops what is known of a Rollout that is gone.
func (f *Freshness) Forget(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, key)
}
