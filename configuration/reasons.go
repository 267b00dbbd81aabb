package configuration

import (
	"slices"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// reasons of events, sorted: those of Rollouts, and those of GitSources.
var reasons = sorted([]string{
	v1alpha1.ReasonAdopted, v1alpha1.ReasonAlreadyClaimed, v1alpha1.ReasonApplyFailed,
	v1alpha1.ReasonApprovalNeeded, v1alpha1.ReasonApproved, v1alpha1.ReasonAutoscalerNotGuardable, v1alpha1.ReasonCannotRunTwice,
	v1alpha1.ReasonCompleted, v1alpha1.ReasonCopyChanged, v1alpha1.ReasonDeadlineOver, v1alpha1.ReasonDecisionRejected,
	v1alpha1.ReasonDecisionSuperseded, v1alpha1.ReasonHastened,
	v1alpha1.ReasonInvalidAnalysis, v1alpha1.ReasonInvalidRegex, v1alpha1.ReasonLeftPaused,
	v1alpha1.ReasonMisrouted, v1alpha1.ReasonMixed, v1alpha1.ReasonNameTaken,
	v1alpha1.ReasonPaused, v1alpha1.ReasonPausedElsewhere, v1alpha1.ReasonPausedMidway,
	v1alpha1.ReasonPortNotFound, v1alpha1.ReasonPromoted,
	v1alpha1.ReasonReleased, v1alpha1.ReasonRescued, v1alpha1.ReasonResumed, v1alpha1.ReasonRetried,
	v1alpha1.ReasonReverted, v1alpha1.ReasonRolledBack, v1alpha1.ReasonRolledNatively,
	v1alpha1.ReasonRouteNotTaken, v1alpha1.ReasonRouteReasserted, v1alpha1.ReasonRouterUnsupported,
	v1alpha1.ReasonSelectorNotEscapable, v1alpha1.ReasonServiceHeadless, v1alpha1.ReasonServiceNotFound,
	v1alpha1.ReasonServiceSelectorMismatch, v1alpha1.ReasonSetBack, v1alpha1.ReasonStarted,
	v1alpha1.ReasonStepEntered, v1alpha1.ReasonStepUnsupported, v1alpha1.ReasonSuperseded,
	v1alpha1.ReasonTakenAtZero, v1alpha1.ReasonWithdrawnAtZero, v1alpha1.ReasonWorkloadNotFound,
	// Of GitSources.
	"Applied", "AuthenticationFailed", "BuildFailed", "FetchFailed", "InvalidPath", "InvalidSpec", "Left", "PruneFailed", "Pruned",
})

// states are reasons of conditions only: what goes on, and no event tells of.
var states = []string{
	"Syncing",
	v1alpha1.ReasonAdopting, v1alpha1.ReasonDeleting, v1alpha1.ReasonHolding, v1alpha1.ReasonIdle, v1alpha1.ReasonIncumbentNotReady,
	v1alpha1.ReasonMetricsUnavailable, v1alpha1.ReasonObservationFailed, v1alpha1.ReasonProgressing, v1alpha1.ReasonPromoting,
	v1alpha1.ReasonRelabelling, v1alpha1.ReasonRescuing, v1alpha1.ReasonRetrying, v1alpha1.ReasonRouteContested, v1alpha1.ReasonStarting,
	v1alpha1.ReasonSuspended, v1alpha1.ReasonWeighing,
}

// States returns the reasons that conditions have and events have not.
func States() []string { return slices.Clone(states) }

// Reasons returns the words that a route may name, sorted.
func Reasons() []string { return slices.Clone(reasons) }

func sorted(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}
