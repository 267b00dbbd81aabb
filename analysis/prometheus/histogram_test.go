package prometheus

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
)

func bucket(instance, le string, grown float64) *counter {
	return &counter{labels: model.Metric{"instance": model.LabelValue(instance), "le": model.LabelValue(le)}, grown: grown}
}

func TestHistogram_AddsUpOnlyEdgesThatAllHave(t *testing.T) {
	h := newHistogram(time.Millisecond)
	for _, series := range []*counter{
		bucket("a", "0.5", 1), bucket("a", "10", 5), bucket("a", "+Inf", 6),
		bucket("b", "10.0", 2), bucket("b", "25", 3), bucket("b", "+Inf", 4),
		bucket("idle", "7", 0), bucket("idle", "+Inf", 0),
		bucket("a", "no number", 9), bucket("a", "NaN", 9), bucket("a", "-5", 9),
	} {
		h.add(series)
	}
	want := []analysis.Bucket{{UpperEdge: 10 * time.Millisecond, Count: 7}, {UpperEdge: analysis.Unbounded, Count: 10}}
	if diff := cmp.Diff(want, h.buckets()); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
}

func TestHistogram_ReadsEdgesExactly(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0.005": 5 * time.Millisecond, "0.1": 100 * time.Millisecond, "2.5": 2500 * time.Millisecond, "+Inf": math.MaxInt64, "0": 0,
	} {
		if got, ok := edgeOf(text, time.Second); got != want || !ok {
			t.Errorf("edge %s is %s, %t", text, got, ok)
		}
	}
	if edge, ok := edgeOf("1e300", time.Second); ok {
		t.Errorf("an edge that no duration can be is %s", edge)
	}
}
