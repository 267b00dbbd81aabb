package controller

import (
	"context"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/router"
)

// apply does a plan's actions in their order, and stops at the first that fails. It tells of each that was done.
func (r *RolloutReconciler) apply(ctx context.Context, obj *v1alpha1.Rollout, o *observation, plan rollout.Plan) error {
	log := ctrl.LoggerFrom(ctx)
	told := r.told(obj, o, plan)
	for _, action := range plan.Actions {
		if err := r.act(ctx, obj, o, action); err != nil {
			return fmt.Errorf("%s: %w", action, err)
		}
		log.Info("done", "action", action.String(), "why", plan.Why)
		r.announce(told(), o, plan, action)
	}
	return nil
}

// act does one action. Each is idempotent.
func (r *RolloutReconciler) act(ctx context.Context, obj *v1alpha1.Rollout, o *observation, action rollout.Action) error {
	w, state := r.Workloads, o.snapshot.Workload
	switch a := action.(type) {
	case rollout.SetRoute:
		if err := o.setRoute(ctx, a); err != nil {
			return err
		}
		r.inspect(ctx, o, a.Progress)
		return nil
	case rollout.Note:
		return o.note(ctx, a)
	case rollout.Settle:
		return r.settle(ctx, obj, o, a)
	case rollout.ReleaseRoute:
		return o.releaseRoute(ctx)
	case rollout.Adopt:
		return w.Adopt(ctx, o.ref, state)
	case rollout.Disown:
		return w.Disown(ctx, o.ref, state, a.Reason)
	case rollout.Hold:
		return w.Hold(ctx, o.ref, state)
	case rollout.Release:
		return w.Release(ctx, o.ref, state)
	case rollout.Record:
		return w.Record(ctx, o.ref, a.Template)
	case rollout.MarkFailed:
		return w.MarkFailed(ctx, o.ref, a.Revision, a.Reason)
	case rollout.Forget:
		return w.Forget(ctx, o.ref, a.Keep)
	case rollout.Serve:
		return w.Serve(ctx, o.ref, state)
	case rollout.Unserve:
		return w.Unserve(ctx, o.ref)
	case rollout.Copy:
		return w.Copy(ctx, o.ref, state, a.Revision, a.Replicas)
	case rollout.Guard:
		return w.Guard(ctx, o.ref)
	case rollout.Unguard:
		return w.Unguard(ctx, o.ref)
	case rollout.Protect:
		return w.Protect(ctx, o.ref, a.Revision)
	case rollout.Permit:
		return w.Permit(ctx, o.ref, a.Revision)
	case rollout.Scale:
		return w.Scale(ctx, o.ref, a.Revision, a.Replicas)
	case rollout.DeleteCopy:
		return w.DeleteCopy(ctx, o.ref, a.Revision)
	case rollout.Finish:
		r.forget(obj)
		return nil
	default:
		return fmt.Errorf("unknown action %T", action)
	}
}

// inspect has what is not watched looked at when a step begins. It only warns, so nothing waits for it.
func (r *RolloutReconciler) inspect(ctx context.Context, o *observation, progress rollout.Progress) {
	if progress.Phase != rollout.PhaseStep {
		return
	}
	if err := r.Workloads.Inspect(ctx, o.ref, progress.Candidate); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "inspecting what is not watched", "revision", progress.Candidate)
	}
}

// forget lets a Rollout go: its finalizer goes with the patch that ends the reconciliation.
func (r *RolloutReconciler) forget(obj *v1alpha1.Rollout) {
	controllerutil.RemoveFinalizer(obj, v1alpha1.Finalizer)
	r.Monitor.Forget(keyOf(obj))
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.gone, obj.UID)
}

func (o *observation) setRoute(ctx context.Context, a rollout.SetRoute) error {
	routed, ok := o.routed(a.Traffic)
	if !ok {
		return fmt.Errorf("a track of %s is not there", a.Traffic)
	}
	return o.write(ctx, routed, a.Progress)
}

// note remembers progress, and leaves the traffic and its clock alone.
func (o *observation) note(ctx context.Context, a rollout.Note) error {
	routed, ok := o.routed(a.Traffic)
	if !ok {
		return fmt.Errorf("a track of %s is not there", a.Traffic)
	}
	routed.Continues = true
	return o.write(ctx, routed, a.Progress)
}

func (o *observation) write(ctx context.Context, routed router.Traffic, progress rollout.Progress) error {
	progress.Seen = o.seen
	routed.Progress = progress.String()
	for _, adapter := range o.routers {
		if err := adapter.Apply(ctx, o.target, routed); err != nil {
			return err
		}
	}
	return nil
}

func (o *observation) releaseRoute(ctx context.Context) error {
	for _, adapter := range o.routers {
		if err := adapter.Release(ctx, o.target); err != nil {
			return err
		}
	}
	return nil
}

// told is the Rollout as events tell of it: with the status that goes with what is done, which is written at the end only. It is made
// when the first asks for it.
func (r *RolloutReconciler) told(obj *v1alpha1.Rollout, o *observation, plan rollout.Plan) func() *v1alpha1.Rollout {
	return sync.OnceValue(func() *v1alpha1.Rollout {
		told := *obj
		told.Status = o.status(obj, plan)
		return &told
	})
}

// announce tells people what was done, once, when it was.
func (r *RolloutReconciler) announce(obj *v1alpha1.Rollout, o *observation, plan rollout.Plan, action rollout.Action) {
	switch a := action.(type) {
	case rollout.SetRoute:
		if a.Event == "" {
			return
		}
		kind := corev1.EventTypeNormal
		if a.Warning {
			kind = corev1.EventTypeWarning
		}
		r.Events.Event(obj, kind, a.Event, plan.Why)
	case rollout.Settle:
		if a.Event != "" {
			r.Events.Event(obj, eventOf(a), a.Event, a.Told())
		}
	case rollout.Copy:
		r.Events.Event(obj, corev1.EventTypeNormal, v1alpha1.ReasonStarted, strings.TrimSpace(plan.Why+o.origin()))
	case rollout.Disown:
		if a.Reason != "" {
			r.Events.Event(obj, corev1.EventTypeWarning, v1alpha1.ReasonLeftPaused, "the workload is left paused: "+a.Reason)
		}
	}
}

// origin tells the commit that brought the workload's template, where it is known.
func (o *observation) origin() string {
	w := o.snapshot.Workload
	if w == nil || w.Template.Commit == "" {
		return ""
	}
	origin := ", from commit " + w.Template.Commit[:min(len(w.Template.Commit), 8)]
	if w.Template.Author != "" {
		origin += " by " + w.Template.Author
	}
	return origin
}
