package prometheus

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/promql"
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
	clusterField   = "spec.analysis.source.envoy.cluster"
)

// envoyFeeds asks one question for both tracks. Only copies, which Envoy counts apart, are asked for by themselves: a pattern for the
// metric's name would bring the copies of every track along.
func envoyFeeds(query *analysis.Query) ([]feed, error) {
	var feeds []feed
	names := map[string]bool{}
	for index, track := range [tracks]analysis.Track{query.Incumbent, query.Candidate} {
		if track.Service == "" {
			continue
		}
		cluster, err := clusterOf(query.Source, track)
		if err != nil {
			return nil, err
		}
		if names[cluster] {
			return nil, &analysis.FieldError{Field: clusterField, Problem: fmt.Sprintf("names both tracks %q: they can't be told apart", cluster)}
		}
		names[cluster] = true
		counted, timed := envoyRequests, envoyBuckets
		if query.Mirrored && index == candidate {
			counted, timed = envoyMirroredRequests, envoyMirroredBuckets
		}
		ask := func(kind kind, metric string) feed {
			selector := selector{metric: metric, matchers: []matcher{{label: envoyCluster, operator: "=", value: cluster}}}
			return feed{kind: kind, field: clusterField, selector: selector, claims: []claim{{index, selector}}}
		}
		all := ask(requests, counted)
		all.apart, all.fails = []model.LabelName{envoyResponseCode}, failedInEnvoy
		feeds = append(feeds, all)
		if query.Latency {
			times := ask(latency, timed)
			times.ofHistogram(time.Millisecond)
			feeds = append(feeds, times)
		}
	}
	return feeds, nil
}

func failedInEnvoy(labels model.Metric) bool {
	code := labels[envoyResponseCode]
	return len(code) == 3 && code[0] == '5'
}

func clusterOf(source *v1alpha1.MetricSource, track analysis.Track) (string, error) {
	pattern := defaultCluster
	if source != nil && source.Envoy != nil && source.Envoy.Cluster != "" {
		pattern = source.Envoy.Cluster
	}
	values, err := placeholders(track)
	if err != nil {
		return "", &analysis.FieldError{Field: clusterField, Problem: fmt.Sprintf("can't be filled in for a track: %s", err)}
	}
	cluster, err := promql.FillText("", pattern, values)
	if err != nil {
		return "", &analysis.FieldError{Field: clusterField, Problem: err.Error()}
	}
	return cluster, nil
}
