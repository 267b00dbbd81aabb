package prometheus_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/prometheus"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// eventually asks until there is nothing more to say.
func eventually(t *testing.T, step *sums, missing func() string) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() string {
		if err := step.add(t.Context()); err != nil {
			return err.Error()
		}
		return missing()
	}).WithTimeout(time.Minute).WithPolling(50 * time.Millisecond).Should(gomega.BeEmpty())
}

// latencies is an app whose requests take 1 ms, and a slow one whose take 100 ms, as histograms of some kind.
func latencies(t *testing.T, options client.HistogramOpts) (server string, observe func(service string, seconds float64, times int)) {
	t.Helper()
	registry := client.NewPedanticRegistry()
	requests := client.NewCounterVec(client.CounterOpts{Name: "requests_total", Help: "Requests."}, []string{"service"})
	options.Name, options.Help = "seconds", "How long they took."
	histogram := client.NewHistogramVec(options, []string{"service"})
	registry.MustRegister(requests, histogram)
	app := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(app.Close)
	for _, service := range []string{old, fresh} {
		requests.WithLabelValues(service)
		histogram.WithLabelValues(service)
	}
	return app.URL, func(service string, seconds float64, times int) {
		requests.WithLabelValues(service).Add(float64(times))
		for range times {
			histogram.WithLabelValues(service).Observe(seconds)
		}
	}
}

func slowerThan(counts analysis.Counts, edge time.Duration) float64 {
	for _, bucket := range counts.Buckets {
		if bucket.UpperEdge >= edge {
			return counts.Buckets[len(counts.Buckets)-1].Count - bucket.Count
		}
	}
	return math.NaN()
}

func TestProvider_ReadsEveryKindOfHistogram(t *testing.T) {
	classic := []float64{0.005, 0.05, 0.5, 5}
	for _, test := range []struct {
		name, config string
		options      client.HistogramOpts
		edges        int
	}{
		{"classic", "", client.HistogramOpts{Buckets: classic}, 5},
		{"native", "  scrape_native_histograms: true\n", client.HistogramOpts{NativeHistogramBucketFactor: 1.1}, 36},
		{"a coarse native one", "  scrape_native_histograms: true\n", client.HistogramOpts{NativeHistogramBucketFactor: 4}, 0},
		{
			"both", "  scrape_native_histograms: true\n  always_scrape_classic_histograms: true\n",
			client.HistogramOpts{NativeHistogramBucketFactor: 1.1, Buckets: classic},
			5,
		},
		{"classic, kept as a native one", "  convert_classic_histograms_to_nhcb: true\n", client.HistogramOpts{Buckets: classic}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			app, observe := latencies(t, test.options)
			address := startConfigured(t, test.config, app)
			observe(old, 0.1, 5) // before
			provider := newProvider(t, prometheus.Options{Address: address})
			time.Sleep(time.Second)
			query := analysis.Query{Incumbent: incumbent, Candidate: candidate, Since: time.Now(), Latency: true, Source: &v1alpha1.MetricSource{
				Counters: &v1alpha1.CounterMetrics{
					Requests: `requests_total{service="{service}"}`, Errors: `failures_total{service="{service}"}`, Latency: `seconds_bucket{service="{service}"}`, Unit: "s",
				},
			}}
			step := open(t, provider, query)
			for _, service := range []string{old, fresh} {
				observe(service, 0.001, 40)
				observe(service, 0.1, 2)
			}
			observe(fresh, 0.1, 8)
			eventually(t, step, func() string {
				for _, want := range []struct {
					counts    analysis.Counts
					all, slow float64
				}{{step.incumbent, 42, 2}, {step.candidate, 50, 10}} {
					if want.counts.Requests != want.all {
						return fmt.Sprintf("there are %g requests of %g", want.counts.Requests, want.all)
					}
					if got := slowerThan(want.counts, 5*time.Millisecond); got != want.slow {
						return fmt.Sprintf("%g are slower than 5ms, want %g: %v", got, want.slow, want.counts.Buckets)
					}
					if got := slowerThan(want.counts, 500*time.Millisecond); got != 0 {
						return fmt.Sprintf("%g are slower than 500ms", got)
					}
				}
				return ""
			})
			last := step.blocks[len(step.blocks)-1]
			if edges := len(last.Candidate.Buckets); test.edges > 0 && edges != test.edges {
				t.Errorf("there are %d edges, want %d", edges, test.edges)
			}
			again := open(t, newProvider(t, prometheus.Options{Address: address}), query)
			eventually(t, again, func() string {
				if slowerThan(again.candidate, 5*time.Millisecond) != 10 {
					return fmt.Sprintf("counted again, there are %v", again.candidate)
				}
				return ""
			})
		})
	}
}

