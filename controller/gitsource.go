package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/jitter"
	"github.com/fluxcd/pkg/runtime/patch"
	"github.com/fluxcd/pkg/runtime/predicates"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	kerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/gitsource"
)

const (
	// defaultSourceInterval and defaultSourceTimeout stand in where a GitSource says nothing, which the API
	// server's defaults don't let happen.
	defaultSourceInterval = time.Minute
	defaultSourceTimeout  = 2 * time.Minute
	// defaultDriftInterval is the least time between two looks for drift. A short interval asks
	// for quick commits, not for a dry run of everything each second.
	defaultDriftInterval = 10 * time.Second
)

// GitSourceReconciler keeps the cluster as the repositories of GitSources say.
//
// It reads and writes in the name of the ServiceAccount that a GitSource names, the Secret with the
// credentials included: what that may not do is not done. Its own identity needs to get, list, watch and patch
// gitsources and patch their status, and to impersonate ServiceAccounts.
type GitSourceReconciler struct {
	// Client reads GitSources from a cache.
	Client client.Client
	// Config is how to reach the API server, with the right to impersonate.
	Config *rest.Config
	// Events gets what people should know.
	Events record.EventRecorder
	// Metrics of the reconciliations; the zero value records none.
	Metrics fluxcontroller.Metrics
	// Clock tells the time.
	Clock clock.PassiveClock

	// sources tells of all GitSources, those that other controllers look after too.
	sources       client.Reader
	fetcher       gitsource.Fetcher
	driftInterval time.Duration
	memory        sourceMemory
}

// GitSourceOptions tune the controller of GitSources.
type GitSourceOptions struct {
	// Concurrent is how many are worked on at a time.
	Concurrent int
	// RateLimiter spaces retries of what is no fault of a repository.
	RateLimiter workqueue.TypedRateLimiter[reconcile.Request]
	// Limits bound what one repository may cost.
	Limits gitsource.Limits
	// DriftInterval is the least time between two looks for drift; the default is 10s.
	DriftInterval time.Duration
	// CloneDir is where clones are made; the default is the system's folder for temporary files.
	CloneDir string
}

