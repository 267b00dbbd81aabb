package prometheus_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/prometheus"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

var (
	incumbent = analysis.Track{Namespace: "shop", Service: "checkout-workload", Workload: "checkout", Port: 8080}
	candidate = analysis.Track{Namespace: "shop", Service: "checkout-abc", Workload: "checkout-abc", Port: 8080}
)

func newProvider(t *testing.T, options prometheus.Options) *prometheus.Provider {
	t.Helper()
	provider, err := prometheus.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

func requests(service string, code int) string {
	return fmt.Sprintf(`envoy_cluster_external_upstream_rq{envoy_response_code="%d",envoy_cluster_name="shop/%s/8080"}`, code, service)
}

func bucket(service, le string) string {
	return fmt.Sprintf(`envoy_cluster_external_upstream_rq_time_bucket{envoy_cluster_name="shop/%s/8080",le="%s"}`, service, le)
}

// sums are the blocks of a stream, added up.
type sums struct {
	stream               analysis.Stream
	incumbent, candidate analysis.Counts
	blocks               []analysis.Block
}

func open(t *testing.T, provider *prometheus.Provider, query analysis.Query) *sums {
	t.Helper()
	stream, err := provider.Open(query)
	if err != nil {
		t.Fatal(err)
	}
	return &sums{stream: stream}
}

// add asks for all that is new.
func (s *sums) add(ctx context.Context) error {
	now := time.Now()
	for {
		blocks, err := s.stream.Next(ctx, now)
		if err != nil || len(blocks) == 0 {
			return err
		}
		for _, block := range blocks {
			block.Incumbent.Buckets, block.Candidate.Buckets = slices.Clone(block.Incumbent.Buckets), slices.Clone(block.Candidate.Buckets)
			block.Ratios = slices.Clone(block.Ratios)
			s.blocks = append(s.blocks, block)
			s.incumbent, s.candidate = plus(s.incumbent, block.Incumbent), plus(s.candidate, block.Candidate)
		}
	}
}

func plus(a, b analysis.Counts) analysis.Counts {
	counts := map[time.Duration]float64{}
	for _, bucket := range append(slices.Clone(a.Buckets), b.Buckets...) {
		counts[bucket.UpperEdge] += bucket.Count
	}
	result := analysis.Counts{Requests: a.Requests + b.Requests, Errors: a.Errors + b.Errors}
	for _, edge := range slices.Sorted(maps.Keys(counts)) {
		result.Buckets = append(result.Buckets, analysis.Bucket{UpperEdge: edge, Count: counts[edge]})
	}
	return result
}

// wants asks until the sums are as wanted. What has not been scraped yet may be missing before, but nothing may be too much.
func (s *sums) wants(t *testing.T, wantIncumbent, wantCandidate analysis.Counts) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() string {
		if err := s.add(t.Context()); err != nil {
			return err.Error()
		}
		for _, pair := range [][2]analysis.Counts{{s.incumbent, wantIncumbent}, {s.candidate, wantCandidate}} {
			if pair[0].Requests > pair[1].Requests || pair[0].Errors > pair[1].Errors {
				t.Fatalf("counted too much: %v, want %v", pair[0], pair[1])
			}
		}
		if len(s.blocks) == 0 {
			return "there is no block"
		}
		if age := time.Since(s.blocks[len(s.blocks)-1].At); age > 10*time.Second || age < 0 {
			return fmt.Sprintf("the newest block is %s old", age)
		}
		return cmp.Diff([]analysis.Counts{wantIncumbent, wantCandidate}, []analysis.Counts{s.incumbent, s.candidate})
	}).WithTimeout(time.Minute).WithPolling(50*time.Millisecond).Should(gomega.BeEmpty(), "difference (-want +got)")
}

func buckets(counts ...float64) []analysis.Bucket {
	edges := []time.Duration{500 * time.Microsecond, 10 * time.Millisecond, analysis.Unbounded}
	var result []analysis.Bucket
	for i, count := range counts {
		result = append(result, analysis.Bucket{UpperEdge: edges[i], Count: count})
	}
	return result
}

