// Package analysis weighs a candidate against its incumbent: a pure verdict engine, and the
// port through which it gets its numbers. It does no I/O and reads no clock.
package analysis

import (
	"context"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Provider measures what the tracks of a rollout did.
type Provider interface {
	// Measure counts the requests of both tracks in a window. An error means that nothing can be
	// said: an outage is not a verdict. A *FieldError in its chain means that asking again is of no use.
	Measure(ctx context.Context, query Query) (Measurement, error)
}

// Query says what to measure.
type Query struct {
	// Source of the numbers; nil for the mesh's Envoy.
	Source *v1alpha1.MetricSource
	// Incumbent and Candidate are the tracks. A track without a Service is not measured.
	Incumbent, Candidate Track
	// Since is the start of the window, Now its end.
	Since, Now time.Time
	// Latency says whether the histograms are wanted.
	Latency bool
	// Mirrored says that the candidate gets copies of requests only: they are counted, and not users' requests.
	Mirrored bool
}

// Track names one track to a metrics provider.
type Track struct {
	Namespace string
	// Service is the track service, Workload its Deployment.
	Service, Workload string
	Port              int32
}

// Measurement is what both tracks did in a window.
type Measurement struct {
	Incumbent, Candidate Counts
	// Mirrored says that the candidate's are copies of users' requests.
	Mirrored bool
	// Since is the start of the window.
	Since time.Time
	// Latest is the time of the newest sample in the window; zero when there was none.
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

// Judge says what a measurement means. An error is a *FieldError, or speaks of a measurement that can't be one.
type Judge interface {
	Judge(criteria v1alpha1.Analysis, measurement Measurement) (Verdict, error)
}

// Verdict is what analysis says, and why.
type Verdict struct {
	Outcome v1alpha1.Outcome
	// Message says in one sentence which metric, both tracks' numbers, requests seen, and for
	// Inconclusive what is still needed.
	Message string
}
