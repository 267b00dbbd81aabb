package prometheus

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

const countersField = "spec.analysis.metrics.counters."

// measureCounters asks for the metrics that the Rollout names, track by track.
func (p *Provider) measureCounters(ctx context.Context, server *server, query analysis.Query) (analysis.Measurement, error) {
	measurement := analysis.Measurement{Since: query.Since, Mirrored: query.Mirrored}
	for _, track := range []struct {
		analysis.Track
		counts *analysis.Counts
	}{{query.Incumbent, &measurement.Incumbent}, {query.Candidate, &measurement.Candidate}} {
		if track.Service == "" {
			continue
		}
		latest, err := p.measureTrack(ctx, server, query, track.Track, track.counts)
		if err != nil {
			return analysis.Measurement{}, err
		}
		if latest.After(measurement.Latest) {
			measurement.Latest = latest
		}
	}
	return measurement, nil
}

func (p *Provider) measureTrack(ctx context.Context, server *server, query analysis.Query, track analysis.Track, counts *analysis.Counts) (time.Time, error) {
	metrics := query.Source.Counters
	// Errors first: a scrape that comes between the two questions then adds to the requests alone.
	failed, err := p.askCounter(ctx, server, query, track, "errors", metrics.Errors, nil)
	if err != nil {
		return time.Time{}, err
	}
	all, err := p.askCounter(ctx, server, query, track, "requests", metrics.Requests, nil)
	if err != nil {
		return time.Time{}, err
	}
	counts.Errors, counts.Requests = failed.sum(), all.sum()
	if counts.Errors > counts.Requests {
		return time.Time{}, &analysis.FieldError{Field: countersField + "errors", Problem: fmt.Sprintf(
			"selects %.0f failures of the %.0f requests of %s: it must select a part of what spec.analysis.metrics.counters.requests does",
			counts.Errors, counts.Requests, track.Service)}
	}
	if query.Latency && metrics.Latency != "" {
		counts.Buckets, err = p.askHistogram(ctx, server, query, track)
	}
	return all.latest, err
}

func (p *Provider) askHistogram(ctx context.Context, server *server, query analysis.Query, track analysis.Track) ([]analysis.Bucket, error) {
	metrics := query.Source.Counters
	seen, err := p.askCounter(ctx, server, query, track, "latency", metrics.Latency, []model.LabelName{model.BucketLabel})
	if err != nil {
		return nil, err
	}
	histogram := newHistogram(unitOf(*metrics))
	for _, series := range seen.series {
		histogram.add(series)
	}
	return histogram.buckets(), nil
}

func (p *Provider) askCounter(ctx context.Context, server *server, query analysis.Query, track analysis.Track, field, text string, apart []model.LabelName) (seen, error) {
	template, err := parseSelector(text)
	if err != nil {
		return seen{}, &analysis.FieldError{Field: countersField + field, Problem: err.Error()}
	}
	if track.Workload == "" {
		track.Workload = track.Service
	}
	values, err := placeholders(track)
	if err != nil {
		return seen{}, fmt.Errorf("naming the counters of a track: %w", err)
	}
	selector, err := template.replace(values)
	if err != nil {
		return seen{}, &analysis.FieldError{Field: countersField + field, Problem: err.Error()}
	}
	return p.grown(ctx, server, question{selector.String(), apart, query.Since, query.Now})
}

func unitOf(metrics v1alpha1.CounterMetrics) time.Duration {
	if metrics.Unit == "ms" {
		return time.Millisecond
	}
	return time.Second
}
