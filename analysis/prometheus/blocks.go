package prometheus

import (
	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
)

// A block has a scrape of each target. It is closed as soon as every target that the blocks before had was scraped, or one of them all for a
// second time. Both depend on when targets were scraped alone, and not on when that was asked for: a stream that is opened anew has the same
// blocks. Targets that are scraped more seldom than others are in some blocks and not in others. What a slow scrape shows after
// its block was closed is in the next one: that a target is new, or comes back, can't be known before it is seen.

// bundle makes the blocks of what is known by a moment.
func (s *stream) bundle(known model.Time) {
	for {
		until, ok := s.closing(known)
		if !ok {
			return
		}
		s.cut(until)
	}
}

// closing returns the last moment of the next block; false if that can't be told yet.
func (s *stream) closing(known model.Time) (model.Time, bool) {
	var complete, again model.Time // zero: not known
	some, missing := false, false
	for _, target := range s.targets {
		if len(target.scrapes) > 1 && (again == 0 || target.scrapes[1] < again) {
			again = target.scrapes[1]
		}
		switch {
		case !target.expected:
		case len(target.scrapes) == 0:
			missing = true
		default:
			complete, some = max(complete, target.scrapes[0]), true
		}
	}
	if some && !missing && (again == 0 || complete < again) {
		return complete, s.settled(complete, known)
	}
	if again == 0 {
		return 0, false
	}
	return again - 1, s.settled(again-1, known)
}

// settled says whether no scrape can come to be seen any more that would have closed a block before a moment, or should be in it.
func (s *stream) settled(moment, known model.Time) bool {
	for _, target := range s.targets {
		switch len(target.scrapes) {
		case 0:
			if target.expected && target.due(target.last, moment) && known <= moment+target.patience() {
				return false
			}
		case 1:
			if target.gap > 0 && target.due(target.scrapes[0], moment) && known <= moment+target.patience() {
				return false
			}
		}
	}
	return true
}

// cut makes a block of each target's next scrape, if it was made by then.
func (s *stream) cut(until model.Time) {
	block := analysis.Block{Straddles: s.at == 0, Paired: true}
	paired := make([]bool, 1+len(s.query.Ratios))
	for i := range paired {
		paired[i] = true
	}
	var from, at model.Time
	for _, target := range s.targets {
		if len(target.scrapes) == 0 || target.scrapes[0] > until {
			target.expected = target.expected && !target.gone(until)
			continue
		}
		target.expected = true
		scrape := target.scrapes[0]
		began := target.last
		if began == 0 {
			began = target.before
			block.Straddles = block.Straddles || began > 0
		}
		if began > 0 && (from == 0 || began < from) {
			from = began
		}
		at = max(at, scrape)
		block.Straddles = s.count(target, scrape, paired) || block.Straddles
		target.taken(scrape)
	}
	if from == 0 {
		if from = at; s.at == 0 {
			from = s.since
		}
	}
	s.at = max(s.at, at)
	block.From, block.At = from.Time(), s.at.Time()
	block.Paired = paired[0]
	s.fill(&block, paired)
	s.blocks = append(s.blocks, block)
}

// count adds a scrape of a target to the block that is being made. It says whether some of it was counted before the stream began.
func (s *stream) count(target *target, at model.Time, paired []bool) (straddles bool) {
	s.scrape++
	s.touched = s.touched[:0]
	for _, series := range target.series {
		s.touched = series.look(at, s.scrape, s.touched)
	}
	for _, group := range s.touched {
		if group.restarted() {
			group.reset = at
		}
	}
	clear(s.counted)
	for _, series := range target.series {
		if !series.take(at, s.scrape, s.layouts[series.track]) {
			continue
		}
		straddles = straddles || series.based
		series.based = false
		s.counted[series.feed.domain()] |= 1 << series.track
	}
	for domain, counted := range s.counted {
		if counted == 1<<candidate {
			paired[domain] = false
		}
	}
	return straddles
}

// fill writes what was counted into a block.
func (s *stream) fill(block *analysis.Block, paired []bool) {
	for track, counts := range [tracks]*analysis.Counts{&block.Incumbent, &block.Candidate} {
		counts.Requests, counts.Errors = s.requests[track].cut()
		if s.query.Latency {
			start := len(s.arena)
			s.arena = s.layouts[track].cut(s.arena)
			if len(s.arena) > start {
				counts.Buckets = s.arena[start:len(s.arena):len(s.arena)]
			}
		}
	}
	if len(s.ratios) == 0 {
		return
	}
	block.Ratios = make([]analysis.RatioCounts, len(s.ratios))
	for i := range s.ratios {
		ratio := &block.Ratios[i]
		ratio.Paired = paired[i+1]
		for track, tally := range [tracks]*analysis.Tally{&ratio.Incumbent, &ratio.Candidate} {
			tally.Total, tally.Bad = s.ratios[i][track].cut()
		}
	}
}

// tally counts events of a track, and the bad ones among them.
type tally struct {
	total, bad float64
	// overdue is how many blocks in a row had more bad events than events.
	overdue int
}

// cut returns what was counted, and begins anew. Some processes count a failure before they count the request: what is too much waits for the next block.
func (t *tally) cut() (total, bad float64) {
	total, bad = t.total, min(t.bad, t.total)
	t.total, t.bad = 0, t.bad-bad
	if t.bad > 0 {
		t.overdue++
	} else if t.overdue < patientBlocks {
		t.overdue = 0
	}
	return total, bad
}
