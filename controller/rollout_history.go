package controller

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

// longestHistory is how many steps the status tells of.
const longestHistory = 50

// history is what there is to tell of the steps of the rollout that runs, or ran last, with the present step as its last one. It is
// what the weighing of a rollout is repeated from after a restart.
func (o *observation) history(known []v1alpha1.AnalysisRecord) []v1alpha1.AnalysisRecord {
	route := o.snapshot.Route
	progress := route.Progress
	if progress == nil {
		return known
	}
	history := slices.Clone(known)
	last := len(history) - 1
	if progress.Phase != rollout.PhaseStep {
		if last >= 0 && history[last].Until == nil {
			left := metav1.NewMicroTime(writtenOf(route))
			history[last].Until = &left
		}
		return history
	}
	if !route.Taken {
		return history
	}
	since := sinceOf(route)
	present := v1alpha1.AnalysisRecord{Candidate: progress.Candidate, Step: int32(progress.Step), Since: metav1.NewMicroTime(since)} //nolint:gosec // At most 50.
	if last >= 0 && history[last].Step == present.Step && history[last].Since.Time.Equal(since) {
		return history
	}
	switch {
	case last < 0:
	case history[last].Candidate != present.Candidate, history[last].Until != nil, history[last].Step > present.Step:
		history = nil // another rollout, or another try of the same candidate
	default:
		left := metav1.NewMicroTime(writtenOf(route))
		history[last].Until = &left
	}
	history = append(history, present)
	return history[max(0, len(history)-longestHistory):]
}

// record brings the history in a status up to date. The verdict on a step that was left is written with the route that left it.
func (o *observation) record(was []v1alpha1.AnalysisRecord, status *v1alpha1.RolloutStatus, spec v1alpha1.RolloutSpec) {
	history := o.history(was)
	for i := range history {
		record := &history[i]
		if record.Until == nil && int(record.Step) < len(spec.Steps) {
			step := spec.Steps[record.Step]
			record.Name, record.Traffic = step.Name, o.snapshot.TrafficOf(step).Asked()
		}
		if left := o.leftBy(record); left != nil {
			record.Outcome, record.Message = left.Outcome, left.Message
		}
		if o.answer != nil && o.answer.Stage == stageName(record.Candidate, int(record.Step), record.Since.Time) {
			record.Outcome, record.Message = o.answer.Verdict.Outcome, o.answer.Verdict.Message
		}
	}
	status.AnalysisHistory = history
}

// leftBy is the verdict on a step, where the present route is the one that left it.
func (o *observation) leftBy(record *v1alpha1.AnalysisRecord) *rollout.Left {
	route := o.snapshot.Route
	if route.Progress == nil || record.Until == nil || !record.Until.Time.Equal(writtenOf(route)) {
		return nil
	}
	return route.Progress.Left
}

// writtenOf is when the route was written, as exactly as a status keeps it.
func writtenOf(route rollout.Route) time.Time {
	return route.WrittenAt.UTC().Truncate(time.Microsecond)
}
