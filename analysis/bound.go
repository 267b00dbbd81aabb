package analysis

import "math"

// bound is what was seen of a threshold metric.
type bound struct {
	last Sample
	seen bool
	// good and bad are how many samples in a row are so, up to now.
	good, bad int
	// failed says that it failed once, and culprit is the value that did.
	failed  bool
	culprit float64
}

// observe takes a sample, and is true when the metric fails by it.
func (b *bound) observe(criteria *Threshold, sample Sample) bool {
	if math.IsNaN(sample.Value) || (b.seen && !sample.At.After(b.last.At)) {
		return false
	}
	b.last, b.seen = sample, true
	if !criteria.keeps(sample.Value) {
		b.good, b.bad = 0, b.bad+1
		if b.bad == criteria.times && !b.failed {
			b.failed, b.culprit = true, sample.Value
			return true
		}
		return false
	}
	b.good, b.bad = b.good+1, 0
	return false
}

// keeps says that a value is within the bounds.
func (t *Threshold) keeps(value float64) bool {
	return (t.min == nil || value >= *t.min) && (t.max == nil || value <= *t.max)
}
