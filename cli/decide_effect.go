package cli

import (
	"context"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// How long the status of a Rollout may take to tell of a decision that was applied, and how often it is asked for.
const (
	lag     = 2 * time.Second
	glimpse = 50 * time.Millisecond
)

// catchUp waits until the Rollout's status tells of a decision that was applied. The status is written after the decision's outcome, and
// the next line of a script goes by it.
func (d *decide) catchUp(ctx context.Context, api client.Reader, rollout *v1alpha1.Rollout, settled *v1alpha1.Decision) {
	if settled.Status.Outcome != v1alpha1.DecisionApplied {
		return
	}
	over := d.clock.NewTimer(lag)
	defer over.Stop()
	for {
		now := &v1alpha1.Rollout{}
		if err := api.Get(ctx, client.ObjectKeyFromObject(rollout), now); err != nil || tellsOf(now, &settled.Spec) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-over.C():
			return
		case <-d.clock.After(glimpse):
		}
	}
}

// tellsOf says whether a Rollout's status is one of after a decision.
func tellsOf(r *v1alpha1.Rollout, d *v1alpha1.DecisionSpec) bool {
	s := &r.Status
	if s.Candidate == nil || s.Candidate.Revision != d.Revision {
		return true
	}
	elsewhere := s.Step == nil || d.Step != nil && s.Step.Index != *d.Step
	switch d.Verb {
	case v1alpha1.VerbApprove:
		return elsewhere || s.Approval == nil || slices.ContainsFunc(s.Approval.Given, func(by v1alpha1.Voice) bool { return by.Actor == d.Actor })
	case v1alpha1.VerbPromote:
		return elsewhere || s.State != v1alpha1.StateWaiting && s.State != v1alpha1.StatePaused
	case v1alpha1.VerbPause:
		return s.Paused != nil
	case v1alpha1.VerbResume:
		return s.Paused == nil
	case v1alpha1.VerbAbort:
		return s.Candidate.Failed != ""
	case v1alpha1.VerbRetry:
		return s.Candidate.Failed == "" && !setBack(r)
	}
	return true
}
