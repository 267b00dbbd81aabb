package controller

import (
	"context"
	"maps"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
)

// expectationLimit is how long a cache is waited for. Past it, an object was changed or deleted by somebody
// else before the cache saw it.
const expectationLimit = 30 * time.Second

// leastSweep is how many Rollouts are waited for at least before any is dropped.
const leastSweep = 64

// Expectations remember what was written for each Rollout until the caches show it. A plan made from caches that
// lag behind Weighlock's own writes would do things twice.
type Expectations struct {
	reader client.Reader
	scheme *runtime.Scheme
	clock  clock.PassiveClock

	mu      sync.Mutex
	pending map[string]map[objectKey]expectation
	// sweepAt is how many Rollouts there may be in pending before those are looked for that nobody asks for any more.
	sweepAt int
}

type objectKey struct {
	schema.GroupVersionKind
	types.NamespacedName
}

type expectation struct {
	version string // empty for a deletion
	uid     types.UID
	since   time.Time
}

// NewExpectations makes Expectations of what reader shows.
func NewExpectations(reader client.Reader, scheme *runtime.Scheme, clock clock.PassiveClock) *Expectations {
	return &Expectations{reader: reader, scheme: scheme, clock: clock, pending: map[string]map[objectKey]expectation{}}
}

// Written notes an object as the API server returned it from a write.
func (e *Expectations) Written(obj client.Object) {
	e.note(obj, expectation{version: obj.GetResourceVersion(), uid: obj.GetUID(), since: e.clock.Now()})
}

// Deleted notes an object that was deleted.
func (e *Expectations) Deleted(obj client.Object) {
	e.note(obj, expectation{uid: obj.GetUID(), since: e.clock.Now()})
}

// Reported notes a Rollout itself, as the API server returned it from a write.
func (e *Expectations) Reported(rollout *v1alpha1.Rollout) {
	e.noteFor(keyFor(rollout.Namespace, naming.LabelValue(rollout.Name)), rollout,
		expectation{version: rollout.GetResourceVersion(), uid: rollout.GetUID(), since: e.clock.Now()})
}

// Settled notes a decision about a Rollout, as the API server returned it from a write.
func (e *Expectations) Settled(rollout *v1alpha1.Rollout, decision *v1alpha1.Decision) {
	e.noteFor(keyFor(rollout.Namespace, naming.LabelValue(rollout.Name)), decision,
		expectation{version: decision.GetResourceVersion(), uid: decision.GetUID(), since: e.clock.Now()})
}

func (e *Expectations) note(obj client.Object, expected expectation) {
	e.noteFor(ownerOf(obj), obj, expected)
}

func (e *Expectations) noteFor(owner string, obj client.Object, expected expectation) {
	kind, err := apiutil.GVKForObject(obj, e.scheme)
	if err != nil || owner == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pending[owner] == nil {
		e.sweep()
		e.pending[owner] = map[objectKey]expectation{}
	}
	e.pending[owner][objectKey{kind, client.ObjectKeyFromObject(obj)}] = expected
}

// sweep drops what is past its time, once in a while: nobody asks for Rollouts that are gone.
func (e *Expectations) sweep() {
	if len(e.pending) < e.sweepAt {
		return
	}
	maps.DeleteFunc(e.pending, func(_ string, pending map[objectKey]expectation) bool {
		maps.DeleteFunc(pending, func(_ objectKey, expected expectation) bool { return e.late(expected) })
		return len(pending) == 0
	})
	e.sweepAt = max(leastSweep, 2*len(e.pending))
}

func (e *Expectations) late(expected expectation) bool {
	return e.clock.Since(expected.since) > expectationLimit
}

// ownerOf is the key of the Rollout that an object was written for, by its labels.
func ownerOf(obj client.Object) string {
	rollout := obj.GetLabels()[v1alpha1.LabelRollout]
	if rollout == "" {
		rollout = obj.GetLabels()[v1alpha1.LabelHeld]
	}
	if rollout == "" {
		return ""
	}
	if namespace := obj.GetLabels()[v1alpha1.LabelRolloutNamespace]; namespace != "" {
		return keyFor(namespace, rollout)
	}
	return keyFor(obj.GetNamespace(), rollout)
}

func keyFor(namespace, label string) string { return namespace + "/" + label }

// Met says whether the caches show all that was written for the Rollout with that label value.
func (e *Expectations) Met(ctx context.Context, namespace, label string) (bool, error) {
	owner := keyFor(namespace, label)
	e.mu.Lock()
	pending := make(map[objectKey]expectation, len(e.pending[owner]))
	maps.Copy(pending, e.pending[owner])
	e.mu.Unlock()
	for key, expected := range pending {
		met, err := e.shown(ctx, key, expected)
		if err != nil || !met {
			return false, err
		}
		e.mu.Lock()
		if e.pending[owner][key] == expected {
			delete(e.pending[owner], key)
		}
		if len(e.pending[owner]) == 0 {
			delete(e.pending, owner)
		}
		e.mu.Unlock()
	}
	return true, nil
}

func (e *Expectations) shown(ctx context.Context, key objectKey, expected expectation) (bool, error) {
	late := e.late(expected)
	obj := asCached(key.GroupVersionKind)
	if err := e.reader.Get(ctx, key.NamespacedName, obj); err != nil {
		if apierrors.IsNotFound(err) {
			return expected.version == "" || late, nil
		}
		return false, err
	}
	if expected.version == "" || obj.GetUID() != expected.uid {
		return obj.GetUID() != expected.uid || late, nil
	}
	order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), expected.version)
	if err != nil {
		return true, nil //nolint:nilerr // versions that can't be compared are taken as they are.
	}
	return order >= 0 || late, nil
}

// asCached is an empty object of a kind in the form in which the caches hold it.
func asCached(kind schema.GroupVersionKind) client.Object {
	switch kind {
	case v1alpha1.GroupVersion.WithKind("Rollout"):
		return &v1alpha1.Rollout{}
	case v1alpha1.GroupVersion.WithKind("Decision"):
		return &v1alpha1.Decision{}
	case corev1.SchemeGroupVersion.WithKind("Service"):
		return &corev1.Service{}
	case appsv1.SchemeGroupVersion.WithKind("ControllerRevision"):
		return &appsv1.ControllerRevision{}
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	return u
}
