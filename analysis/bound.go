package analysis

import "math"

// bound is what was seen of a threshold metric.
type bound struct {
	last Sample
	// good and bad are how many samples in a row are so, up to now.
	good, bad int
	failed    bool
}

// observe takes a sample, and is true when the metric fails by it.
func (b *bound) observe(criteria *Threshold, sample Sample) bool {
	if math.IsNaN(sample.Value) || (!b.last.At.IsZero() && !sample.At.After(b.last.At)) {
		return false
	}
	b.last = sample
	if !criteria.keeps(sample.Value) {
		b.good, b.bad = 0, b.bad+1
		b.failed = b.failed || b.bad >= criteria.times
		return b.bad == criteria.times
	}
	b.good, b.bad = b.good+1, 0
	return false
}

// keeps says that a value is within the bounds.
func (t *Threshold) keeps(value float64) bool {
	return (t.min == nil || value >= *t.min) && (t.max == nil || value <= *t.max)
}
