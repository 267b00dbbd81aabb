package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	kerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/weighlock/weighlock/analysis/monitor"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/workload"
)

const (
	// soon is when to look again after a write whose event may have come already, or a conflict.
	soon = 200 * time.Millisecond
	// afterWrites is when to look again after writes, for those that changed nothing and so bring no event.
	afterWrites = 2 * time.Second
	// obstacleInterval is how often a cluster that lacks something is looked at again.
	obstacleInterval = 30 * time.Second
)

// RouterFactory makes the router for an entry of spec.router, which is to express the steps.
type RouterFactory func(v1alpha1.RouterSpec, []v1alpha1.Step) (router.Router, error)

// RolloutReconciler brings Rollouts about: it observes, has package rollout plan, does what the plan
// says, and reports.
type RolloutReconciler struct {
	// Client reads from caches.
	Client client.Client
	// Workloads is the adapter for what Rollouts take live.
	Workloads workload.Adapter
	// Routers makes the adapters that move traffic.
	Routers RouterFactory
	// Monitor weighs steps.
	Monitor *monitor.Monitor
	// Expectations know which of Weighlock's writes the caches don't show yet.
	Expectations *Expectations
	// Freshness says whether the caches show what there is, before the first write for a Rollout.
	Freshness *Freshness
	// Events gets what people should know.
	Events record.EventRecorder
	// Metrics of the reconciliations.
	Metrics fluxcontroller.Metrics
	// Clock tells the time.
	Clock clock.PassiveClock

	watches routeWatches
	// copies reads Deployments from caches.
	copies client.Reader

	mu   sync.Mutex
	gone map[types.UID]time.Time // when routes of Rollouts under deletion were first seen to be gone
}

