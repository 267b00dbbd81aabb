package prometheus

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
)

const (
	// lookback is how old the last sample before a stream may be. It is far longer than any scrape interval, so that a
	// counter whose scrapes failed for a while is not taken for a new one.
	lookback = time.Hour
	// portion is the longest range that one query asks for, and smallestPortion what is left of it when answers get too large.
	portion         = 15 * time.Minute
	smallestPortion = 30 * time.Second
	// overlap of two queries at most, for samples that a server gets to show late. Where there are none as new as that, it reaches back to the newest, up to
	// longestOverlap.
	overlap        = 30 * time.Second
	longestOverlap = 5 * time.Minute
	// grid is what ends of ranges are aligned to, so that those who ask the same at about the same time ask for it once.
	grid = 500 * time.Millisecond
	// patientBlocks is how many blocks in a row may have more failures than requests.
	patientBlocks = 3
)

// stream is what the tracks of one query did.
type stream struct {
	query  analysis.Query
	server *server
	feeds  []feed

	since, until model.Time
	based        bool
	portion      model.Time
	// newest is that of all samples.
	newest model.Time
	series []map[uint64]*series // by feed
	groups map[groupKey]*group
	// processes are known by the labels that all of their series have.
	processes map[uint64]*process
	byKey     map[targetKey]*target
	targets   []*target
	seed      maphash.Seed
	fault     error

	// What was counted since the last block; at is when that ended.
	requests [tracks]tally
	ratios   [][tracks]tally
	layouts  [tracks]*layout
	at       model.Time

	// Kept between calls for their memory.
	scrape  int
	touched []*group
	counted []uint8
	blocks  []analysis.Block
	arena   []analysis.Bucket
}

type groupKey struct {
	feed   int
	labels uint64
}

var _ analysis.Stream = (*stream)(nil)

func newStream(query analysis.Query, server *server, feeds []feed) *stream {
	since := model.TimeFromUnixNano(query.Since.UnixNano())
	s := &stream{
		query: query, server: server, feeds: feeds, since: since, until: since, portion: model.Time(portion.Milliseconds()),
		series: make([]map[uint64]*series, len(feeds)), groups: map[groupKey]*group{}, processes: map[uint64]*process{}, byKey: map[targetKey]*target{},
		seed: maphash.MakeSeed(), ratios: make([][tracks]tally, len(query.Ratios)), counted: make([]uint8, 1+len(query.Ratios)),
	}
	for i := range s.series {
		s.series[i] = map[uint64]*series{}
	}
	for i := range s.layouts {
		s.layouts[i] = &layout{unit: time.Second}
	}
	for i := range feeds {
		if feeds[i].kind == latency {
			for _, claim := range feeds[i].claims {
				s.layouts[claim.track].unit = feeds[i].unit
			}
		}
	}
	return s
}

// Next returns the blocks that closed since the last call.
func (s *stream) Next(ctx context.Context, until time.Time) ([]analysis.Block, error) {
	to := model.TimeFromUnixNano(until.Truncate(grid).UnixNano())
	s.blocks, s.arena = s.blocks[:0], s.arena[:0]
	for s.fault == nil && len(s.blocks) == 0 && s.until < to {
		if err := s.advance(ctx, to); err != nil {
			return nil, err
		}
	}
	if s.fault != nil {
		return nil, s.fault
	}
	return s.blocks, nil
}

// advance asks for what is new, up to a portion. Nothing is changed unless all was answered.
func (s *stream) advance(ctx context.Context, to model.Time) error {
	if !s.based {
		if err := s.base(ctx); err != nil {
			return err
		}
	}
	overlap := s.overlap()
	longest := max(overlap, min(model.Time(longestOverlap.Milliseconds()), s.portion))
	from := max(s.since, s.until-longest, min(s.until-overlap, s.newest))
	to = min(to, s.until+s.portion)
	answers := make([]model.Matrix, len(s.feeds))
	for i := range s.feeds {
		matrix, err := s.server.matrix(ctx, fmt.Sprintf("%s[%dms]", s.feeds[i].text, to-from), to)
		if err != nil {
			return s.less(to, err)
		}
		answers[i] = matrix
	}
	known := len(s.targets)
	for i, matrix := range answers {
		if err := s.read(i, matrix, to, known); err != nil {
			s.fault = err
			return err
		}
	}
	s.until = to
	s.bundle(to)
	s.checkTallies()
	return nil
}

