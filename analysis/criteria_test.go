package analysis_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// parse reads an analysis that is right.
func parse(tb testing.TB, spec v1alpha1.Analysis) *analysis.Criteria {
	tb.Helper()
	criteria, err := analysis.ParseCriteria(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return criteria
}

// errorsOnly is a source without a histogram: latency is not judged by it.
func errorsOnly() *v1alpha1.MetricSource {
	return &v1alpha1.MetricSource{Counters: &v1alpha1.CounterMetrics{Requests: "a{s=\"{service}\"}", Errors: "b{s=\"{service}\"}"}}
}

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func TestParseCriteria_FillsInWhatTheAPIServerDoes(t *testing.T) {
	t.Parallel()
	empty := parse(t, v1alpha1.Analysis{})
	filled := parse(t, v1alpha1.Analysis{
		Errors:  &v1alpha1.ErrorAnalysis{SLO: "99", Margin: "1.25", IgnoreBelow: "0"},
		Latency: &v1alpha1.LatencyAnalysis{Margin: "1.25", WarmUp: duration(time.Minute)},
	})
	if !reflect.DeepEqual(empty, filled) {
		t.Errorf("an empty analysis is %+v, and the filled one %+v", empty, filled)
	}
	if !empty.Latency || empty.WarmUp != time.Minute {
		t.Errorf("latency is judged: %t, after %s; want true, after a minute", empty.Latency, empty.WarmUp)
	}
}

func TestParseCriteria_JudgesNoLatencyWithoutAHistogram(t *testing.T) {
	t.Parallel()
	if parse(t, v1alpha1.Analysis{Source: errorsOnly()}).Latency {
		t.Error("histograms are wanted of a source that has none")
	}
}

func TestParseCriteria_KeepsTheOrderOfMetrics(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Metrics: []v1alpha1.Metric{
		{Name: "queue", Threshold: &v1alpha1.ThresholdMetric{Query: "q", Max: "10"}},
		{Name: "refused", Ratio: &v1alpha1.RatioMetric{Bad: "r", Total: "a"}},
		{Name: "fresh", Threshold: &v1alpha1.ThresholdMetric{Query: "f", Min: "-0.5"}},
	}})
	if len(criteria.Ratios) != 1 || criteria.Ratios[0] != (analysis.Ratio{Field: "spec.analysis.metrics[1].ratio", Bad: "r", Total: "a"}) {
		t.Errorf("ratios are %+v", criteria.Ratios)
	}
	if len(criteria.Thresholds) != 2 || criteria.Thresholds[1].Field != "spec.analysis.metrics[2].threshold.query" || criteria.Thresholds[1].Expression != "f" {
		t.Errorf("thresholds are %+v", criteria.Thresholds)
	}
	var names []string
	for _, metric := range analysis.NewEngine(criteria, analysis.Past{}).Verdict().Metrics {
		names = append(names, metric.Name)
	}
	if got := strings.Join(names, " "); got != "errors latency queue refused fresh" {
		t.Errorf("metrics are told in the order %s", got)
	}
}

