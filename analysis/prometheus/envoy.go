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
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// What Envoy calls its metrics: those of users' requests, and those of copies that it mirrors, which are no user's.
const (
	envoyRequests         = "envoy_cluster_external_upstream_rq"
	envoyBuckets          = "envoy_cluster_external_upstream_rq_time_bucket"
	envoyMirroredRequests = "envoy_cluster_internal_upstream_rq"
	envoyMirroredBuckets  = "envoy_cluster_internal_upstream_rq_time_bucket"

	envoyCluster      = "envoy_cluster_name"
	envoyResponseCode = "envoy_response_code"

	defaultCluster = "{namespace}/{service}/{port}"
	clusterField   = "spec.analysis.metrics.envoy.cluster"
)

// envoyCounts are the tracks whose requests Envoy counts under the same names, by cluster.
type envoyCounts struct {
	requests, buckets string
	clusters          map[string]*analysis.Counts
}

// measureEnvoy asks one question for both tracks, so that they are of the same scrapes; only copies, which Envoy counts
// apart, are asked for by themselves.
func (p *Provider) measureEnvoy(ctx context.Context, server *server, query analysis.Query) (analysis.Measurement, error) {
	measurement := analysis.Measurement{Since: query.Since, Mirrored: query.Mirrored}
	users := envoyCounts{envoyRequests, envoyBuckets, map[string]*analysis.Counts{}}
	copies := envoyCounts{envoyMirroredRequests, envoyMirroredBuckets, map[string]*analysis.Counts{}}
	for _, track := range []struct {
		analysis.Track
		counts *analysis.Counts
		of     envoyCounts
	}{{query.Incumbent, &measurement.Incumbent, users}, {query.Candidate, &measurement.Candidate, users}} {
		if track.Service == "" {
			continue
		}
		cluster, err := clusterOf(query.Source, track.Track)
		if err != nil {
			return analysis.Measurement{}, err
		}
		if users.clusters[cluster] != nil {
			return analysis.Measurement{}, &analysis.FieldError{Field: clusterField, Problem: fmt.Sprintf("names both tracks %q: they can't be told apart", cluster)}
		}
		if query.Mirrored && track.counts == &measurement.Candidate {
			track.of = copies
		}
		track.of.clusters[cluster] = track.counts
	}
	for _, counts := range []envoyCounts{users, copies} {
		if len(counts.clusters) == 0 {
			continue
		}
		latest, err := p.measureClusters(ctx, server, query, counts)
		if err != nil {
			return analysis.Measurement{}, err
		}
		if latest.After(measurement.Latest) {
			measurement.Latest = latest
		}
	}
	return measurement, nil
}

func (p *Provider) measureClusters(ctx context.Context, server *server, query analysis.Query, counts envoyCounts) (time.Time, error) {
	clusters := clusterMatcher(counts.clusters)
	seen, err := p.grown(ctx, server, question{envoyMetric(counts.requests, clusters), []model.LabelName{envoyResponseCode}, query.Since, query.Now})
	if err != nil {
		return time.Time{}, err
	}
	for _, series := range seen.series {
		if track := counts.clusters[string(series.labels[envoyCluster])]; track != nil {
			track.Requests += series.grown
			if code := series.labels[envoyResponseCode]; len(code) == 3 && code[0] == '5' {
				track.Errors += series.grown
			}
		}
	}
	if query.Latency {
		err = p.measureEnvoyLatency(ctx, server, query, counts, clusters)
	}
	return seen.latest, err
}

func (p *Provider) measureEnvoyLatency(ctx context.Context, server *server, query analysis.Query, counts envoyCounts, clusters matcher) error {
	seen, err := p.grown(ctx, server, question{envoyMetric(counts.buckets, clusters), []model.LabelName{model.BucketLabel}, query.Since, query.Now})
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
	for cluster, track := range counts.clusters {
		if histogram := histograms[cluster]; histogram != nil {
			track.Buckets = histogram.buckets()
		}
	}
	return nil
}

func clusterOf(source *v1alpha1.MetricSource, track analysis.Track) (string, error) {
	pattern := defaultCluster
	if source != nil && source.Envoy != nil && source.Envoy.Cluster != "" {
		pattern = source.Envoy.Cluster
	}
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
