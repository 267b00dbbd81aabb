package monitor

import (
	"reflect"
	"slices"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// defaultInterval is how often a question is asked that does not say.
const defaultInterval = 5 * time.Second

// Question is what is to be known of a rollout.
type Question struct {
	// ID names the rollout: another candidate has another one.
	ID string
	// Criteria to judge by, in which templates are resolved.
	Criteria v1alpha1.Analysis
	// Incumbent is the track that served all traffic before the rollout.
	Incumbent analysis.Track
	// Stages of the rollout, oldest first; the last one is the present one.
	Stages []Stage
	// Ready are the moments when pods of the candidate got ready, as far as they are known.
	Ready []time.Time
	// Interval between two looks at the metrics (5s).
	Interval time.Duration
}

// Stage is a step of a rollout.
type Stage struct {
	analysis.Stage
	// ID names the stage: another step has another one, and the same step again too.
	ID string
	// Incumbent and Candidate are the tracks.
	Incumbent, Candidate analysis.Track
	// Since is when the mesh had taken the step's traffic, Until when the step was left; zero for the present one.
	Since, Until time.Time
}

// present is the stage that the answer is wanted for.
func (q Question) present() Stage { return q.Stages[len(q.Stages)-1] }

// continues says whether what is known of another question is known of this one too: this one is the same rollout, as far or farther.
func (q Question) continues(other Question) bool {
	if q.ID != other.ID || q.Incumbent != other.Incumbent || q.Interval != other.Interval || len(q.Stages) < len(other.Stages) || !reflect.DeepEqual(q.Criteria, other.Criteria) {
		return false
	}
	for i, stage := range other.Stages {
		if stage.Until.IsZero() {
			stage.Until = q.Stages[i].Until // it has been left since
		}
		if q.Stages[i] != stage {
			return false
		}
	}
	return true
}

// copied shares nothing with the objects that the question was made from.
func (q Question) copied() Question {
	q.Criteria = *q.Criteria.DeepCopy()
	q.Stages, q.Ready = slices.Clone(q.Stages), slices.Clone(q.Ready)
	if q.Interval <= 0 {
		q.Interval = defaultInterval
	}
	return q
}

// warm says whether the latencies of a block count: none of the candidate's pods got ready during it, or so shortly before that it was
// still slow.
func (q Question) warm(block *analysis.Block, warmUp time.Duration) bool {
	return !slices.ContainsFunc(q.Ready, func(ready time.Time) bool {
		return block.At.After(ready) && block.From.Before(ready.Add(warmUp))
	})
}

// Answer is the newest that is known of a question.
type Answer struct {
	// Stage is the ID of the stage that the verdict is on.
	Stage string
	// Verdict; Inconclusive while the numbers can't be had, unless it was Fail before: what was counted stays
	// counted.
	Verdict analysis.Verdict
	// Measurement that the verdict is of: what the tracks did in the present stage.
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
