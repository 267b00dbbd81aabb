package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/runtime/patch"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/gitsource"
)

const (
	// eventLines is how many changes one event tells of.
	eventLines = 10
	// eventBytes is how long a message of an event may be.
	eventBytes = 1000
)

// sync brings the cluster to the branch's newest commit, or finds that it is there. When nothing moved it costs
// one request to the git server. On any error the cluster stays as it was, or as far as it came.
func (r *GitSourceReconciler) sync(ctx context.Context, obj *v1alpha1.GitSource, patcher *patch.SerialPatcher) error {
	kept := r.memory.of(obj)
	applier, err := r.applier(kept, obj)
	if err != nil {
		return &sourceError{reason: reasonInvalidSpec, stalled: true, err: err}
	}
	remote, err := r.remote(ctx, obj, applier)
	if err != nil {
		return err
	}
	head, err := r.fetcher.Head(ctx, remote)
	if err != nil {
		return fetchError(err)
	}
	if !r.due(kept, obj, head) {
		return nil
	}
	tree, err := r.tree(ctx, kept, obj, remote, head)
	if err != nil {
		return err
	}
	obj.Status.LastAttempted = tree.commit.SHA
	return r.apply(ctx, obj, patcher, applier, kept, tree)
}

// due tells whether the cluster has to be compared with the tree: the branch moved, the spec changed, somebody
// asked, or it is time to look for drift.
func (r *GitSourceReconciler) due(kept *remembered, obj *v1alpha1.GitSource, head string) bool {
	return obj.Status.LastApplied == nil || obj.Status.LastApplied.SHA != head ||
		kept.failures > 0 ||
		kept.generation != obj.Generation ||
		kept.request != requestOf(obj) ||
		r.Clock.Since(kept.applied) >= max(sourceInterval(obj), r.driftInterval)
}

// applier returns the one that acts as the ServiceAccount of the GitSource.
func (r *GitSourceReconciler) applier(kept *remembered, obj *v1alpha1.GitSource) (*gitsource.Applier, error) {
	source := gitsource.Source{
		Namespace:       obj.Namespace,
		Name:            obj.Name,
		ServiceAccount:  obj.Spec.ServiceAccountName,
		TargetNamespace: obj.Spec.TargetNamespace,
	}
	if kept.applier != nil && kept.source == source {
		return kept.applier, nil
	}
	applier, err := gitsource.NewApplier(r.Config, r.Client.Scheme(), r.Client.RESTMapper(), r.sources, source)
	if err != nil {
		return nil, err
	}
	kept.applier, kept.source = applier, source
	return applier, nil
}

// remote reads the credentials as the ServiceAccount: a GitSource opens nothing that its namespace couldn't.
func (r *GitSourceReconciler) remote(ctx context.Context, obj *v1alpha1.GitSource, applier *gitsource.Applier) (gitsource.Repository, error) {
	remote := gitsource.Repository{URL: obj.Spec.URL, Branch: obj.Spec.Branch}
	if obj.Spec.SecretRef == nil {
		return remote, nil
	}
	secret := &corev1.Secret{}
	key := types.NamespacedName{Namespace: obj.Namespace, Name: obj.Spec.SecretRef.Name}
	if err := applier.Client().Get(ctx, key, secret); err != nil {
		return remote, &sourceError{reason: reasonAuthenticationFailed, err: fmt.Errorf(
			"read the secret %s as the ServiceAccount %s: %w", key.Name, obj.Spec.ServiceAccountName, err)}
	}
	remote.Credentials = gitsource.NewCredentials(secret.Data)
	return remote, nil
}

// tree returns the objects of a commit, from memory where they are there.
func (r *GitSourceReconciler) tree(ctx context.Context, kept *remembered, obj *v1alpha1.GitSource, remote gitsource.Repository, head string) (*builtTree, error) {
	if kept.built != nil && kept.built.commit.SHA == head && kept.built.generation == obj.Generation {
		return kept.built, nil
	}
	key := brokenTree{sha: head, generation: obj.Generation, request: requestOf(obj)}
	if kept.broken != nil && kept.broken.is(key) {
		// The same commit can't get better: it is not cloned again.
		return nil, kept.broken.err
	}
	clone, err := r.fetcher.Fetch(ctx, remote)
	if err != nil {
		if errors.Is(err, gitsource.ErrLimit) {
			// That is the commit's fault, and nobody's on the way.
			obj.Status.LastAttempted = head
		}
		return nil, fetchError(err)
	}
	defer func() {
		if err := clone.Close(); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "removing a clone")
		}
	}()
	obj.Status.LastAttempted = clone.Commit.SHA
	objects, err := build(obj, clone, r.fetcher.Limits)
	if err != nil {
		key.sha, key.err = clone.Commit.SHA, err
		kept.broken = &key
		return nil, err
	}
	tree := &builtTree{commit: clone.Commit, generation: obj.Generation, objects: objects}
	kept.build(tree)
	return tree, nil
}

// build gives an error of a build its reason.
func build(obj *v1alpha1.GitSource, clone *gitsource.Checkout, limits gitsource.Limits) ([]*unstructured.Unstructured, error) {
	objects, err := gitsource.Build(clone.Dir, obj.Spec.Path, limits)
	if err == nil && len(objects) == 0 && !obj.Spec.AllowEmpty {
		err = fmt.Errorf("%w in %s: set allowEmpty if that is meant", gitsource.ErrEmpty, obj.Spec.Path)
	}
	if err == nil {
		return objects, nil
	}
	reason := reasonBuildFailed
	if errors.Is(err, gitsource.ErrPath) {
		reason = reasonInvalidPath
	}
	return nil, &sourceError{reason: reason, err: fmt.Errorf("commit %s: %w", clone.Commit.Short(), err)}
}