// SetupWithManager has the manager run the reconciler.
func (r *GitSourceReconciler) SetupWithManager(mgr ctrl.Manager, opts GitSourceOptions) error {
	r.sources = mgr.GetAPIReader()
	r.fetcher = gitsource.Fetcher{Limits: opts.Limits, Dir: opts.CloneDir}
	if r.driftInterval = opts.DriftInterval; r.driftInterval == 0 {
		r.driftInterval = defaultDriftInterval
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("gitsource").
		For(&v1alpha1.GitSource{}, builder.WithPredicates(
			predicate.Or(predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{}),
		)).
		WithOptions(controller.Options{MaxConcurrentReconciles: opts.Concurrent, RateLimiter: opts.RateLimiter}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("building the controller of GitSources: %w", err)
	}
	return nil
}

// Reconcile syncs one GitSource.
func (r *GitSourceReconciler) Reconcile(ctx context.Context, req ctrl.Request) (result ctrl.Result, err error) {
	start := r.Clock.Now()
	obj := &v1alpha1.GitSource{}
	if err := r.Client.Get(ctx, req.NamespacedName, obj); err != nil {
		if apierrors.IsNotFound(err) {
			r.memory.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	patcher := patch.NewSerialPatcher(obj, r.Client)
	defer func() {
		r.Metrics.RecordDuration(ctx, obj, start)
		err = r.patch(ctx, patcher, obj, err)
	}()
	if !obj.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, obj)
	}
	if controllerutil.AddFinalizer(obj, v1alpha1.Finalizer) {
		// The finalizer must be there before anything is applied.
		if err := patcher.Patch(ctx, obj, patch.WithFieldOwner(v1alpha1.FieldManager)); err != nil {
			return ctrl.Result{}, fmt.Errorf("adding the finalizer: %w", err)
		}
	}
	if obj.Spec.Suspend {
		// What was reported last stays true: nothing changes it meanwhile.
		return ctrl.Result{}, nil
	}
	// The status is written after the sync, and so not within its time.
	within, cancel := context.WithTimeout(ctx, sourceTimeout(obj))
	defer cancel()
	return r.report(ctx, obj, r.sync(within, obj, patcher))
}

// sourceError is why a sync failed, in the words of conditions and events.
type sourceError struct {
	reason string
	// stalled errors are of the spec itself: only a change of it helps.
	stalled bool
	err     error
}

func (e *sourceError) Error() string { return e.err.Error() }

func (e *sourceError) Unwrap() error { return e.err }

// Reasons of a GitSource's conditions and events.
const (
	reasonApplied              = "Applied"
	reasonPruned               = "Pruned"
	reasonSyncing              = "Syncing"
	reasonFetchFailed          = "FetchFailed"
	reasonAuthenticationFailed = "AuthenticationFailed"
	reasonInvalidPath          = "InvalidPath"
	reasonBuildFailed          = "BuildFailed"
	reasonApplyFailed          = "ApplyFailed"
	reasonPruneFailed          = "PruneFailed"
	reasonInvalidSpec          = "InvalidSpec"
	reasonLeft                 = "Left"
)

// report turns the outcome of a sync into conditions, an event where it changed, and the time of the
// next one.
func (r *GitSourceReconciler) report(ctx context.Context, obj *v1alpha1.GitSource, err error) (ctrl.Result, error) {
	interval := sourceInterval(obj)
	if err == nil {
		r.memory.succeeded(obj)
		message := "applied " + shownRevision(obj)
		conditions.Delete(obj, v1alpha1.ConditionReconciling)
		conditions.Delete(obj, v1alpha1.ConditionStalled)
		conditions.MarkTrue(obj, v1alpha1.ConditionReady, reasonApplied, "%s", message)
		obj.Status.ObservedGeneration = obj.Generation
		return jitter.JitteredRequeueInterval(ctrl.Result{RequeueAfter: interval}), nil
	}
	if errors.Is(err, context.Canceled) {
		// The controller is stopping: that is nobody's fault.
		return ctrl.Result{}, err
	}
	failure := &sourceError{reason: reasonApplyFailed, err: err}
	_ = errors.As(err, &failure)
	message := strings.ReplaceAll(failure.Error(), "\n", "; ")
	if failure.reason != conditions.GetReason(obj, v1alpha1.ConditionReady) ||
		message != conditions.GetMessage(obj, v1alpha1.ConditionReady) {
		r.Events.Event(obj, corev1.EventTypeWarning, failure.reason, cutEvent(message))
		ctrl.LoggerFrom(ctx).Error(failure.err, "syncing failed", "reason", failure.reason)
	}
	conditions.MarkFalse(obj, v1alpha1.ConditionReady, failure.reason, "%s", message)
	if failure.stalled {
		conditions.MarkStalled(obj, failure.reason, "%s", message)
		obj.Status.ObservedGeneration = obj.Generation
		return ctrl.Result{}, reconcile.TerminalError(err)
	}
	conditions.MarkReconciling(obj, fluxmeta.ProgressingWithRetryReason, "retrying: %s", message)
	return ctrl.Result{RequeueAfter: min(r.memory.failed(obj), interval)}, nil
}

func (r *GitSourceReconciler) patch(ctx context.Context, patcher *patch.SerialPatcher, obj *v1alpha1.GitSource, reconcileErr error) error {
	err := patcher.Patch(ctx, obj, patch.WithOwnedConditions{
		Conditions: []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled},
	}, patch.WithFieldOwner(v1alpha1.FieldManager))
	if !obj.DeletionTimestamp.IsZero() {
		// The last patch takes the finalizer off, and what comes after it finds nothing.
		err = kerrors.FilterOut(err, apierrors.IsNotFound)
	}
	r.Metrics.RecordReadiness(ctx, obj)
	r.Metrics.RecordReconciling(ctx, obj)
	r.Metrics.RecordStalled(ctx, obj)
	r.Metrics.RecordSuspend(ctx, obj, obj.Spec.Suspend)
	if err != nil {
		return kerrors.NewAggregate([]error{reconcileErr, fmt.Errorf("writing the status: %w", err)})
	}
	return reconcileErr
}

// shownRevision names the commit that is live, for people.
func shownRevision(obj *v1alpha1.GitSource) string {
	if obj.Status.LastApplied == nil {
		return "nothing yet"
	}
	return fmt.Sprintf("%s@%s", obj.Spec.Branch, obj.Status.LastApplied.Short)
}

func sourceInterval(obj *v1alpha1.GitSource) time.Duration {
	if obj.Spec.Interval == nil || obj.Spec.Interval.Duration <= 0 {
		return defaultSourceInterval
	}
	return obj.Spec.Interval.Duration
}

func sourceTimeout(obj *v1alpha1.GitSource) time.Duration {
	if obj.Spec.Timeout == nil || obj.Spec.Timeout.Duration <= 0 {
		return defaultSourceTimeout
	}
	return obj.Spec.Timeout.Duration
}

func prunes(obj *v1alpha1.GitSource) bool { return obj.Spec.Prune == nil || *obj.Spec.Prune }
