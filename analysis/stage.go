package analysis

import (
	"math"
	"slices"
)

// see adds a block to what was seen in the stage, for display.
func (e *Engine) see(block *Block) {
	if e.seen.Since.IsZero() {
		e.seen.Since = block.From
	}
	if block.At.After(e.seen.Latest) {
		e.seen.Latest = block.At
	}
	e.seen.Incumbent = grown(e.seen.Incumbent, &block.Incumbent)
	e.seen.Candidate = grown(e.seen.Candidate, &block.Candidate)
}

// grown adds counts, in place. Where the edges of the histogram change, it begins anew.
func grown(c Counts, by *Counts) Counts {
	c.Requests += math.Round(by.Requests)
	c.Errors += math.Round(by.Errors)
	if len(by.Buckets) == 0 || !by.sanelyTimed() {
		return c
	}
	same := len(c.Buckets) == len(by.Buckets)
	for i := 0; same && i < len(c.Buckets); i++ {
		same = c.Buckets[i].UpperEdge == by.Buckets[i].UpperEdge
	}
	if !same {
		c.Buckets = slices.Clone(by.Buckets)
		return c
	}
	for i := range c.Buckets {
		c.Buckets[i].Count += by.Buckets[i].Count
	}
	return c
}

// Stage returns what both tracks did in the present stage. It is a copy.
func (e *Engine) Stage() Measurement {
	seen := e.seen
	seen.Incumbent.Buckets = slices.Clone(seen.Incumbent.Buckets)
	seen.Candidate.Buckets = slices.Clone(seen.Candidate.Buckets)
	return seen
}
