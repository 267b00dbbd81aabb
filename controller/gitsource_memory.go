package controller

import (
	"sync"
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/gitsource"
)

const (
	// firstRetry is how soon a failed sync is tried again; it doubles up to the interval.
	firstRetry = time.Second
	// maxDoublings keeps the doubling from overflowing.
	maxDoublings = 20
	// keptObjects is how many objects of one source are kept in memory for drift to be mended without a
	// clone.
	keptObjects = 1000
)

// sourceMemory is what saves work between syncs. Nothing is lost with it but a clone: all that counts is in the
// status.
type sourceMemory struct {
	mu      sync.Mutex
	sources map[types.NamespacedName]*remembered
}

// remembered is of one GitSource. One worker at a time uses it.
type remembered struct {
	uid types.UID
	// built is what the tree said last, whether or not it could be applied.
	built *builtTree
	// broken is the commit that could not be built last.
	broken *brokenTree
	// previous is the tree that was applied last: what a commit changed is the difference.
	previous []*unstructured.Unstructured
	// applied is when the whole tree was compared with the cluster last, and by which spec and request.
	applied    time.Time
	generation int64
	request    string
	// inventory and commit are what was written to the status, for caches that don't show it yet.
	inventory []v1alpha1.InventoryEntry
	commit    *v1alpha1.CommitStatus
	// attempted is the commit of which something may be in the cluster, as a whole or in part: the last one.
	attempted string
	failures  int

	applier *gitsource.Applier
	source  gitsource.Source
}

type builtTree struct {
	commit     gitsource.Commit
	generation int64
	objects    []*unstructured.Unstructured
}

// brokenTree is a commit that could not be built, under a spec and a request.
type brokenTree struct {
	sha        string
	generation int64
	request    string
	err        error
}

func (b *brokenTree) is(other brokenTree) bool {
	return b.sha == other.sha && b.generation == other.generation && b.request == other.request
}

// of returns what is remembered of a GitSource, and makes its status as new as that.
func (m *sourceMemory) of(obj *v1alpha1.GitSource) *remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sources == nil {
		m.sources = map[types.NamespacedName]*remembered{}
	}
	key := types.NamespacedName{Namespace: obj.Namespace, Name: obj.Name}
	kept, ok := m.sources[key]
	if !ok || kept.uid != obj.UID {
		kept = &remembered{uid: obj.UID, inventory: obj.Status.Inventory, commit: obj.Status.LastApplied, attempted: obj.Status.LastAttempted}
		m.sources[key] = kept
	}
	obj.Status.Inventory = kept.inventory
	obj.Status.LastApplied = kept.commit
	return kept
}

func (m *sourceMemory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sources, key)
}

func (m *sourceMemory) succeeded(obj *v1alpha1.GitSource) { m.of(obj).failures = 0 }

// failed counts a failure, and says how long to wait after it.
func (m *sourceMemory) failed(obj *v1alpha1.GitSource) time.Duration {
	kept := m.of(obj)
	wait := firstRetry << min(kept.failures, maxDoublings)
	kept.failures++
	return wait
}

// keep remembers a tree as applied.
func (k *remembered) keep(obj *v1alpha1.GitSource, tree *builtTree, now time.Time) {
	k.applied = now
	k.generation = obj.Generation
	k.request = requestOf(obj)
	k.broken = nil
	if k.previous = tree.objects; len(tree.objects) > keptObjects {
		k.previous = nil
	}
}

// build remembers what a tree says, if it is not too much.
func (k *remembered) build(tree *builtTree) {
	if k.built = tree; len(tree.objects) > keptObjects {
		k.built = nil
	}
}

// requestOf is the value of the annotation by which people ask for a sync.
func requestOf(obj *v1alpha1.GitSource) string {
	value, _ := fluxmeta.ReconcileAnnotationValue(obj.GetAnnotations())
	return value
}
