package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

// moment is how long something may be under way without being reported.
const moment = 5 * time.Second

// passing says whether what there is to report of a step is about to change by itself: it is being entered, or the mesh
// will have taken its traffic in a moment. It is reported once that is so: one write for each step.
func (o *observation) passing(plan rollout.Plan, now time.Time) bool {
	if plan.Stalled {
		return false
	}
	for _, action := range plan.Actions {
		if route, is := action.(rollout.SetRoute); is {
			return route.Progress.Phase == rollout.PhaseStep
		}
	}
	route := o.snapshot.Route
	return route.Progress != nil && route.Progress.Phase == rollout.PhaseStep && !o.snapshot.Deleting &&
		!route.Taken && !route.Settles.IsZero() && route.Settles.Sub(now) <= moment
}

// report puts a plan into the status.
func (r *RolloutReconciler) report(ctx context.Context, obj *v1alpha1.Rollout, o *observation, plan rollout.Plan) {
	was := *obj.Status.DeepCopy()
	status := o.status(obj, plan)
	obj.Status = status
	switch {
	case plan.Stalled:
		r.stall(obj, plan.Reason, plan.Why)
	case status.State == v1alpha1.StateIdle && len(plan.Actions) == 0:
		conditions.Delete(obj, v1alpha1.ConditionStalled)
		conditions.Delete(obj, v1alpha1.ConditionReconciling)
		conditions.MarkTrue(obj, v1alpha1.ConditionReady, plan.Reason, "%s", plan.Why)
	default:
		conditions.Delete(obj, v1alpha1.ConditionStalled)
		conditions.MarkReconciling(obj, plan.Reason, "%s", plan.Why)
		conditions.MarkUnknown(obj, v1alpha1.ConditionReady, plan.Reason, "%s", plan.Why)
	}
	r.ask(obj, was, plan)
	if was.State != status.State {
		ctrl.LoggerFrom(ctx).Info("state", "from", was.State, "to", status.State, "reason", plan.Reason, "why", plan.Why)
	}
}

// ask says in an event that a step waits for people, or is past its deadline, when that is news.
func (r *RolloutReconciler) ask(obj *v1alpha1.Rollout, was v1alpha1.RolloutStatus, plan rollout.Plan) {
	now := &obj.Status
	if now.Step == nil {
		return
	}
	same := was.Step != nil && was.Step.Index == now.Step.Index && was.Attempt == now.Attempt
	lacks := func(s *v1alpha1.RolloutStatus) bool { return s.Approval != nil && s.Approval.Count < s.Approval.Quorum }
	if lacks(now) && (!same || !lacks(&was)) {
		message := "step " + now.Step.Position + " waits for people"
		for _, gate := range now.Gates {
			if gate.Name == rollout.GateApproval {
				message = "step " + now.Step.Position + " waits for " + gate.Message
			}
		}
		r.Events.Event(obj, corev1.EventTypeNormal, v1alpha1.ReasonApprovalNeeded, message)
	}
	if plan.Reason == v1alpha1.ReasonDeadlineOver && (!same || reasonOf(was) != v1alpha1.ReasonDeadlineOver) {
		r.Events.Event(obj, corev1.EventTypeWarning, v1alpha1.ReasonDeadlineOver, plan.Why)
	}
}

// reasonOf is the reason for which a Rollout was under way.
func reasonOf(status v1alpha1.RolloutStatus) string {
	for _, condition := range status.Conditions {
		if condition.Type == v1alpha1.ConditionReconciling {
			return condition.Reason
		}
	}
	return ""
}

// status is what there is to report of a plan, but for the conditions. Where people were told is not the plan's to say.
func (o *observation) status(obj *v1alpha1.Rollout, plan rollout.Plan) v1alpha1.RolloutStatus {
	status := plan.Status
	status.Conditions, status.Threads = obj.Status.Conditions, obj.Status.Threads
	status.ObservedGeneration = obj.Generation
	o.record(obj.Status.AnalysisHistory, &status, obj.Spec)
	if o.answer != nil && status.Traffic != nil && status.Step != nil {
		if share, measured := o.answer.Measurement.Share().Of(); measured {
			status.Traffic.Measured = fmt.Sprintf("%.1f%%", share*100)
		}
	}
	return status
}

// stall says that only a change from outside gets the Rollout further, and says it in an event when it is news.
func (r *RolloutReconciler) stall(obj *v1alpha1.Rollout, reason, message string) {
	news := conditions.GetReason(obj, v1alpha1.ConditionStalled) != reason || conditions.GetMessage(obj, v1alpha1.ConditionStalled) != message
	conditions.Delete(obj, v1alpha1.ConditionReconciling)
	conditions.MarkStalled(obj, reason, "%s", message)
	conditions.MarkFalse(obj, v1alpha1.ConditionReady, reason, "%s", message)
	obj.Status.ObservedGeneration = obj.Generation
	if obj.Status.State != v1alpha1.StateRolledBack {
		obj.Status.State = v1alpha1.StateStalled
		if news {
			r.Events.Event(obj, corev1.EventTypeWarning, reason, message)
		}
	}
}