// apply makes the cluster as the tree says: tried as a whole, the inventory recorded, written, then pruned.
func (r *GitSourceReconciler) apply(ctx context.Context, obj *v1alpha1.GitSource, patcher *patch.SerialPatcher,
	applier *gitsource.Applier, kept *remembered, tree *builtTree,
) error {
	failed := func(reason string, err error) error {
		return &sourceError{reason: reason, err: fmt.Errorf("commit %s: %w", tree.commit.Short(), err)}
	}
	plan, err := applier.Plan(ctx, gitsource.Desired{Commit: tree.commit, Objects: tree.objects, Previous: before(obj, kept, tree)})
	if err != nil {
		return failed(reasonApplyFailed, err)
	}
	wanted := plan.Inventory()
	// What is applied is in the inventory, and its commit in lastAttempted, before it is in the cluster: nothing is ever forgotten, nor
	// taken for what another commit brought.
	union := gitsource.Union(obj.Status.Inventory, wanted)
	grows := !slices.Equal(union, obj.Status.Inventory)
	if grows || (plan.Changes() && kept.attempted != tree.commit.SHA) {
		obj.Status.Inventory = union
		if grows {
			markSyncing(obj, tree.commit)
		}
		if err := r.patch(ctx, patcher, obj, nil); err != nil {
			return failed(reasonApplyFailed, err)
		}
		kept.inventory, kept.attempted = union, tree.commit.SHA
	}
	written, err := applier.Apply(ctx, plan)
	r.tell(obj, tree.commit, reasonApplied, written)
	if err != nil {
		return failed(reasonApplyFailed, err)
	}
	stale := gitsource.Stale(obj.Status.Inventory, wanted)
	var left []v1alpha1.InventoryEntry
	if prunes(obj) {
		var deleted []string
		deleted, left, err = applier.Prune(ctx, stale)
		r.tell(obj, tree.commit, reasonPruned, deleted)
	}
	obj.Status.Inventory = gitsource.Union(left, wanted)
	kept.inventory = obj.Status.Inventory
	if err != nil {
		return failed(reasonPruneFailed, err)
	}
	r.record(obj, kept, tree)
	return nil
}

// markSyncing says that objects are applied that were not there before.
func markSyncing(obj *v1alpha1.GitSource, commit gitsource.Commit) {
	conditions.MarkReconciling(obj, reasonSyncing, "applying %s", commit.Short())
	if !conditions.IsTrue(obj, v1alpha1.ConditionReady) || obj.Status.ObservedGeneration != obj.Generation {
		conditions.MarkUnknown(obj, v1alpha1.ConditionReady, reasonSyncing, "applying %s", commit.Short())
	} else {
		conditions.MarkFalse(obj, v1alpha1.ConditionReady, reasonSyncing, "applying %s", commit.Short())
	}
}

// before is what the tree said when it was applied last, where nothing of another commit may have been written since. After a restart that
// is known if the commit is still the same.
func before(obj *v1alpha1.GitSource, kept *remembered, tree *builtTree) []*unstructured.Unstructured {
	last := obj.Status.LastApplied
	if last != nil && kept.attempted != last.SHA {
		return nil
	}
	if kept.previous == nil && last != nil && last.SHA == tree.commit.SHA && obj.Status.ObservedGeneration == obj.Generation {
		return tree.objects
	}
	return kept.previous
}

// record says in the status, and remembers, that a commit is applied as a whole.
func (r *GitSourceReconciler) record(obj *v1alpha1.GitSource, kept *remembered, tree *builtTree) {
	now := r.Clock.Now()
	if last := obj.Status.LastApplied; last == nil || last.SHA != tree.commit.SHA {
		obj.Status.LastApplied = &v1alpha1.CommitStatus{
			SHA:         tree.commit.SHA,
			Short:       tree.commit.Short(),
			Subject:     tree.commit.Subject,
			Author:      tree.commit.Author,
			CommittedAt: timestamp(tree.commit.CommittedAt),
			AppliedAt:   timestamp(now),
		}
	}
	kept.commit, kept.attempted = obj.Status.LastApplied, tree.commit.SHA
	kept.keep(obj, tree, now)
}

// tell reports what was changed, in one event.
func (r *GitSourceReconciler) tell(obj *v1alpha1.GitSource, commit gitsource.Commit, reason string, changes []string) {
	if len(changes) == 0 {
		return
	}
	lines := changes
	if len(lines) > eventLines {
		lines = append(slices.Clone(lines[:eventLines]), fmt.Sprintf("and %d more", len(changes)-eventLines))
	}
	r.Events.Event(obj, corev1.EventTypeNormal, reason,
		cutEvent(fmt.Sprintf("commit %s (%s): %s", commit.Short(), commit.Subject, strings.Join(lines, ", "))))
}

// cutEvent keeps a message within what the API server takes.
func cutEvent(message string) string {
	if len(message) <= eventBytes {
		return message
	}
	return strings.ToValidUTF8(message[:eventBytes], "") + "…"
}

// fetchError gives an error of git its reason.
func fetchError(err error) error {
	if errors.Is(err, gitsource.ErrCredentials) {
		return &sourceError{reason: reasonAuthenticationFailed, err: err}
	}
	return &sourceError{reason: reasonFetchFailed, err: err}
}

func timestamp(at time.Time) *metav1.Time {
	if at.IsZero() {
		return nil
	}
	return &metav1.Time{Time: at.Truncate(time.Second)}
}