func TestProvider_CountsWhatEnvoyDidSinceTheStepBegan(t *testing.T) {
	first, second := newTarget(t), newTarget(t)
	address := startPrometheus(t, first, second)
	provider := newProvider(t, prometheus.Options{Address: address})
	old := map[string]float64{
		requests("checkout-workload", 200): 1000, requests("checkout-workload", 503): 7, requests("checkout-workload", 404): 3,
		requests("other", 200):              5000,
		bucket("checkout-workload", "0.5"):  600,
		bucket("checkout-workload", "10"):   900,
		bucket("checkout-workload", "+Inf"): 1010,
		`envoy_cluster_internal_upstream_rq{envoy_response_code="200",envoy_cluster_name="shop/checkout-abc/8080"}`: 50,
	}
	first.show(t, old)
	second.show(t, old)
	query := analysis.Query{Incumbent: incumbent, Candidate: candidate, Since: time.Now(), Latency: true}
	step := open(t, provider, query)
	step.wants(t, analysis.Counts{}, analysis.Counts{})

	first.show(t, map[string]float64{
		requests("checkout-workload", 200): 1100, requests("checkout-workload", 503): 8, requests("checkout-workload", 404): 4,
		requests("checkout-abc", 200): 9, requests("checkout-abc", 500): 1,
		bucket("checkout-workload", "0.5"): 650, bucket("checkout-workload", "10"): 950, bucket("checkout-workload", "+Inf"): 1112,
		bucket("checkout-abc", "0.5"): 0, bucket("checkout-abc", "10"): 4, bucket("checkout-abc", "+Inf"): 10,
	})
	step.wants(t,
		analysis.Counts{Requests: 102, Errors: 1, Buckets: buckets(50, 50, 102)}, analysis.Counts{Requests: 10, Errors: 1, Buckets: buckets(0, 4, 10)})

	// The second Envoy restarts: its counters are gone, and then count from zero.
	gone := map[string]float64{}
	for name := range old {
		gone[name] = -1
	}
	second.show(t, gone)
	second.show(t, map[string]float64{
		requests("checkout-workload", 200): 20, requests("checkout-abc", 503): 2,
		bucket("checkout-workload", "0.5"): 5, bucket("checkout-workload", "10"): 10, bucket("checkout-workload", "+Inf"): 20,
		bucket("checkout-abc", "0.5"): 0, bucket("checkout-abc", "10"): 0, bucket("checkout-abc", "+Inf"): 2,
	})
	restarted := []analysis.Counts{
		{Requests: 122, Errors: 1, Buckets: buckets(55, 60, 122)}, {Requests: 12, Errors: 3, Buckets: buckets(0, 4, 12)},
	}
	step.wants(t, restarted[0], restarted[1])

	// One that remembers nothing, such as a controller that has restarted, counts the same.
	open(t, newProvider(t, prometheus.Options{Address: address}), query).wants(t, restarted[0], restarted[1])

	// A later window begins where the counters are by then.
	query.Since, query.Latency = time.Now(), false
	open(t, provider, query).wants(t, analysis.Counts{}, analysis.Counts{})
}

func TestProvider_CountsTheCopiesThatACandidateGets(t *testing.T) {
	envoy := newTarget(t)
	provider := newProvider(t, prometheus.Options{Address: startPrometheus(t, envoy)})
	mirrored := func(service string, code int) string {
		return strings.Replace(requests(service, code), "external", "internal", 1)
	}
	mirroredBucket := func(le string) string { return strings.Replace(bucket("checkout-abc", le), "external", "internal", 1) }
	query := analysis.Query{Incumbent: incumbent, Candidate: candidate, Since: time.Now(), Latency: true, Mirrored: true}
	envoy.show(t, map[string]float64{requests("checkout-workload", 200): 0, mirrored("checkout-abc", 200): 0})
	envoy.show(t, map[string]float64{
		requests("checkout-workload", 200): 80, mirrored("checkout-workload", 200): 5,
		requests("checkout-abc", 200): 7, mirrored("checkout-abc", 200): 38, mirrored("checkout-abc", 500): 2,
		mirroredBucket("0.5"): 1, mirroredBucket("10"): 4, mirroredBucket("+Inf"): 40,
	})
	open(t, provider, query).wants(t, analysis.Counts{Requests: 80}, analysis.Counts{Requests: 40, Errors: 2, Buckets: buckets(1, 4, 40)})
}

