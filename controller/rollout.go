package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/patch"
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
	// Events gets what people should know.
	Events record.EventRecorder
	// Metrics of the reconciliations.
	Metrics fluxcontroller.Metrics
	// Clock tells the time.
	Clock clock.PassiveClock

	watches routeWatches

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
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	patcher := patch.NewSerialPatcher(obj, r.Client)
	defer func() {
		r.Metrics.RecordDuration(ctx, obj, start)
		err = r.patch(ctx, patcher, obj, err)
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
		conditions.MarkFalse(obj, v1alpha1.ConditionReady, "ObservationFailed", "%s", err)
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	plan := rollout.PlanFor(seen.snapshot, now)
	r.weigh(obj, seen, plan)
	if err := r.apply(ctx, obj, seen, plan); err != nil {
		return r.failed(ctx, obj, plan, err)
	}
	r.report(ctx, obj, seen, plan)
	return next(plan, seen, now), nil
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
	if seen.snapshot.Obstacle != nil {
		sooner(obstacleInterval)
	}
	return result
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
		r.stall(obj, "RouterUnsupported", unsupported.Message)
		return ctrl.Result{RequeueAfter: obstacleInterval}, nil
	}
	ctrl.LoggerFrom(ctx).V(1).Info("plan interrupted", "reason", plan.Reason, "why", plan.Why)
	conditions.Delete(obj, v1alpha1.ConditionStalled)
	conditions.MarkReconciling(obj, "Retrying", "%s: %s", plan.Why, err)
	conditions.MarkFalse(obj, v1alpha1.ConditionReady, "ApplyFailed", "%s", err)
	obj.Status.ObservedGeneration = obj.Generation
	return ctrl.Result{}, err
}

// patch writes what changed of the object in one go: conditions, status and finalizers.
func (r *RolloutReconciler) patch(ctx context.Context, patcher *patch.SerialPatcher, obj *v1alpha1.Rollout, reconcileErr error) error {
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
	if err != nil {
		return kerrors.NewAggregate([]error{reconcileErr, fmt.Errorf("writing the status: %w", err)})
	}
	return reconcileErr
}
