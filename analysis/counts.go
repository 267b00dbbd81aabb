package analysis

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Unbounded is the edge of the last bucket of a histogram.
const Unbounded = time.Duration(math.MaxInt64)

// Quantile estimates how long the share q (0 to 1) of the requests took at most, by linear interpolation
// inside the bucket where it lies, as Prometheus does. It is for display: a verdict goes by the edges. It is false without
// requests; beyond the last finite edge it is false as well, and that edge is returned.
func (c Counts) Quantile(q float64) (time.Duration, bool) {
	total := c.timed()
	if total <= 0 || math.IsNaN(q) || q < 0 || q > 1 {
		return 0, false
	}
	rank := q * total
	var lower time.Duration
	var below float64
	for _, bucket := range c.Buckets {
		if bucket.UpperEdge == Unbounded {
			break
		}
		if bucket.Count >= rank && bucket.Count > below {
			part := max(0, rank-below) / (bucket.Count - below)
			return lower + time.Duration(part*float64(bucket.UpperEdge-lower)), true
		}
		lower, below = bucket.UpperEdge, bucket.Count
	}
	return lower, false
}

// ErrorRate is the share of requests that failed; false without requests.
func (c Counts) ErrorRate() (float64, bool) {
	if c.Requests <= 0 {
		return 0, false
	}
	return c.Errors / c.Requests, true
}

// timed is how many requests the histogram knows. It can be fewer than Requests: histograms are
// merged later than counters.
func (c Counts) timed() float64 {
	if len(c.Buckets) == 0 {
		return 0
	}
	return c.Buckets[len(c.Buckets)-1].Count
}

// slowerThan counts the requests that took longer than the edge at an index.
func (c Counts) slowerThan(index int) tally {
	return tally{requests: c.timed(), bad: c.timed() - c.Buckets[index].Count}
}

// check returns an error for what no counter could have said.
func (c Counts) check() error {
	if !isCount(c.Requests) || !isCount(c.Errors) {
		return fmt.Errorf("%g requests with %g errors are no counts", c.Requests, c.Errors)
	}
	if c.Errors > c.Requests {
		return fmt.Errorf("%g errors are more than the %g requests", c.Errors, c.Requests)
	}
	for i, bucket := range c.Buckets {
		if !isCount(bucket.Count) {
			return fmt.Errorf("bucket %s holds %g, which is no count", bucket.UpperEdge, bucket.Count)
		}
		if i > 0 && (bucket.Count < c.Buckets[i-1].Count || bucket.UpperEdge <= c.Buckets[i-1].UpperEdge) {
			return fmt.Errorf("bucket %s does not follow the one before it", bucket.UpperEdge)
		}
	}
	if n := len(c.Buckets); n > 0 && c.Buckets[n-1].UpperEdge != Unbounded {
		return errors.New("the histogram has no last bucket without a bound")
	}
	return nil
}

func isCount(value float64) bool {
	return value >= 0 && !math.IsInf(value, 0)
}