func TestProvider_CountsWhatTheRolloutNames(t *testing.T) {
	app := newTarget(t)
	address := startPrometheus(t, app)
	provider := newProvider(t, prometheus.Options{})
	query := analysis.Query{Incumbent: incumbent, Candidate: candidate, Since: time.Now(), Latency: true, Source: &v1alpha1.MetricSource{
		Address: address,
		Counters: &v1alpha1.CounterMetrics{
			Requests: `http_requests_total{service="{service}"}`,
			Errors:   `http_requests_total{service=~"{service}",code=~"5.."}`,
			Latency:  `http_request_seconds_bucket{workload="{workload}",namespace='{namespace}'}`,
			Unit:     "s",
		},
	}}
	app.show(t, map[string]float64{
		`http_requests_total{service="checkout-workload",code="200"}`:                                 0,
		`http_requests_total{service="checkout-abc",code="200"}`:                                      0,
		`http_request_seconds_bucket{workload="checkout-abc",namespace="shop",le="0.01"}`:             0,
		`http_request_seconds_bucket{workload="checkout-abc",namespace="shop",le="+Inf"}`:             0,
		`http_request_seconds_bucket{workload="checkout-abc",namespace="elsewhere",le="+Inf"}`:        0,
		`http_requests_total{service="checkout-abcd",code="500"}`:                                     0,
		`http_request_seconds_bucket{workload="checkout-abc",namespace="elsewhere",le="0.000000001"}`: 0,
	})
	app.show(t, map[string]float64{
		`http_requests_total{service="checkout-workload",code="200"}`:                          90,
		`http_requests_total{service="checkout-abc",code="200"}`:                               8,
		`http_requests_total{service="checkout-abc",code="502"}`:                               2,
		`http_requests_total{service="checkout-abcd",code="500"}`:                              77,
		`http_request_seconds_bucket{workload="checkout-abc",namespace="shop",le="0.01"}`:      6,
		`http_request_seconds_bucket{workload="checkout-abc",namespace="shop",le="+Inf"}`:      10,
		`http_request_seconds_bucket{workload="checkout-abc",namespace="elsewhere",le="+Inf"}`: 9,
	})
	open(t, provider, query).wants(t, analysis.Counts{Requests: 90}, analysis.Counts{Requests: 10, Errors: 2, Buckets: buckets(0, 6, 10)[1:]})
}

func TestProvider_ReplaysALongStep(t *testing.T) {
	app := newTarget(t)
	provider := newProvider(t, prometheus.Options{Address: startPrometheus(t, app)})
	query := analysis.Query{Incumbent: incumbent, Candidate: candidate, Since: time.Now().Add(-5 * time.Hour)}
	app.show(t, map[string]float64{requests("checkout-workload", 200): 40})
	open(t, provider, query).wants(t, analysis.Counts{Requests: 40}, analysis.Counts{})
}

func TestProvider_MeasuresNoTrackWithoutAService(t *testing.T) {
	app := newTarget(t)
	provider := newProvider(t, prometheus.Options{Address: startPrometheus(t, app)})
	query := analysis.Query{Incumbent: incumbent, Since: time.Now()}
	app.show(t, map[string]float64{requests("checkout-workload", 200): 40, requests("", 200): 3})
	open(t, provider, query).wants(t, analysis.Counts{Requests: 40}, analysis.Counts{})
}

func TestProvider_GivesUpWithItsCaller(t *testing.T) {
	provider := newProvider(t, prometheus.Options{Address: "http://127.0.0.1:1"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open(t, provider, analysis.Query{Incumbent: incumbent, Since: time.Now().Add(-time.Minute)}).add(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}