// Two servers behind one address answer in turn. Each has scraped at other moments.
func TestProvider_CountsOnceWithTwoServersBehindOneAddress(t *testing.T) {
	app := newTarget(t)
	var servers []*httputil.ReverseProxy
	for range 2 {
		parsed, err := url.Parse(startPrometheus(t, app))
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, httputil.NewSingleHostReverseProxy(parsed))
	}
	var asked atomic.Int64
	address := answering(t, func(w http.ResponseWriter, r *http.Request) { servers[asked.Add(1)%2].ServeHTTP(w, r) })
	app.show(t, map[string]float64{requests(old, 200): 1000, requests(fresh, 200): 10, bucket(old, "10"): 900, bucket(old, "+Inf"): 1000})
	time.Sleep(time.Second)
	step := open(t, newProvider(t, prometheus.Options{Address: address}), analysis.Query{Incumbent: incumbent, Candidate: candidate, Since: time.Now(), Latency: true})
	for i := range 30 {
		n := float64(i + 1)
		app.show(t, map[string]float64{requests(old, 200): 1000 + 7*n, requests(fresh, 200): 10 + n, bucket(old, "10"): 900 + 5*n, bucket(old, "+Inf"): 1000 + 7*n})
		if err := step.add(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	step.wants(t, analysis.Counts{Requests: 210, Buckets: []analysis.Bucket{{UpperEdge: 10 * time.Millisecond, Count: 150}, {UpperEdge: analysis.Unbounded, Count: 210}}}, analysis.Counts{Requests: 30})
}

func TestProvider_LeavesAServerThatFailsForAnother(t *testing.T) {
	app := newTarget(t)
	good := startPrometheus(t, app)
	var broken atomic.Bool
	var asked atomic.Int64
	parsed, err := url.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(parsed)
	first := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if broken.Load() {
			answer(t, w, http.StatusServiceUnavailable, "away")
			return
		}
		proxy.ServeHTTP(w, r)
	})
	app.show(t, map[string]float64{requests(old, 200): 1})
	step := open(t, newProvider(t, prometheus.Options{Address: first + ", " + good}), analysis.Query{Incumbent: incumbent, Candidate: candidate, Since: time.Now()})
	app.show(t, map[string]float64{requests(old, 200): 11})
	step.wants(t, analysis.Counts{Requests: 10}, analysis.Counts{})
	broken.Store(true)
	app.show(t, map[string]float64{requests(old, 200): 21})
	before := asked.Load()
	step.wants(t, analysis.Counts{Requests: 20}, analysis.Counts{})
	if asked.Load() != before+1 {
		t.Errorf("the broken one was asked %d times, want once", asked.Load()-before)
	}
}

func TestProvider_SaysWhyEachServerFails(t *testing.T) {
	one := answering(t, func(w http.ResponseWriter, _ *http.Request) { answer(t, w, http.StatusServiceUnavailable, "") })
	two := answering(t, func(w http.ResponseWriter, _ *http.Request) { answer(t, w, http.StatusOK, "") })
	err := open(t, newProvider(t, prometheus.Options{Address: strings.Replace(one, "//", "//user:secret@", 1) + "," + two}), lastMinute()).add(t.Context())
	if err == nil || err.Error() != "asking Prometheus at "+one+": server_error: server error: 503; asking Prometheus at "+two+": the answer is not that of a Prometheus" {
		t.Errorf("error is %v", err)
	}
}

