// Package analysis weighs a candidate against its incumbent: a pure verdict engine, and the
// port through which it gets its numbers. It does no I/O and reads no clock.
package analysis

import (
	"context"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Provider has the numbers of tracks.
type Provider interface {
	// Open begins a stream of what the tracks do from query.Since on. It asks no server. An error is a *FieldError.
	Open(query Query) (Stream, error)
	// Evaluate returns the values of an expression at its moments, oldest first. A moment without a value has no sample. An error
	// is as one of Stream.Next.
	Evaluate(ctx context.Context, evaluation Evaluation) ([]Sample, error)
}

// Stream returns what tracks did, block by block. It is not safe for concurrent use.
type Stream interface {
	// Next returns the blocks that closed since the last call, oldest first, none newer than until. Where there is much to catch up with it
	// returns a part: it has returned all when it returns none. What it returns is the same, block by block, however often it is
	// asked. Blocks are good until the next call. An error means that nothing can be said now: an outage is not
	// a verdict, and nothing is lost when it is asked again. A *FieldError in its chain means that asking again is of no use.
	Next(ctx context.Context, until time.Time) ([]Block, error)
}

// Query says what to measure.
type Query struct {
	// Source of the numbers; nil for the mesh's Envoy.
	Source *v1alpha1.MetricSource
	// Incumbent and Candidate are the tracks. A track without a Service is not measured.
	Incumbent, Candidate Track
	// Since is where the stream begins.
	Since time.Time
	// Latency says whether the histograms are wanted.
	Latency bool
	// Mirrored says that the candidate gets copies of requests only: they are counted, and not users' requests.
	Mirrored bool
	// Ratios are further counters that are wanted.
	Ratios []Ratio
}

// Track names one track to a metrics provider.
type Track struct {
	Namespace string
	// Service is the track service, Workload its Deployment.
	Service, Workload string
	Port              int32
}

// Ratio names counters of bad events and of all, by series selectors with placeholders.
type Ratio struct {
	// Field is where the Rollout says so, such as spec.analysis.metrics[0].ratio.
	Field string
	// Bad and Total are the selectors.
	Bad, Total string
}

// Evaluation says what an expression is to be evaluated for.
type Evaluation struct {
	// Source whose server is asked.
	Source *v1alpha1.MetricSource
	// Field is where the Rollout says so, such as spec.analysis.metrics[0].threshold.query, and Expression what it says, with placeholders.
	Field, Expression string
	// Incumbent and Candidate are what the placeholders stand for.
	Incumbent, Candidate Track
	// From and To are the first and the last moment, Interval the time between two.
	From, To time.Time
	Interval time.Duration
}

// Sample is the value of an expression at a moment.
type Sample struct {
	At    time.Time
	Value float64
}

// Block is what both tracks did between two scrapes of all who count their requests.
type Block struct {
	// From and At are when the oldest and the newest of its counting began and ended.
	From, At time.Time
	// Straddles says that some of it was counted before the stream began.
	Straddles bool
	// Paired says that each track was counted by the same ones at the same moments: on the caller's side, not on their own.
	Paired bool
	// Incumbent and Candidate are by how much the counters grew.
	Incumbent, Candidate Counts
	// Ratios are likewise those of the query's ratios, in its order.
	Ratios []RatioCounts
}

// RatioCounts are the events of both tracks that a Ratio counted.
type RatioCounts struct {
	Incumbent, Candidate Tally
	// Paired is as that of a Block: who counts these may be others than who count the requests.
	Paired bool
}

// Tally counts events, and the bad ones among them.
type Tally struct {
	Total, Bad float64
}

// Measurement is what both tracks did in a time.
type Measurement struct {
	Incumbent, Candidate Counts
	// Mirrored says that the candidate's are copies of users' requests.
	Mirrored bool
	// Since is the start of the time.
	Since time.Time
	// Latest is the time of the newest sample in it; zero when there was none.
	Latest time.Time
}

// Counts are numbers of requests: users', or copies of them.
type Counts struct {
	// Requests, and those of them that failed.
	Requests, Errors float64
	// Buckets of the latency histogram, cumulative, in rising order of their edges. Its own count is the last one's. Empty
	// when it was not asked for.
	Buckets []Bucket
}

// Bucket counts the requests that took no longer than its edge.
type Bucket struct {
	// UpperEdge of the bucket; the last one's is math.MaxInt64: no bound.
	UpperEdge time.Duration
	Count     float64
}