// overlap is for how long samples may be late that have not been seen: not much longer than the time between two scrapes.
func (s *stream) overlap() model.Time {
	most, late := model.Time(overlap.Milliseconds()), model.Time(0)
	for _, target := range s.targets {
		if target.gap == 0 {
			return most
		}
		if target.expected {
			late = max(late, 2*target.gap)
		}
	}
	if late == 0 {
		return most
	}
	return min(most, late+3*model.Time(margin.Milliseconds()))
}

// less asks for smaller portions from now on, if that can help against an error. It returns the error if it can't, or must wait.
func (s *stream) less(to model.Time, err error) error {
	refused, ok := errors.AsType[*refusal](err)
	smaller := (to - s.until) / 2
	if !ok || !refused.tooMuch || smaller < model.Time(smallestPortion.Milliseconds()) {
		return err
	}
	s.portion = smaller
	if refused.slow {
		return err
	}
	return nil
}

// base asks what the counters showed when the stream began. A counter that had ended by then, while its process was there, would come back from zero.
func (s *stream) base(ctx context.Context) error {
	shown, alive := make([]model.Vector, len(s.feeds)), make([]model.Vector, len(s.feeds))
	for i := range s.feeds {
		var err error
		if alive[i], err = s.server.vector(ctx, "timestamp("+s.feeds[i].text+")", s.since); err != nil {
			return err
		}
		if shown[i], err = s.server.vector(ctx, fmt.Sprintf("last_over_time(%s[%dms])", s.feeds[i].text, lookback.Milliseconds()), s.since); err != nil {
			return err
		}
	}
	for i := range s.feeds {
		if err := s.begin(i, alive[i], shown[i]); err != nil {
			s.fault = err
			return err
		}
	}
	s.based = true
	return nil
}

// begin takes what a feed's series that are alive show when they were scraped last, and what all of them showed last.
func (s *stream) begin(index int, alive, shown model.Vector) error {
	living := map[*series]bool{}
	for _, sample := range alive {
		found, err := s.find(index, sample.Metric)
		if err != nil {
			return err
		}
		if found == nil {
			continue
		}
		living[found] = true
		target := found.target
		if replica, labelled := s.replicaOf(sample.Metric); labelled {
			target.prefer(replica)
		}
		at := model.Time(math.Round(float64(sample.Value) * 1000))
		target.before, target.expected = max(target.before, min(at, s.since)), true
	}
	for _, sample := range shown {
		found, err := s.find(index, sample.Metric)
		if err != nil {
			return err
		}
		if found != nil && (living[found] || !found.target.expected) {
			found.base(s.since, sample)
		}
	}
	return nil
}

// read takes a feed's answer. Known is how many targets there were before this poll.
func (s *stream) read(index int, matrix model.Matrix, to model.Time, known int) error {
	matrix, err := s.one(index, matrix)
	if err != nil {
		return err
	}
	for _, answer := range matrix {
		found, err := s.find(index, answer.Metric)
		if err != nil {
			return err
		}
		if found == nil {
			continue
		}
		found.add(s.since, answer.Values, answer.Histograms)
		s.newest = max(s.newest, found.newest())
		s.tell(index, found, to, known)
	}
	return nil
}

// tell notes the scrapes of a target as one of its series shows them.
func (s *stream) tell(index int, found *series, to model.Time, known int) {
	target := found.target
	target.source = min(target.source, index)
	switch {
	case index > target.source:
		// All is scraped at once, mostly, and the other feed's answer has it or will have it.
		target.tell(found, max(s.since, target.told)+model.Time(silence.Milliseconds()), to)
		return
	case index > 0 && target.number >= known:
		// The feeds before may have been answered just before its first scrape could be seen.
		to -= model.Time((slowest + margin).Milliseconds())
	}
	target.tell(found, 0, to)
	target.told = max(target.told, min(to, found.newest()))
}

