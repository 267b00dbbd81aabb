package prometheus

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

const (
	// silence is how long the feed that tells of a target's scrapes must say nothing before another one's word is taken.
	silence = time.Minute
	// slowest is how long a scrape takes at most before it can be seen, if its target isn't scraped more often: Prometheus's default
	// timeout, and a second for the rest.
	slowest = 10 * time.Second
	margin  = time.Second
)

// target is what is scraped at once: a process. Series without the labels that name one are all of one target.
type target struct {
	series []*series
	// scrapes are those that no block has yet, in the order of time.
	scrapes []model.Time
	// last is the newest scrape that a block has, and gap the usual time between two; zero when not known.
	last, gap model.Time
	// gaps are the last of them.
	gaps [4]model.Time
	// before is when it was scraped last before the stream began; zero when it was not.
	before model.Time
	// source is the index of the feed that tells when it is scraped: the first that has its series. Told is the newest of them.
	source int
	told   model.Time
	// expected says that blocks wait for it.
	expected bool
	// number of the target, in the order in which they were found.
	number int

	// elections say whose samples count where several replicas see the target. Of the one that does, twinAt is the newest, and twinGap the time between
	// it and the one before, if it was seen.
	elections       []election
	twinAt, twinGap model.Time
	twinSeen        bool
}

type targetKey struct {
	job, instance model.LabelValue
}

// tell notes the scrapes that a series shows, after one moment and not after the other. Samples of other feeds count with the
// next scrape that is noted.
func (t *target) tell(s *series, after, until model.Time) {
	cursor := 0
	after = max(after, t.last)
	note := func(at model.Time) {
		if at <= after || at > until {
			return
		}
		for cursor < len(t.scrapes) && t.scrapes[cursor] < at {
			cursor++
		}
		if cursor == len(t.scrapes) || t.scrapes[cursor] != at {
			t.scrapes = slices.Insert(t.scrapes, cursor, at)
		}
	}
	for _, sample := range s.pending {
		note(sample.Timestamp)
	}
	for _, sample := range s.histograms {
		note(sample.Timestamp)
	}
}

// newest is that of a series' samples which no block has yet; zero without any.
func (s *series) newest() model.Time {
	var at model.Time
	if n := len(s.pending); n > 0 {
		at = s.pending[n-1].Timestamp
	}
	if n := len(s.histograms); n > 0 {
		at = max(at, s.histograms[n-1].Timestamp)
	}
	return at
}

// patience is how long after a moment a scrape of that moment may come to be seen.
func (t *target) patience() model.Time {
	patience := model.Time(slowest.Milliseconds())
	if t.gap > 0 {
		patience = min(patience, t.gap)
	}
	return patience + model.Time(margin.Milliseconds())
}

// due says whether the scrape after one should be before a moment, if the target is scraped as usual.
func (t *target) due(after, moment model.Time) bool {
	return t.gap == 0 || after+t.gap-t.gap/50 <= moment
}

// gone says whether the target was not scraped for so long that blocks don't wait for it any more. A scrape or two may fail.
func (t *target) gone(at model.Time) bool {
	return t.last == 0 || at-t.last > 5*t.gap/2
}

// taken moves on by a scrape.
func (t *target) taken(at model.Time) {
	before := t.last
	if before == 0 {
		before = t.before
	}
	if before > 0 {
		copy(t.gaps[1:], t.gaps[:])
		t.gaps[0] = at - before
		// The shortest: scrapes may fail.
		t.gap = t.gaps[0]
		for _, gap := range t.gaps {
			if gap > 0 {
				t.gap = min(t.gap, gap)
			}
		}
	}
	t.last = at
	t.scrapes = t.scrapes[1:]
	if len(t.scrapes) == 0 {
		t.scrapes = nil
	}
}