func TestProvider_EvaluatesExpressions(t *testing.T) {
	app := newTarget(t)
	provider := newProvider(t, prometheus.Options{Address: startPrometheus(t, app)})
	app.show(t, map[string]float64{`queue{service="checkout-abc"}`: 7, `queue{service="checkout-workload"}`: 3})
	from := time.Now()
	app.show(t, map[string]float64{`queue{service="checkout-abc"}`: 9})
	evaluate := func(expression string) ([]analysis.Sample, error) {
		return provider.Evaluate(t.Context(), analysis.Evaluation{
			Field: "m.query", Expression: expression, Incumbent: incumbent, Candidate: candidate, From: from, To: from.Add(200 * time.Millisecond), Interval: 100 * time.Millisecond,
		})
	}
	for expression, want := range map[string]float64{
		`queue{service="{candidate.service}"} - ignoring(service) queue{service=~"{incumbent.workload}-w.*"}`: 4,
		`vector({port})`: 8080,
		`1 + 1`:          2,
	} {
		samples, err := evaluate(expression)
		if err != nil || len(samples) != 3 || samples[0].Value != want || !samples[0].At.Equal(from.Truncate(time.Millisecond)) || samples[1].At.Sub(samples[0].At) != 100*time.Millisecond {
			t.Errorf("%s yields %v, %v", expression, samples, err)
		}
	}
	for _, expression := range []string{`0 / 0`, `queue{service="other"}`} {
		if samples, err := evaluate(expression); err != nil || len(samples) != 0 {
			t.Errorf("%s yields %v, %v", expression, samples, err)
		}
	}
	for expression, want := range map[string]string{
		`queue`:                        "m.query: yields 2 series: it must yield one",
		`queue[5m]`:                    "m.query: is refused by Prometheus: bad_data: ",
		`sum(`:                         "m.query: is refused by Prometheus: bad_data: ",
		`queue{service="{candidate}"}`: "m.query: has an unknown placeholder {candidate}",
	} {
		_, err := evaluate(expression)
		if fault, ok := errors.AsType[*analysis.FieldError](err); !ok || !strings.HasPrefix(fault.Error(), want) {
			t.Errorf("%s: error is %v, want %s", expression, err, want)
		}
	}
}

// A controller that has restarted must see a step as the one before it did.
func TestProvider_RepeatsAStepForAControllerThatHasRestarted(t *testing.T) {
	first, second := newTarget(t), newTarget(t)
	address := startPrometheus(t, first, second)
	for _, envoy := range []*target{first, second} {
		envoy.show(t, map[string]float64{requests(old, 200): 1000, requests(fresh, 200): 0, bucket(old, "10"): 900, bucket(old, "+Inf"): 1000})
	}
	query := analysis.Query{Incumbent: incumbent, Candidate: candidate, Since: time.Now(), Latency: true}
	step := open(t, newProvider(t, prometheus.Options{Address: address}), query)
	for i := range 25 {
		n := float64(i + 1)
		for j, envoy := range []*target{first, second} {
			if i%7 != j {
				n = n*2 + float64(j)
			}
			envoy.show(t, map[string]float64{requests(old, 200): 1000 + 7*n, requests(fresh, 200): n, bucket(old, "10"): 900 + 5*n, bucket(old, "+Inf"): 1000 + 7*n})
		}
		if i%3 == 0 {
			if err := step.add(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(step.blocks) < 20 {
		t.Fatalf("there are %d blocks", len(step.blocks))
	}
	again := open(t, newProvider(t, prometheus.Options{Address: address}), query)
	if err := again.add(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(weighed(step.blocks), weighed(again.blocks)[:len(step.blocks)]); diff != "" {
		t.Errorf("blocks (-first +again):\n%s", diff)
	}
}
