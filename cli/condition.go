package cli

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// underWay says whether a candidate is being tried, or about to be.
func underWay(rollout *v1alpha1.Rollout) bool {
	status := &rollout.Status
	if status.Candidate == nil || status.Candidate.Failed != "" || setBack(rollout) {
		return false
	}
	return status.State != v1alpha1.StateRolledBack && status.State != v1alpha1.StateRollingBack
}

// setBack says whether the candidate lost its traffic, though it isn't to blame.
func setBack(r *v1alpha1.Rollout) bool {
	stalled := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionStalled)
	return stalled != nil && stalled.Reason == v1alpha1.ReasonSetBack
}

// stalledMessage says why a Rollout doesn't go on; empty where it does.
func stalledMessage(r *v1alpha1.Rollout) string {
	if stalled := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionStalled); stalled != nil {
		return stalled.Message
	}
	return ""
}

// unobserved says why Weighlock could not look at a Rollout; empty where it could.
func unobserved(r *v1alpha1.Rollout) string {
	if ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Reason == v1alpha1.ReasonObservationFailed {
		return ready.Message
	}
	return ""
}

// asksPeople says what people are asked for, where nothing else keeps the rollout; empty where something does.
func asksPeople(r *v1alpha1.Rollout) string {
	switch {
	case r.Status.Paused != nil, r.Status.State == v1alpha1.StatePaused, r.Status.State == v1alpha1.StateSuspended:
		return r.Status.WaitingFor
	case !waitsForApproval(r):
		return ""
	}
	for _, gate := range r.Status.Gates {
		if !gate.Open && gate.Name != "approval" {
			return ""
		}
	}
	return r.Status.WaitingFor
}
