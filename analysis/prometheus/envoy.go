package prometheus

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
)

// What Envoy calls its metrics. Those of `internal` requests are copies that it mirrors: they are no
// user's.
const (
	envoyRequests = "envoy_cluster_external_upstream_rq"
	envoyBuckets  = "envoy_cluster_external_upstream_rq_time_bucket"

	envoyCluster      = "envoy_cluster_name"
	envoyResponseCode = "envoy_response_code"

	defaultCluster = "{namespace}/{service}/{port}"
	clusterField   = "spec.analysis.metrics.envoy.cluster"
)

// measureEnvoy asks one question for both tracks, so that they are of the same scrapes.
func (p *Provider) measureEnvoy(ctx context.Context, server *server, query analysis.Query) (analysis.Measurement, error) {
	pattern := defaultCluster
	if query.Source != nil && query.Source.Envoy != nil && query.Source.Envoy.Cluster != "" {
		pattern = query.Source.Envoy.Cluster
	}
	measurement := analysis.Measurement{Since: query.Since}
	counts := map[string]*analysis.Counts{}
	for _, track := range []struct {
		analysis.Track
		counts *analysis.Counts
	}{{query.Incumbent, &measurement.Incumbent}, {query.Candidate, &measurement.Candidate}} {
		if track.Service == "" {
			continue
		}
		cluster, err := clusterOf(pattern, track.Track)
		if err != nil {
			return analysis.Measurement{}, err
		}
		if counts[cluster] != nil {
			return analysis.Measurement{}, &analysis.FieldError{Field: clusterField, Problem: fmt.Sprintf("names both tracks %q: they can't be told apart", cluster)}
		}
		counts[cluster] = track.counts
	}
	if len(counts) == 0 {
		return measurement, nil
	}
	clusters := clusterMatcher(counts)
	seen, err := p.grown(ctx, server, question{envoyMetric(envoyRequests, clusters), []model.LabelName{envoyResponseCode}, query.Since, query.Now})
	if err != nil {
		return analysis.Measurement{}, err
	}
	measurement.Latest = seen.latest
	for _, series := range seen.series {
		if track := counts[string(series.labels[envoyCluster])]; track != nil {
			track.Requests += series.grown
			if code := series.labels[envoyResponseCode]; len(code) == 3 && code[0] == '5' {
				track.Errors += series.grown
			}
		}
	}
	if query.Latency {
		err = p.measureEnvoyLatency(ctx, server, query, counts, clusters)
	}
	return measurement, err
}

func (p *Provider) measureEnvoyLatency(ctx context.Context, server *server, query analysis.Query, counts map[string]*analysis.Counts, clusters matcher) error {
	seen, err := p.grown(ctx, server, question{envoyMetric(envoyBuckets, clusters), []model.LabelName{model.BucketLabel}, query.Since, query.Now})
	if err != nil {
		return err
	}
	histograms := map[string]*histogram{}
	for _, series := range seen.series {
		cluster := string(series.labels[envoyCluster])
		if histograms[cluster] == nil {
			histograms[cluster] = newHistogram(time.Millisecond)
		}
		histograms[cluster].add(series)
	}
	for cluster, track := range counts {
		if histogram := histograms[cluster]; histogram != nil {
			track.Buckets = histogram.buckets()
		}
	}
	return nil
}

func clusterOf(pattern string, track analysis.Track) (string, error) {
	if track.Workload == "" {
		track.Workload = track.Service // the pattern has no use for it
	}
	values, err := placeholders(track)
	if err != nil {
		return "", fmt.Errorf("naming the cluster of a track: %w", err)
	}
	cluster, err := replace(pattern, values, func(value string) string { return value })
	if err != nil {
		return "", &analysis.FieldError{Field: clusterField, Problem: err.Error()}
	}
	return cluster, nil
}

// clusterMatcher always has the names in the same order: the query is the key of its cache.
func clusterMatcher(counts map[string]*analysis.Counts) matcher {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		names = append(names, regexp.QuoteMeta(name))
	}
	return matcher{envoyCluster, "=~", strings.Join(names, "|")}
}

func envoyMetric(name string, clusters matcher) string {
	asked := selector{name, []matcher{clusters}}
	return asked.String()
}
