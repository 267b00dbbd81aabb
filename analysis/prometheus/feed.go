package prometheus

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
)

// The tracks, as indexes.
const (
	incumbent = iota
	candidate
	tracks
)

// kind is what the series of a feed count.
type kind int

const (
	requests kind = iota
	failures
	latency
	allEvents
	badEvents
)

// feed is a question that is asked at every poll, and what its answers mean.
type feed struct {
	kind kind
	// ratio is the index of the query's ratio that the events are of.
	ratio int
	// field is where the Rollout says so.
	field    string
	selector selector
	// text is the selector in PromQL.
	text string
	// claims say which series are whose.
	claims []claim
	// apart are the labels by which series of one process differ. All of them are reset together: a proxy that restarted
	// sets back its counters of every response code, and not each of them can be seen to drop.
	apart []model.LabelName
	// fails says which of the requests failed; nil where other series tell.
	fails func(model.Metric) bool
	// unit of a histogram's edges.
	unit time.Duration
}

// claim is a track's part of a feed.
type claim struct {
	track    int
	selector selector
}

var errBothTracks = errors.New("selects the same series for both tracks: they can't be told apart")

// domain numbers what is scraped together: 0 for requests, failures and latency, and one for each ratio.
func (f *feed) domain() int {
	if f.kind == allEvents || f.kind == badEvents {
		return f.ratio + 1
	}
	return 0
}

// trackOf says whose a series is; false if it is nobody's.
func (f *feed) trackOf(labels model.Metric) (int, bool, error) {
	if len(f.claims) == 1 {
		return f.claims[0].track, true, nil
	}
	found := -1
	for i := range f.claims {
		if !f.claims[i].selector.matches(labels) {
			continue
		}
		if found >= 0 {
			return 0, false, &analysis.FieldError{Field: f.field, Problem: errBothTracks.Error()}
		}
		found = f.claims[i].track
	}
	return found, found >= 0, nil
}

// merged asks one question for several feeds where it can: those that differ only in the values of labels. Requests come first: a scrape that shows
// them then shows all else in the answers that come later.
func merged(feeds []feed) ([]feed, error) {
	slices.SortStableFunc(feeds, func(a, b feed) int { return cmp.Compare(a.kind, b.kind) })
	var result []feed
	for _, next := range feeds {
		joined := false
		for i := range result {
			before := &result[i]
			if joined || before.kind != next.kind || before.ratio != next.ratio {
				continue
			}
			if before.selector.String() == next.selector.String() {
				return nil, &analysis.FieldError{Field: next.field, Problem: errBothTracks.Error()}
			}
			if both, ok := before.selector.or(next.selector); ok {
				before.selector, before.claims = both, append(before.claims, next.claims...)
				joined = true
			}
		}
		if !joined {
			result = append(result, next)
		}
	}
	for i := range result {
		result[i].text = result[i].selector.String()
	}
	return result, nil
}
