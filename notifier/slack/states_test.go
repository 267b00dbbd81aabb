package slack_test

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// The states that a Rollout goes through, as its status tells them.

func idle(s *v1alpha1.RolloutStatus) {
	threads := s.Threads
	*s = v1alpha1.RolloutStatus{
		State: v1alpha1.StateIdle, Attempt: s.Attempt, Threads: threads,
		Incumbent: &v1alpha1.RevisionStatus{Revision: "oldrev", Track: "checkout", Replicas: 2, Ready: 2},
	}
}

func starting(s *v1alpha1.RolloutStatus) {
	idle(s)
	s.State, s.WaitingFor, s.Attempt = v1alpha1.StateStarting, "0 of 1 pods of checkout-newrev ready", 2
	s.Candidate = &v1alpha1.RevisionStatus{
		Revision: "newrev", Track: "checkout-newrev", Replicas: 1, Commit: "main:c0ffee0123456789c0ffee", Author: "Ada <ada@example.com>",
	}
	s.Traffic = &v1alpha1.TrafficStatus{Asked: "0%", Taken: true}
}

func inStep(s *v1alpha1.RolloutStatus) {
	starting(s)
	since := metav1.NewTime(time.Now())
	s.State, s.WaitingFor = v1alpha1.StateProgressing, "a verdict"
	s.Step = &v1alpha1.StepStatus{Index: 0, Position: "1/2", Name: "pilot", Since: &since}
	s.Traffic = &v1alpha1.TrafficStatus{Asked: "5%", Measured: "4.9%", Taken: true}
	s.Verdict = &v1alpha1.VerdictStatus{
		Outcome: v1alpha1.OutcomeInconclusive, Message: "of 1,200 requests nothing is known yet",
		Metrics: []v1alpha1.MetricStatus{
			{Name: "errors", Outcome: v1alpha1.OutcomePass, Incumbent: "0.10%", Candidate: "0.12%"},
			{Name: "latency", Outcome: v1alpha1.OutcomeInconclusive, Incumbent: "p99 118 ms", Candidate: "p99 121 ms"},
			{Name: "queue", Outcome: v1alpha1.OutcomeInconclusive, DryRun: true, Candidate: "3.25"},
			{Name: "unseen", Outcome: v1alpha1.OutcomeInconclusive},
		},
	}
}

// asking is the last step, which waits for a person.
func asking(s *v1alpha1.RolloutStatus) {
	inStep(s)
	s.State, s.WaitingFor = v1alpha1.StateWaiting, "a person's approval"
	s.Step.Index, s.Step.Position, s.Step.Name = 1, "2/2", "half"
	s.Traffic = &v1alpha1.TrafficStatus{Asked: "50%", Measured: "49.8%", Taken: true}
	s.Verdict.Outcome, s.Verdict.Message = v1alpha1.OutcomePass, "the candidate is no worse"
	s.Approval = &v1alpha1.ApprovalStatus{Quorum: 1}
}

func askingTwo(s *v1alpha1.RolloutStatus) {
	asking(s)
	two(s)
}

func two(s *v1alpha1.RolloutStatus) { s.Approval.Quorum = 2 }

// approvedBy has somebody's approval count.
func approvedBy(actor string) func(*v1alpha1.RolloutStatus) {
	return func(s *v1alpha1.RolloutStatus) {
		at := metav1.NewTime(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
		s.Approval.Count++
		s.Approval.Given = append(s.Approval.Given, v1alpha1.Voice{Actor: actor, Via: "slack", At: at})
	}
}

func paused(s *v1alpha1.RolloutStatus) {
	inStep(s)
	s.State, s.WaitingFor = v1alpha1.StatePaused, "somebody to resume it: paused by bob through kubectl: lunch"
	s.Paused = &v1alpha1.Voice{Actor: "bob", Via: "kubectl", Reason: "lunch", At: metav1.Now()}
}

func rolledBack(s *v1alpha1.RolloutStatus) {
	inStep(s)
	s.State, s.WaitingFor, s.Step, s.Traffic = v1alpha1.StateRolledBack, "", nil, &v1alpha1.TrafficStatus{Asked: "0%", Taken: true}
	s.Candidate.Failed = "error rate 4.6% of 152 requests is worse than the incumbent's 0%"
}

func promoting(s *v1alpha1.RolloutStatus) {
	asking(s)
	s.State, s.WaitingFor, s.Step, s.Approval, s.Verdict = v1alpha1.StatePromoting, "1 of 2 pods of checkout ready", nil, nil, nil
	s.Incumbent, s.Candidate = s.Candidate, nil
}

func promoted(s *v1alpha1.RolloutStatus) {
	promoting(s)
	s.State, s.WaitingFor, s.Traffic = v1alpha1.StateIdle, "", nil
}

// superseded is the start of another version in the middle of the one before.
func superseded(s *v1alpha1.RolloutStatus) {
	starting(s)
	s.Attempt, s.Candidate.Revision = 3, "newerrev"
}

// retried is the same version's second try.
func retried(s *v1alpha1.RolloutStatus) {
	starting(s)
	s.Attempt = 3
}