func TestParseCriteria_NamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	metrics := func(metrics ...v1alpha1.Metric) v1alpha1.Analysis { return v1alpha1.Analysis{Metrics: metrics} }
	ratio := func(ratio v1alpha1.RatioMetric) v1alpha1.Analysis {
		return metrics(v1alpha1.Metric{Name: "a", Threshold: &v1alpha1.ThresholdMetric{Query: "q", Max: "1"}}, v1alpha1.Metric{Name: "b", Ratio: &ratio})
	}
	threshold := func(threshold v1alpha1.ThresholdMetric) v1alpha1.Analysis {
		return metrics(v1alpha1.Metric{Name: "a", Threshold: &threshold})
	}
	for _, test := range []struct {
		name, field string
		spec        v1alpha1.Analysis
	}{
		{"no service keeps all", "spec.analysis.errors.slo", v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{SLO: "100"}}},
		{"no number", "spec.analysis.errors.slo", v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{SLO: "-1"}}},
		{"too many decimals", "spec.analysis.errors.slo", v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{SLO: "99.1234567"}}},
		{"a margin that asks for better", "spec.analysis.errors.margin", v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{Margin: "0.9"}}},
		{"a margin without end", "spec.analysis.errors.margin", v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{Margin: "99999999999999999"}}},
		{"all is ignored", "spec.analysis.errors.ignoreBelow", v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{IgnoreBelow: "100"}}},
		{"no quantile", "spec.analysis.latency.quantile", v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{Quantile: "p98"}}},
		{"no time", "spec.analysis.latency.threshold", v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{Threshold: duration(0)}}},
		{"a margin", "spec.analysis.latency.margin", v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{Margin: "x"}}},
		{"time runs back", "spec.analysis.latency.warmUp", v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{WarmUp: duration(-1)}}},
		{"nothing to hold against", "spec.analysis.source.counters.latency", v1alpha1.Analysis{Source: errorsOnly(), Latency: &v1alpha1.LatencyAnalysis{Threshold: duration(time.Second)}}},
		{"neither", "spec.analysis.metrics[0]", metrics(v1alpha1.Metric{Name: "a"})},
		{"both", "spec.analysis.metrics[0]", metrics(v1alpha1.Metric{Name: "a", Threshold: &v1alpha1.ThresholdMetric{Query: "q", Max: "1"}, Ratio: &v1alpha1.RatioMetric{Bad: "b", Total: "t"}})},
		{"no name", "spec.analysis.metrics[0].name", metrics(v1alpha1.Metric{Threshold: &v1alpha1.ThresholdMetric{Query: "q", Max: "1"}})},
		{"a name that is taken", "spec.analysis.metrics[0].name", metrics(v1alpha1.Metric{Name: "errors", Threshold: &v1alpha1.ThresholdMetric{Query: "q", Max: "1"}})},
		{"latency is taken too", "spec.analysis.metrics[0].name", metrics(v1alpha1.Metric{Name: "latency", Threshold: &v1alpha1.ThresholdMetric{Query: "q", Max: "1"}})},
		{
			"a name twice", "spec.analysis.metrics[1].name",
			metrics(v1alpha1.Metric{Name: "a", Threshold: &v1alpha1.ThresholdMetric{Query: "q", Max: "1"}}, v1alpha1.Metric{Name: "a", Threshold: &v1alpha1.ThresholdMetric{Query: "q", Max: "1"}}),
		},
		{"no query", "spec.analysis.metrics[0].threshold.query", threshold(v1alpha1.ThresholdMetric{Max: "1"})},
		{"no bound", "spec.analysis.metrics[0].threshold", threshold(v1alpha1.ThresholdMetric{Query: "q"})},
		{"no number", "spec.analysis.metrics[0].threshold.min", threshold(v1alpha1.ThresholdMetric{Query: "q", Min: "NaN"})},
		{"no number", "spec.analysis.metrics[0].threshold.max", threshold(v1alpha1.ThresholdMetric{Query: "q", Max: "0x1p2"})},
		{"no value is good", "spec.analysis.metrics[0].threshold.min", threshold(v1alpha1.ThresholdMetric{Query: "q", Min: "2", Max: "1"})},
		{"never", "spec.analysis.metrics[0].threshold.times", threshold(v1alpha1.ThresholdMetric{Query: "q", Max: "1", Times: -1})},
		{"no counters", "spec.analysis.metrics[1].ratio.bad", ratio(v1alpha1.RatioMetric{Total: "t"})},
		{"no counters", "spec.analysis.metrics[1].ratio.total", ratio(v1alpha1.RatioMetric{Bad: "b"})},
		{"an SLO", "spec.analysis.metrics[1].ratio.slo", ratio(v1alpha1.RatioMetric{Bad: "b", Total: "t", SLO: "100"})},
		{"a margin", "spec.analysis.metrics[1].ratio.margin", ratio(v1alpha1.RatioMetric{Bad: "b", Total: "t", Margin: "0"})},
	} {
		t.Run(test.field+" "+test.name, func(t *testing.T) {
			t.Parallel()
			_, err := analysis.ParseCriteria(test.spec)
			var field *analysis.FieldError
			if !errors.As(err, &field) {
				t.Fatalf("got %v, want an error of the field %s", err, test.field)
			}
			if field.Field != test.field || field.Problem == "" {
				t.Errorf("got %q, want an error of the field %s", err, test.field)
			}
		})
	}
}