// Reconcile looks at one Rollout. It needs what the adapters need, and to get, list, watch, patch and update
// rollouts and their status.
func (r *RolloutReconciler) Reconcile(ctx context.Context, req ctrl.Request) (result ctrl.Result, err error) {
	start := r.Clock.Now()
	obj := &v1alpha1.Rollout{}
	if err := r.Client.Get(ctx, req.NamespacedName, obj); err != nil {
		r.Monitor.Forget(req.String())
		r.Freshness.Forget(req.String())
		if apierrors.IsNotFound(err) {
			return r.disown(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	before := obj.DeepCopy()
	defer func() {
		r.Metrics.RecordDuration(ctx, obj, start)
		if stale := r.patch(ctx, before, obj, &err); stale {
			result = ctrl.Result{RequeueAfter: soon}
		}
	}()
	if obj.DeletionTimestamp.IsZero() && controllerutil.AddFinalizer(obj, v1alpha1.Finalizer) {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	if !controllerutil.ContainsFinalizer(obj, v1alpha1.Finalizer) {
		return ctrl.Result{}, nil
	}
	met, err := r.Expectations.Met(ctx, obj.Namespace, naming.LabelValue(obj.Name))
	if err != nil || !met {
		return ctrl.Result{RequeueAfter: soon}, err
	}
	return r.advance(ctx, obj)
}

// advance observes, plans and does.
func (r *RolloutReconciler) advance(ctx context.Context, obj *v1alpha1.Rollout) (ctrl.Result, error) {
	seen, err := r.observe(ctx, obj)
	if err != nil {
		conditions.MarkFalse(obj, v1alpha1.ConditionReady, v1alpha1.ReasonObservationFailed, "%s", err)
		return ctrl.Result{}, err
	}
	if progress := seen.snapshot.Route.Progress; progress != nil && progress.Behind(seen.seen...) {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	now := r.Clock.Now()
	plan := rollout.PlanFor(seen.snapshot, now)
	r.weigh(obj, seen, plan)
	if fresh, err := r.fresh(ctx, obj, seen, plan); err != nil || !fresh {
		return ctrl.Result{RequeueAfter: soon}, err
	}
	if err := r.apply(ctx, obj, seen, plan); err != nil {
		return r.failed(ctx, obj, plan, err)
	}
	r.prune(ctx, seen)
	if !seen.passing(plan, now) {
		r.report(ctx, obj, seen, plan)
	}
	return next(plan, seen, now), nil
}

// fresh says whether a plan may be acted on: a plan made from caches that lag behind does harm.
func (r *RolloutReconciler) fresh(ctx context.Context, obj *v1alpha1.Rollout, o *observation, plan rollout.Plan) (bool, error) {
	if len(plan.Actions) == 0 {
		return true, nil
	}
	return r.Freshness.Fresh(ctx, obj, o.kinds)
}

// next says when to look again if nothing changes before.
func next(plan rollout.Plan, seen *observation, now time.Time) ctrl.Result {
	result := ctrl.Result{}
	sooner := func(after time.Duration) {
		after = max(after, time.Millisecond)
		if result.RequeueAfter == 0 || after < result.RequeueAfter {
			result.RequeueAfter = after
		}
	}
	if !plan.Again.IsZero() {
		sooner(plan.Again.Sub(now))
	}
	if len(plan.Actions) > 0 {
		sooner(afterWrites)
	}
	if seen.snapshot.Obstacle != nil || passes(seen.snapshot.Problem) {
		sooner(obstacleInterval)
	}
	return result
}

// passes says of a problem that no event may tell its end: volume claims aren't watched, and whoever wrote a field back is
// only given time.
func passes(problem *workload.Problem) bool {
	if problem == nil {
		return false
	}
	return problem.Reason == v1alpha1.ReasonCannotRunTwice || problem.Reason == v1alpha1.ReasonAutoscalerNotGuardable
}

// failed deals with an action that could not be done. The next reconciliation plans anew from what is there.
func (r *RolloutReconciler) failed(ctx context.Context, obj *v1alpha1.Rollout, plan rollout.Plan, err error) (ctrl.Result, error) {
	var problem *workload.ProblemError
	var unsupported *router.UnsupportedError
	switch {
	case apierrors.IsConflict(err):
		// The object is not the one that was looked at any more: look again.
		return ctrl.Result{RequeueAfter: soon}, nil
	case errors.As(err, &problem):
		r.stall(obj, problem.Problem.Reason, problem.Problem.Message)
		return ctrl.Result{RequeueAfter: obstacleInterval}, nil
	case errors.As(err, &unsupported):
		r.stall(obj, v1alpha1.ReasonRouterUnsupported, unsupported.Message)
		return ctrl.Result{RequeueAfter: obstacleInterval}, nil
	}
	ctrl.LoggerFrom(ctx).V(1).Info("plan interrupted", "reason", plan.Reason, "why", plan.Why)
	conditions.Delete(obj, v1alpha1.ConditionStalled)
	conditions.MarkReconciling(obj, v1alpha1.ReasonRetrying, "%s: %s", plan.Why, err)
	conditions.MarkFalse(obj, v1alpha1.ConditionReady, v1alpha1.ReasonApplyFailed, "%s", err)
	obj.Status.ObservedGeneration = obj.Generation
	return ctrl.Result{}, err
}

// patch writes what changed of the object: its finalizers, or else its status in one call. It returns whether the object
// is not the one that was looked at any more: then nothing was written, and it must be looked at again.
func (r *RolloutReconciler) patch(ctx context.Context, before, obj *v1alpha1.Rollout, reconcileErr *error) (stale bool) {
	after := before.DeepCopy()
	var err error
	if slices.Equal(before.Finalizers, obj.Finalizers) {
		after.Status = obj.Status
		err = r.write(before, after, func(p client.Patch) error {
			return r.Client.Status().Patch(ctx, after, p, client.FieldOwner(v1alpha1.FieldManager))
		})
	} else {
		after.Finalizers = obj.Finalizers
		err = r.write(before, after, func(p client.Patch) error {
			return r.Client.Patch(ctx, after, p, client.FieldOwner(v1alpha1.FieldManager))
		})
	}
	if !obj.DeletionTimestamp.IsZero() {
		// The last patch takes the finalizer off, and what comes after it finds nothing.
		err = client.IgnoreNotFound(err)
	}
	r.Metrics.RecordReadiness(ctx, obj)
	r.Metrics.RecordReconciling(ctx, obj)
	r.Metrics.RecordStalled(ctx, obj)
	switch {
	case apierrors.IsConflict(err):
		return true
	case err != nil:
		*reconcileErr = kerrors.NewAggregate([]error{*reconcileErr, fmt.Errorf("writing the status: %w", err)})
	}
	return false
}

// write patches before to after, if they differ, on the very object that was looked at: lists, such as the conditions,
// are written whole.
func (r *RolloutReconciler) write(before, after *v1alpha1.Rollout, send func(client.Patch) error) error {
	changes, err := client.MergeFrom(before).Data(after)
	if err != nil || string(changes) == "{}" {
		return err
	}
	if err := send(client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	r.Expectations.Reported(after)
	return nil
}