// find returns the series of a feed with some labels; nil if it is nobody's.
func (s *stream) find(index int, labels model.Metric) (*series, error) {
	feed := &s.feeds[index]
	key := s.hash(labels, feed.apart)
	grouped := groupKey{index, key}
	var edge time.Duration
	bucket, isBucket := labels[model.BucketLabel]
	isBucket = isBucket && feed.kind == latency
	if isBucket {
		// An edge can be written in several ways, such as 1 and 1.0.
		var ok bool
		if edge, ok = edgeOf(string(bucket), feed.unit); !ok {
			return nil, nil
		}
		key = mix(key, edge)
	} else if feed.kind != latency {
		key = s.hash(labels, nil)
	}
	if found, known := s.series[index][key]; known {
		return found, nil
	}
	track, ok, err := feed.trackOf(labels)
	if err != nil {
		return nil, err
	}
	if !ok {
		s.series[index][key] = nil
		return nil, nil
	}
	found := &series{feed: feed, track: track, group: s.groups[grouped], target: s.targetOf(labels, index)}
	if found.group == nil {
		if s.processes[grouped.labels] == nil {
			s.processes[grouped.labels] = &process{}
		}
		found.group = &group{process: s.processes[grouped.labels]}
		s.groups[grouped] = found.group
	}
	s.connect(found, labels, isBucket, edge)
	s.series[index][key] = found
	found.target.series = append(found.target.series, found)
	return found, nil
}

// connect says what a series adds to.
func (s *stream) connect(found *series, labels model.Metric, isBucket bool, edge time.Duration) {
	feed, track := found.feed, found.track
	switch feed.kind {
	case requests:
		found.sums = []*float64{&s.requests[track].total}
		if feed.fails != nil && feed.fails(labels) {
			found.sums = append(found.sums, &s.requests[track].bad)
		}
	case failures:
		found.sums = []*float64{&s.requests[track].bad}
	case allEvents:
		found.sums = []*float64{&s.ratios[feed.ratio][track].total}
	case badEvents:
		found.sums = []*float64{&s.ratios[feed.ratio][track].bad}
	case latency:
		if !isBucket {
			found.timed = &nativeState{layout: s.layouts[track]}
			return
		}
		found.cell = s.layouts[track].at(edge)
		found.sums = []*float64{&found.cell.cumulative}
		s.layouts[track].hold(found)
	}
}

func (s *stream) targetOf(labels model.Metric, index int) *target {
	key := targetKey{labels[model.JobLabel], labels[model.InstanceLabel]}
	found := s.byKey[key]
	if found == nil {
		found = &target{source: index, number: len(s.targets)}
		s.byKey[key] = found
		s.targets = append(s.targets, found)
	}
	return found
}

// hash is the same for labels that differ only in the metric's name, in who scraped it and in those left out.
func (s *stream) hash(labels model.Metric, without []model.LabelName) uint64 {
	var sum uint64
	var buffer [256]byte
	for name, value := range labels {
		if name == model.MetricNameLabel || slices.Contains(s.server.replicaLabels, name) || slices.Contains(without, name) {
			continue
		}
		pair := append(append(append(buffer[:0], name...), 0xff), value...)
		sum += maphash.Bytes(s.seed, pair)
	}
	return sum
}

// mix gives the buckets of a histogram keys of their own.
func mix(key uint64, edge time.Duration) uint64 {
	return (key ^ uint64(edge)*0x9e3779b97f4a7c15 + 1) * 0xff51afd7ed558ccd //nolint:gosec // An edge is not negative.
}

// checkTallies finds selectors of failures that select something else.
func (s *stream) checkTallies() {
	for i := range s.feeds {
		feed := &s.feeds[i]
		for _, claim := range feed.claims {
			var tally *tally
			switch feed.kind {
			case failures:
				tally = &s.requests[claim.track]
			case badEvents:
				tally = &s.ratios[feed.ratio][claim.track]
			case requests, latency, allEvents:
				continue
			}
			if tally.overdue >= patientBlocks {
				s.fault = &analysis.FieldError{Field: feed.field, Problem: fmt.Sprintf(
					"selects %.0f more than there are of %s, and that again and again: it must select a part of what selects all", tally.bad, s.trackName(claim.track))}
			}
		}
	}
}

func (s *stream) trackName(track int) string {
	if track == candidate {
		return s.query.Candidate.Service
	}
	return s.query.Incumbent.Service
}
