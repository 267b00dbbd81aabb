package prometheus

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/promql"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

const countersField = "spec.analysis.source.counters."

// counterFeeds asks for the metrics that the Rollout names.
func counterFeeds(query *analysis.Query) ([]feed, error) {
	metrics := query.Source.Counters
	wanted := []struct {
		kind        kind
		field, text string
	}{{requests, "requests", metrics.Requests}, {failures, "errors", metrics.Errors}, {latency, "latency", metrics.Latency}}
	var feeds []feed
	for _, one := range wanted {
		if one.kind == latency && (!query.Latency || one.text == "") {
			continue
		}
		made, err := trackFeeds(query, feed{kind: one.kind, field: countersField + one.field}, one.text)
		if err != nil {
			return nil, err
		}
		for i := range made {
			if one.kind == latency {
				made[i].ofHistogram(unitOf(metrics))
			}
		}
		feeds = append(feeds, made...)
	}
	return feeds, nil
}

// ratioFeeds asks for the events of further metrics. Totals come first, so that a scrape that shows bad events shows all.
func ratioFeeds(query *analysis.Query) ([]feed, error) {
	var feeds []feed
	for i, ratio := range query.Ratios {
		all, err := trackFeeds(query, feed{kind: allEvents, ratio: i, field: ratio.Field + ".total"}, ratio.Total)
		if err != nil {
			return nil, err
		}
		bad, err := trackFeeds(query, feed{kind: badEvents, ratio: i, field: ratio.Field + ".bad"}, ratio.Bad)
		if err != nil {
			return nil, err
		}
		feeds = append(append(feeds, all...), bad...)
	}
	return feeds, nil
}

// trackFeeds makes a feed for each track from a selector with placeholders.
func trackFeeds(query *analysis.Query, like feed, text string) ([]feed, error) {
	var feeds []feed
	for index, track := range [tracks]analysis.Track{query.Incumbent, query.Candidate} {
		if track.Service == "" {
			continue
		}
		values, err := placeholders(track)
		if err != nil {
			return nil, &analysis.FieldError{Field: like.field, Problem: fmt.Sprintf("can't be filled in for a track: %s", err)}
		}
		filled, err := promql.Fill(text, values)
		if err != nil {
			return nil, &analysis.FieldError{Field: like.field, Problem: err.Error()}
		}
		selector, err := parseSelector(filled)
		if err != nil {
			return nil, &analysis.FieldError{Field: like.field, Problem: err.Error()}
		}
		made := like
		made.selector = selector
		made.claims = []claim{{index, selector}}
		feeds = append(feeds, made)
	}
	return feeds, nil
}

// ofHistogram makes a feed one of latencies. Where the buckets of a classic histogram are named, a native one of that name is asked for too:
// servers can make one of the other.
func (f *feed) ofHistogram(unit time.Duration) {
	f.unit, f.apart = unit, []model.LabelName{model.BucketLabel}
	if native, classic := strings.CutSuffix(f.selector.metric, "_bucket"); classic {
		f.selector.orMetric = native
	}
}

func unitOf(metrics *v1alpha1.CounterMetrics) time.Duration {
	if metrics.Unit == "ms" {
		return time.Millisecond
	}
	return time.Second
}
