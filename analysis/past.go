package analysis

import (
	"time"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// Past is what the incumbent did before a rollout: how much its errors and slow requests vary, and how steep its latencies are.
// The zero Past knows nothing: then counts are taken to vary as chance alone has it, and latencies are learned from the rollout's
// first blocks.
type Past struct {
	errors spread
	ratios []spread
	edges  []pastEdge
	// timed is how many requests the edges tell of.
	timed float64
}

// pastEdge is what is known of one edge of the latency histogram.
type pastEdge struct {
	at time.Duration
	// slower is how many requests took longer.
	slower float64
	spread
}

// spread is by how much the variance of counts exceeds that of independent requests: over the lengths of time where it is largest, and
// from one scrape to the next.
type spread struct{ largest, scrape float64 }

// Lengths of time over which counts are compared; zero is one scrape.
var lengths = [...]time.Duration{0, 15 * time.Second, time.Minute, 2 * time.Minute}

const (
	// leastSpread is what chance alone may show, and counts as 1.
	leastSpread = 1.5
	// fewestTerms is how many differences tell something of a spread.
	fewestTerms = 10
)

// orNone is the spread, where one is known.
func (s spread) orNone() spread {
	return spread{largest: max(1, s.largest), scrape: max(1, s.scrape)}
}

// Calibrator finds out an incumbent's past from its blocks.
type Calibrator struct {
	windows []window
	edges   []pastEdge
	timed   float64
}

// window is one length of time, and what is known of the spread over it.
type window struct {
	length  time.Duration
	open    bool
	from    time.Time
	errors  dispersed
	ratios  []dispersed
	latency []dispersed
}

// dispersed is a tally that grows until its window closes.
type dispersed struct {
	tally Tally
	eprocess.Dispersion
}

// NewCalibrator makes a Calibrator for criteria.
func NewCalibrator(criteria *Criteria) *Calibrator {
	c := &Calibrator{windows: make([]window, len(lengths))}
	for i := range c.windows {
		c.windows[i].length = lengths[i]
		c.windows[i].ratios = make([]dispersed, len(criteria.Ratios))
	}
	return c
}

// Add takes a block of the past, oldest first. Only the incumbent's counts are looked at. Blocks that make no sense are left out.
func (c *Calibrator) Add(block *Block) {
	counts := block.Incumbent
	if block.Straddles || !counts.sane() {
		return
	}
	timed := counts.sanelyTimed() && c.sameEdges(counts.Buckets)
	if timed {
		c.timed += counts.timed()
		for j := range c.edges {
			c.edges[j].slower += counts.slowerThan(j).Bad
		}
	}
	for i := range c.windows {
		c.windows[i].add(block, timed)
	}
}

// sameEdges starts anew where the edges of the histogram changed.
func (c *Calibrator) sameEdges(buckets []Bucket) bool {
	if len(buckets) < 2 {
		return false
	}
	finite := buckets[:len(buckets)-1]
	same := len(finite) == len(c.edges)
	for j := 0; same && j < len(finite); j++ {
		same = finite[j].UpperEdge == c.edges[j].at
	}
	if same {
		return true
	}
	c.timed, c.edges = 0, make([]pastEdge, len(finite))
	for j := range finite {
		c.edges[j].at = finite[j].UpperEdge
	}
	for i := range c.windows {
		c.windows[i].latency = make([]dispersed, len(finite))
	}
	return true
}

func (w *window) add(block *Block, timed bool) {
	if !w.open {
		w.open, w.from = true, block.From
	}
	counts := block.Incumbent
	w.errors.tally = w.errors.tally.plus(counts.Requests, counts.Errors)
	for i := range min(len(w.ratios), len(block.Ratios)) {
		if tally := block.Ratios[i].Incumbent; tally.sane() {
			w.ratios[i].tally = w.ratios[i].tally.plus(tally.Total, tally.Bad)
		}
	}
	for j := range w.latency {
		if timed {
			slower := counts.slowerThan(j)
			w.latency[j].tally = w.latency[j].tally.plus(slower.Total, slower.Bad)
		}
	}
	// Scrapes come a little early now and then.
	if block.At.Sub(w.from) < w.length-w.length/20 {
		return
	}
	w.open = false
	w.errors.close()
	for i := range w.ratios {
		w.ratios[i].close()
	}
	for j := range w.latency {
		w.latency[j].close()
	}
}

func (d *dispersed) close() {
	if d.tally.Total > 0 {
		d.Add(d.tally.Total, d.tally.Bad)
	}
	d.tally = Tally{}
}

// Past returns what was found.
func (c *Calibrator) Past() Past {
	past := Past{timed: c.timed, edges: append([]pastEdge(nil), c.edges...)}
	past.errors = c.spread(func(w *window) *dispersed { return &w.errors })
	for i := range c.windows[0].ratios {
		past.ratios = append(past.ratios, c.spread(func(w *window) *dispersed { return &w.ratios[i] }))
	}
	for j := range past.edges {
		past.edges[j].spread = c.spread(func(w *window) *dispersed { return &w.latency[j] })
	}
	return past
}

// spread is the largest over all lengths, and that of one scrape; what chance may show counts as 1.
func (c *Calibrator) spread(of func(*window) *dispersed) spread {
	result := spread{1, 1}
	for i := range c.windows {
		value, terms := of(&c.windows[i]).Value()
		if terms < fewestTerms || value < leastSpread {
			continue
		}
		result.largest = max(result.largest, value)
		if i == 0 {
			result.scrape = value
		}
	}
	return result
}
