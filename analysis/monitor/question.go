package monitor

import (
	"reflect"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// defaultInterval is how often a question is asked that does not say.
const defaultInterval = 5 * time.Second

// Question is what is to be known of a rollout's step.
type Question struct {
	// ID names the question: another step, or another candidate, has another one.
	ID string
	// Criteria to judge by.
	Criteria v1alpha1.Analysis
	// Query that is measured; its Now is filled in.
	Query analysis.Query
	// Interval between two measurements (5s).
	Interval time.Duration
}

// same says whether two questions have the same answer.
func (q Question) same(other Question) bool {
	if q.ID != other.ID || q.Interval != other.Interval || !q.Query.Since.Equal(other.Query.Since) {
		return false
	}
	return q.Query.Incumbent == other.Query.Incumbent && q.Query.Candidate == other.Query.Candidate &&
		q.Query.Latency == other.Query.Latency && q.Query.Mirrored == other.Query.Mirrored && reflect.DeepEqual(q.Query.Source, other.Query.Source) &&
		reflect.DeepEqual(q.Criteria, other.Criteria)
}

// copied shares nothing with the object that the question was made from.
func (q Question) copied() Question {
	q.Criteria = *q.Criteria.DeepCopy()
	if q.Query.Source != nil {
		q.Query.Source = q.Query.Source.DeepCopy()
	}
	if q.Interval <= 0 {
		q.Interval = defaultInterval
	}
	return q
}

// Answer is the newest that is known of a question.
type Answer struct {
	// ID of the question.
	ID string
	// Verdict; Inconclusive while the numbers can't be had, unless it was Fail before: what was counted stays
	// counted.
	Verdict analysis.Verdict
	// Measurement that the verdict is of.
	Measurement analysis.Measurement
	// Newest measurement that could be made, whether or not it changed anything.
	Newest analysis.Measurement
	// Late is the part of Newest that came after analysis.ShareGrace; nil before.
	Late *analysis.Measurement
	// At is when the question was asked last.
	At time.Time
	// Err says why nothing new is known: an outage of the metrics, or an *analysis.FieldError for
	// what only an edit of the Rollout helps.
	Err error
	// Since is when Err began.
	Since time.Time
}
