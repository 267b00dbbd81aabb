// Package deployment runs two versions of a Deployment at once: the Deployment itself,
// held by a pause, and copies of it under other labels.
package deployment

import (
	"context"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

// Options are what an Adapter works with.
type Options struct {
	// Reader reads from caches that were set up with ByObject. It must serve unstructured Deployments and
	// ReplicaSets from them: a manager's cache does, its client only if told to.
	Reader client.Reader
	// Live reads what is looked at too seldom to be cached, from the API server itself: what config there is when a
	// step begins, the pods of a copy when it goes, volume claims. It is Reader unless set, which then caches those.
	Live client.Reader
	// Writer writes to the API server.
	Writer client.Writer
	// Mapper tells which kinds the cluster serves.
	Mapper meta.RESTMapper
	// Clock is the real one unless set.
	Clock clock.PassiveClock
	// Written and Deleted are called with each object that was written, as the API server returned it, or
	// deleted, so that the caller can wait until caches show it. They may be nil.
	Written func(client.Object)
	Deleted func(client.Object)
}

// Adapter is the workload.Adapter for Deployments. It is safe for concurrent use.
type Adapter struct {
	reader  client.Reader
	live    client.Reader
	writer  client.Writer
	mapper  meta.RESTMapper
	clock   clock.PassiveClock
	written func(client.Object)
	deleted func(client.Object)

	policy policyMemo
	kinds  kindsMemo
	claims claimsMemo

	mu      sync.Mutex
	aliases map[string]string
	guarded map[types.UID]guardWrite
}

var _ workload.Adapter = (*Adapter)(nil)

// New returns an Adapter.
func New(opts Options) *Adapter {
	a := &Adapter{
		reader: opts.Reader, live: opts.Live, writer: opts.Writer, mapper: opts.Mapper, clock: opts.Clock,
		written: opts.Written, deleted: opts.Deleted,
		aliases: map[string]string{}, guarded: map[types.UID]guardWrite{},
	}
	if a.live == nil {
		a.live = opts.Reader
	}
	if a.clock == nil {
		a.clock = clock.RealClock{}
	}
	if a.written == nil {
		a.written = func(client.Object) {}
	}
	if a.deleted == nil {
		a.deleted = func(client.Object) {}
	}
	return a
}

var (
	deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")
	replicaSetKind = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")
	recordKind     = appsv1.SchemeGroupVersion.WithKind("ControllerRevision")
	serviceKind    = schema.GroupVersionKind{Version: "v1", Kind: "Service"}
)

// object is an empty object of a kind, with the name that is given.
func object(kind schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// get reads into obj, and is false when there is no such object.
func (a *Adapter) get(ctx context.Context, namespace, name string, obj client.Object) (bool, error) {
	err := a.reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, obj)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s/%s: %w", namespace, name, err)
	}
	return true, nil
}

// deployment reads a Deployment; nil when there is none.
func (a *Adapter) deployment(ctx context.Context, namespace, name string) (*unstructured.Unstructured, error) {
	u := object(deploymentKind, namespace, name)
	found, err := a.get(ctx, namespace, name, u)
	if err != nil || !found {
		return nil, err
	}
	return u, nil
}

// apply writes the fields of u under Weighlock's name. What is ours already is forced; what is made for
// the first time is not, so that an object of somebody else's which caches don't show yet is left alone.
func (a *Adapter) apply(ctx context.Context, u *unstructured.Unstructured, force bool) error {
	if err := a.applyAs(ctx, v1alpha1.FieldManager, u, force); err != nil {
		return err
	}
	a.written(u)
	return nil
}

// applyAs writes the fields of u under the name of manager.
func (a *Adapter) applyAs(ctx context.Context, manager string, u *unstructured.Unstructured, force bool) error {
	opts := []client.ApplyOption{client.FieldOwner(manager)}
	if force {
		opts = append(opts, client.ForceOwnership)
	}
	if err := a.writer.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), opts...); err != nil {
		return fmt.Errorf("apply %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	return nil
}

// remove deletes obj, the very one that was looked at. One that is gone already is no error.
func (a *Adapter) remove(ctx context.Context, obj client.Object) error {
	uid := obj.GetUID()
	err := a.writer.Delete(ctx, obj, client.Preconditions{UID: &uid},
		client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s/%s: %w", obj.GetNamespace(), obj.GetName(), err)
	}
	a.deleted(obj)
	return nil
}

// ours says that obj was made for the Rollout.
func ours(obj client.Object, ref workload.Reference) bool {
	return obj.GetLabels()[v1alpha1.LabelRollout] == naming.LabelValue(ref.Rollout)
}

// copyName is the name of the copy that runs a revision.
func copyName(ref workload.Reference, revision string) string {
	return naming.Join(ref.Name, revision)
}

// copyServiceName is the name of that copy's track service.
func copyServiceName(ref workload.Reference, revision string) string {
	return naming.Join(ref.Service, revision)
}

// workloadServiceName is the name of the workload's own track service.
func workloadServiceName(ref workload.Reference) string {
	return naming.Join(ref.Service, "workload")
}
