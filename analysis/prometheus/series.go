package prometheus

import (
	"cmp"
	"math"
	"slices"

	"github.com/prometheus/common/model"
)

// series is a counter, or a native histogram, and how far it has been counted.
type series struct {
	feed   *feed
	track  int
	target *target
	group  *group
	// sums are what it adds to: those of its track in the block that is being made.
	sums []*float64
	cell *cell
	// timed is what a native histogram showed last; nil for a counter.
	timed *nativeState

	// seen says that at and value are what it showed last; based that this was before the stream began.
	seen, based bool
	at          model.Time
	value       float64
	// pending are the samples that no block has yet. They may be shared: they are never written to.
	pending    []model.SamplePair
	histograms []model.SampleHistogramPair
}

// process is what is set back as a whole: all that is counted of a track in one process.
type process struct {
	// reset is when that was last.
	reset model.Time
}

// group is the series of a process that a feed has.
type group struct {
	*process
	// at is when it was scraped last, and previous when before that.
	at, previous model.Time
	// What the scrape shows that is looked at: by how much those that fell did so, and whether others rose.
	scrape        int
	before, after float64
	fell, rose    bool
	// classic says that the scrape has buckets, so that a native histogram of the same is left out.
	classic int
	// buckets are the classic buckets of one process; active is said when there were requests in them.
	buckets []*series
	active  bool
}

// note takes what a series of the group showed before and shows now.
func (g *group) note(before, after float64) {
	g.before += before
	g.after += after
	switch {
	case after < before:
		g.fell = true
	case after > before:
		g.rose = true
	}
}

// restarted tells a restart from an older view of the same counters. Two replicas of a server scrape at moments of their own, and what one of them calls
// later can be earlier: then nothing rises, and little is missing. VictoriaMetrics has the same rule, and the same eighth.
func (g *group) restarted() bool {
	return restarted(g.fell, g.rose, g.before, g.after)
}

func restarted(fell, rose bool, before, after float64) bool {
	return fell && (rose || before-after >= before/8)
}

// base says what the series showed before the stream.
func (s *series) base(at model.Time, sample *model.Sample) {
	value := float64(sample.Value)
	switch {
	case s.timed != nil && sample.Histogram != nil:
		s.timed.base(sample.Histogram)
	case s.timed != nil || sample.Histogram != nil || !isCount(value):
		return
	case s.seen: // another replica's: the newest is the highest
		s.value = max(s.value, value)
	default:
		s.value = value
	}
	s.seen, s.based, s.at = true, true, at
}

// add takes the samples that are new.
func (s *series) add(since model.Time, values []model.SamplePair, histograms []model.SampleHistogramPair) {
	after := since
	if s.seen {
		after = max(after, s.at)
	}
	if s.timed != nil {
		s.histograms = fresh(s.histograms, histograms, after, func(sample model.SampleHistogramPair) model.Time { return sample.Timestamp })
		return
	}
	s.pending = fresh(s.pending, values, after, func(sample model.SamplePair) model.Time { return sample.Timestamp })
}

// fresh appends the samples that came after a moment and after those that are there.
func fresh[S any](pending, samples []S, after model.Time, at func(S) model.Time) []S {
	if n := len(pending); n > 0 {
		after = max(after, at(pending[n-1]))
	}
	// Mostly few are new: from the end.
	start := len(samples)
	for start > 0 && at(samples[start-1]) > after {
		start--
	}
	samples = samples[start:]
	if !slices.IsSortedFunc(samples, func(a, b S) int { return cmp.Compare(at(a), at(b)) }) {
		return pending // no server answers so
	}
	if len(pending) == 0 {
		return samples
	}
	return append(slices.Clip(pending), samples...)
}

// look tells the group what a scrape shows.
func (s *series) look(at model.Time, scrape int, touched []*group) []*group {
	if len(s.pending) == 0 || s.pending[0].Timestamp > at {
		return touched
	}
	if s.group.scrape != scrape {
		*s.group = group{
			process: s.group.process, at: at, previous: s.group.at, scrape: scrape, buckets: s.group.buckets, active: s.group.active,
		}
		touched = append(touched, s.group)
	}
	if s.cell != nil {
		s.group.classic = scrape
	}
	// What one shows that was away tells nothing of the others: it may have begun anew long ago.
	before, seen := s.value, s.seen && !s.away()
	for _, sample := range s.pending {
		value := float64(sample.Value)
		if sample.Timestamp > at {
			break
		}
		if !isCount(value) {
			continue
		}
		if seen {
			s.group.note(before, value)
		}
		before, seen = value, true
	}
	return touched
}

// count takes the samples up to a scrape, and returns by how much the counter grew. It is false where there was none.
func (s *series) count(at model.Time) (grown float64, counted bool) {
	reset := s.seen && s.group.reset > s.at
	before := s.value
	for len(s.pending) > 0 && s.pending[0].Timestamp <= at {
		value := float64(s.pending[0].Value)
		s.pending = s.pending[1:]
		if !isCount(value) {
			continue
		}
		counted = true
		switch {
		case !s.seen:
			grown += value
		case value >= s.value:
			grown += value - s.value
		case reset || s.group.reset == at || s.away():
			grown += value
			reset = false
		default:
			continue // an older view: nothing is taken back
		}
		s.seen, s.value = true, value
	}
	if counted {
		s.at = at
		if reset {
			// A sibling was set back, and this one has outgrown what it was.
			grown += before
		}
	}
	if len(s.pending) == 0 {
		s.pending = nil // let go of the answer that it was a part of
	}
	return grown, counted
}

// away says whether the scrape before didn't have the series.
func (s *series) away() bool {
	return s.at < s.group.previous
}

func isCount(value float64) bool {
	return value >= 0 && !math.IsInf(value, 0)
}

// take adds a scrape to the sums. It is false where the scrape doesn't have the series.
func (s *series) take(at model.Time, scrape int, layout *layout) bool {
	if s.timed != nil {
		counted := false
		for len(s.histograms) > 0 && s.histograms[0].Timestamp <= at {
			s.timed.grow(s.histograms[0].Histogram, s.seen && s.group.reset <= s.at, s.group.classic == scrape)
			s.histograms = s.histograms[1:]
			counted, s.seen, s.at = true, true, at
		}
		return counted
	}
	grown, counted := s.count(at)
	for _, sum := range s.sums {
		*sum += grown
	}
	if s.cell != nil && grown > 0 {
		layout.grew(s)
	}
	return counted
}
