package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// finalizeRetry is how soon a deletion that did not succeed is tried again.
const finalizeRetry = 5 * time.Second

// finalize prunes what the GitSource applied, unless it is not to, and lets it go. A suspended GitSource
// touches nothing any more, and so leaves everything. What the ServiceAccount may not delete, or it
// itself being gone, must not keep a namespace from being deleted: that is left, and said.
func (r *GitSourceReconciler) finalize(ctx context.Context, obj *v1alpha1.GitSource) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(obj, v1alpha1.Finalizer) {
		return ctrl.Result{}, nil
	}
	kept := r.memory.of(obj)
	if prunes(obj) && !obj.Spec.Suspend {
		ctx, cancel := context.WithTimeout(ctx, sourceTimeout(obj))
		defer cancel()
		left, err := r.pruneAll(ctx, obj, kept)
		switch {
		case err != nil && permanent(err):
			r.Events.Eventf(obj, corev1.EventTypeWarning, reasonLeft, "%d objects are left in the cluster: %s", left, err)
		case err != nil:
			conditions.MarkFalse(obj, v1alpha1.ConditionReady, reasonPruneFailed, "%s", err)
			conditions.MarkReconciling(obj, reasonPruneFailed, "retrying: %s", err)
			ctrl.LoggerFrom(ctx).Error(err, "pruning before the deletion")
			return ctrl.Result{RequeueAfter: finalizeRetry}, nil
		}
	}
	controllerutil.RemoveFinalizer(obj, v1alpha1.Finalizer)
	r.memory.forget(client.ObjectKeyFromObject(obj))
	return ctrl.Result{}, nil
}

func (r *GitSourceReconciler) pruneAll(ctx context.Context, obj *v1alpha1.GitSource, kept *remembered) (int, error) {
	applier, err := r.applier(kept, obj)
	if err != nil {
		return len(obj.Status.Inventory), err
	}
	_, left, err := applier.Prune(ctx, obj.Status.Inventory)
	obj.Status.Inventory, kept.inventory = left, left
	if err != nil {
		return len(left), fmt.Errorf("prune what was applied: %w", err)
	}
	return 0, nil
}

// permanent tells whether all that went wrong is a missing permission.
func permanent(err error) bool {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, one := range joined.Unwrap() {
			if !permanent(one) {
				return false
			}
		}
		return true
	}
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}
