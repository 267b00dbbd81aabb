package analysis

import (
	"fmt"
	"strings"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Threshold is a Judge that holds the candidate's counts since the step began against fixed limits: the SLO on errors, and a
// threshold on a latency quantile.
//
//   - Fail: a limit is broken by at least minRequests requests, or by so many bad ones that it would be
//     even if all that are missing were good.
//   - Pass: every limit is kept by at least minRequests requests.
//   - Inconclusive: else; and where the incumbent breaks the same limit and the candidate is no worse
//     by more than the margin, since rolling back would help nobody then.
//
// A quantile is judged at the histogram's own edges, so that no interpolation convicts or acquits.
type Threshold struct{}

var _ Judge = Threshold{}

// Judge holds a measurement against the criteria.
func (Threshold) Judge(criteria v1alpha1.Analysis, measurement Measurement) (Verdict, error) {
	limits, err := limitsOf(criteria)
	if err != nil {
		return Verdict{}, err
	}
	if err := measurement.Candidate.check(); err != nil {
		return Verdict{}, fmt.Errorf("judging the candidate: %w", err)
	}
	if err := measurement.Incumbent.check(); err != nil {
		return Verdict{}, fmt.Errorf("judging the incumbent: %w", err)
	}
	if measurement.Candidate.Requests == 0 && measurement.Candidate.timed() == 0 {
		return Verdict{v1alpha1.OutcomeInconclusive, nothingSeen(limits, measurement)}, nil
	}
	verdicts := []Verdict{judgeErrors(limits, measurement)}
	if limits.latency != nil {
		verdicts = append(verdicts, judgeLatency(limits, measurement))
	}
	return combine(verdicts), nil
}

// combine lets the worst verdict speak.
func combine(verdicts []Verdict) Verdict {
	for _, outcome := range []v1alpha1.Outcome{v1alpha1.OutcomeFail, v1alpha1.OutcomeInconclusive, v1alpha1.OutcomePass} {
		var messages []string
		for _, verdict := range verdicts {
			if verdict.Outcome == outcome {
				messages = append(messages, verdict.Message)
			}
		}
		if len(messages) > 0 {
			return Verdict{outcome, strings.Join(messages, "; ")}
		}
	}
	return Verdict{Outcome: v1alpha1.OutcomeInconclusive}
}

// tally counts requests and the bad ones among them.
type tally struct{ requests, bad float64 }

// finding is what a tally says of a limit.
type finding int

const (
	keeps       finding = iota // by enough requests
	breaks                     // by enough requests
	breaksEarly                // whatever the missing requests do
	breaksToo                  // as the incumbent does
	tooFew                     // to tell
)

// weigh holds both tracks against a limit.
func weigh(candidate, incumbent tally, limit limit, minRequests float64) finding {
	found := candidate.against(limit.allowed, minRequests)
	if found != breaks && found != breaksEarly {
		return found
	}
	other := incumbent.against(limit.allowed, minRequests)
	shared := other == breaks || other == breaksEarly
	if shared && candidate.bad*incumbent.requests*wholeMargin <= float64(limit.margin)*incumbent.bad*candidate.requests {
		return breaksToo
	}
	return found
}

func (t tally) against(allowed share, minRequests float64) finding {
	switch {
	case t.requests >= minRequests && t.exceeds(allowed):
		return breaks
	case t.requests >= minRequests:
		return keeps
	case (tally{minRequests, t.bad}).exceeds(allowed):
		return breaksEarly
	default:
		return tooFew
	}
}

func (t tally) exceeds(allowed share) bool {
	return t.bad*float64(allowed.whole) > t.requests*float64(allowed.part)
}

func judgeErrors(limits limits, measurement Measurement) Verdict {
	candidate := tally{measurement.Candidate.Requests, measurement.Candidate.Errors}
	incumbent := tally{measurement.Incumbent.Requests, measurement.Incumbent.Errors}
	slo := limits.errors
	switch weigh(candidate, incumbent, slo, limits.minRequests) {
	case breaks:
		rate := candidate.rateBeside(slo.allowed)
		return Verdict{v1alpha1.OutcomeFail, fmt.Sprintf("error rate %s of %s requests breaks the SLO of %s (incumbent: %s)",
			rate, number(candidate.requests), slo.said, incumbent)}
	case breaksEarly:
		return Verdict{v1alpha1.OutcomeFail, fmt.Sprintf("%s of %s requests failed, more than the SLO of %s allows in %s (incumbent: %s)",
			number(candidate.bad), number(candidate.requests), slo.said, number(limits.minRequests), incumbent)}
	case breaksToo:
		return Verdict{v1alpha1.OutcomeInconclusive, fmt.Sprintf("error rate %s requests breaks the SLO of %s, but so does the incumbent's (%s): a shared incident convicts nobody",
			candidate, slo.said, incumbent)}
	case tooFew:
		return Verdict{v1alpha1.OutcomeInconclusive, fmt.Sprintf("error rate %s requests so far (incumbent: %s): %s",
			candidate, incumbent, needed(candidate.requests, limits, measurement))}
	default:
		return Verdict{v1alpha1.OutcomePass, fmt.Sprintf("error rate %s requests keeps the SLO of %s (incumbent: %s)",
			candidate, slo.said, incumbent)}
	}
}

func judgeLatency(limits limits, measurement Measurement) Verdict {
	latency := *limits.latency
	candidate := measurement.Candidate
	if candidate.timed() == 0 {
		return Verdict{v1alpha1.OutcomeInconclusive, "no durations of the candidate's requests were seen: does the mesh expose a latency histogram?"}
	}
	lower, upper := edgesAround(candidate.Buckets, latency.threshold)
	if upper < 0 {
		return Verdict{v1alpha1.OutcomeInconclusive, fmt.Sprintf("the latency threshold of %s is beyond the histogram's last edge (%s): lower the one or raise the other",
			latency.threshold, lastEdge(candidate.Buckets))}
	}
	slow := candidate.slowerThan(upper)
	var incumbent tally
	if _, edge := edgesAround(measurement.Incumbent.Buckets, latency.threshold); edge >= 0 {
		incumbent = measurement.Incumbent.slowerThan(edge)
	}
	switch weigh(slow, incumbent, latency.limit, limits.minRequests) {
	case breaks:
		return Verdict{v1alpha1.OutcomeFail, fmt.Sprintf("%s of %s requests took longer than %s, and %s allows %s (%s)",
			slow.rateBeside(latency.allowed), number(slow.requests), latency.threshold, latency.said, percentOf(latency.allowed), bothQuantiles(latency, measurement))}
	case breaksEarly:
		return Verdict{v1alpha1.OutcomeFail, fmt.Sprintf("%s of %s requests took longer than %s, more than %s allows in %s (%s)",
			number(slow.bad), number(slow.requests), latency.threshold, latency.said, number(limits.minRequests), bothQuantiles(latency, measurement))}
	case breaksToo:
		return Verdict{v1alpha1.OutcomeInconclusive, fmt.Sprintf("%s requests took longer than %s, but so did the incumbent's (%s): a shared incident convicts nobody",
			slow, latency.threshold, incumbent)}
	case tooFew:
		return Verdict{v1alpha1.OutcomeInconclusive, fmt.Sprintf("%s so far: %s",
			bothQuantiles(latency, measurement), needed(slow.requests, limits, measurement))}
	default:
		return acquit(latency, lower, upper, measurement)
	}
}

// acquit passes only what keeps the limit at the edge at or below the threshold.
func acquit(latency latencyLimit, lower, upper int, measurement Measurement) Verdict {
	candidate := measurement.Candidate
	switch {
	case lower >= 0 && !candidate.slowerThan(lower).exceeds(latency.allowed):
		return Verdict{v1alpha1.OutcomePass, fmt.Sprintf("%s of %s requests is within %s (%s)",
			latency.said, number(candidate.timed()), latency.threshold, bothQuantiles(latency, measurement))}
	case lower < 0:
		return Verdict{v1alpha1.OutcomeInconclusive, fmt.Sprintf("the latency threshold of %s is below the histogram's first edge (%s): what is faster can't be told apart",
			latency.threshold, candidate.Buckets[upper].UpperEdge)}
	default:
		return Verdict{v1alpha1.OutcomeInconclusive, fmt.Sprintf("%s lies between the histogram's edges %s and %s, and so does the threshold of %s: make it one of the edges",
			latency.said, candidate.Buckets[lower].UpperEdge, candidate.Buckets[upper].UpperEdge, latency.threshold)}
	}
}

// edgesAround returns the indexes of the last edge at or below the threshold, and of the first finite one at or above it; -1
// where there is none.
func edgesAround(buckets []Bucket, threshold time.Duration) (lower, upper int) {
	lower, upper = -1, -1
	for i, bucket := range buckets {
		if bucket.UpperEdge <= threshold {
			lower = i
		}
		if upper < 0 && bucket.UpperEdge >= threshold && bucket.UpperEdge != Unbounded {
			upper = i
		}
	}
	return lower, upper
}

func lastEdge(buckets []Bucket) string {
	if len(buckets) < 2 {
		return "it has none"
	}
	return buckets[len(buckets)-2].UpperEdge.String()
}
