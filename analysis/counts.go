package analysis

import (
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
func (c Counts) slowerThan(index int) Tally {
	return Tally{Total: c.timed(), Bad: c.timed() - c.Buckets[index].Count}
}

// mostCounted is more than a block can hold: whole numbers beyond are not exact.
const mostCounted = 1e15

// sane says that counters could have said so of requests and errors.
func (c Counts) sane() bool {
	return Tally{Total: c.Requests, Bad: c.Errors}.sane()
}

// sanelyTimed says that a histogram could have said so. One without buckets knows nothing, which is sane.
func (c Counts) sanelyTimed() bool {
	for i, bucket := range c.Buckets {
		if !isCount(bucket.Count) {
			return false
		}
		if i > 0 && (bucket.Count < c.Buckets[i-1].Count || bucket.UpperEdge <= c.Buckets[i-1].UpperEdge) {
			return false
		}
	}
	n := len(c.Buckets)
	return n == 0 || c.Buckets[n-1].UpperEdge == Unbounded
}

// sane says that counters could have said so.
func (t Tally) sane() bool {
	return isCount(t.Total) && isCount(t.Bad) && t.Bad <= t.Total
}

// plus adds events, and the bad ones among them. Counters tell whole numbers.
func (t Tally) plus(total, bad float64) Tally {
	return Tally{Total: t.Total + math.Round(total), Bad: t.Bad + math.Round(bad)}
}

// rate is the share of bad events; 0 without events.
func (t Tally) rate() float64 {
	if t.Total <= 0 {
		return 0
	}
	return t.Bad / t.Total
}

func isCount(value float64) bool {
	return value >= 0 && value <= mostCounted
}
