package analysis_test

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// fuel makes numbers of bytes.
type fuel struct{ bytes []byte }

func (f *fuel) take(n int) []byte {
	taken := make([]byte, n)
	f.bytes = f.bytes[copy(taken, f.bytes):]
	return taken
}

// count is most often a plausible number, and now and then any at all.
func (f *fuel) count() float64 {
	kind := f.take(1)[0]
	switch {
	case kind < 200:
		return float64(kind)
	case kind < 230:
		return float64(binary.LittleEndian.Uint32(f.take(4)))
	case kind < 240:
		return 0
	default:
		return math.Float64frombits(binary.LittleEndian.Uint64(f.take(8)))
	}
}

func (f *fuel) counts() analysis.Counts {
	counts := analysis.Counts{Errors: f.count()}
	counts.Requests = counts.Errors + f.count()
	edges := int(f.take(1)[0]) % 30
	sum := 0.0
	for i := range edges {
		sum += f.count()
		edge := time.Duration(i) * time.Millisecond
		if i == edges-1 {
			edge = analysis.Unbounded
		}
		if f.take(1)[0] == 1 {
			edge = time.Duration(f.count())
		}
		counts.Buckets = append(counts.Buckets, analysis.Bucket{UpperEdge: edge, Count: sum})
	}
	return counts
}

func (f *fuel) block() *analysis.Block {
	flags := f.take(1)[0]
	block := &analysis.Block{
		From: epoch, At: epoch.Add(time.Duration(f.count()) * time.Millisecond),
		Straddles: flags&7 == 1, Paired: flags&8 == 0, Incumbent: f.counts(), Candidate: f.counts(),
	}
	for range flags >> 6 {
		block.Ratios = append(block.Ratios, analysis.RatioCounts{
			Incumbent: analysis.Tally{Total: f.count(), Bad: f.count()}, Candidate: analysis.Tally{Total: f.count(), Bad: f.count()}, Paired: flags&16 == 0,
		})
	}
	return block
}

// Whatever counters say: no panic, no number that is none, no verdict without data, and no Pass on too little of it.
func FuzzEngine(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a candidate is put on the scales and weighed against its incumbent, lock by lock, until one of them is found wanting"))
	seed := make([]byte, 4000)
	for i := range seed {
		seed[i] = byte(i * i >> 3)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, bytes []byte) {
		fuel := &fuel{bytes}
		criteria := parse(t, v1alpha1.Analysis{
			Errors:  &v1alpha1.ErrorAnalysis{IgnoreBelow: []string{"0", "0.1"}[fuel.take(1)[0]%2]},
			Latency: &v1alpha1.LatencyAnalysis{Threshold: []*metav1.Duration{nil, duration(10 * time.Millisecond), duration(time.Hour)}[fuel.take(1)[0]%3]},
			Metrics: []v1alpha1.Metric{
				{Name: "ratio", Ratio: &v1alpha1.RatioMetric{Bad: "b", Total: "t", SLO: []string{"", "95"}[fuel.take(1)[0]%2]}},
				{Name: "bound", DryRun: fuel.take(1)[0]%2 == 0, Threshold: &v1alpha1.ThresholdMetric{Query: "q", Max: "100"}},
			},
		})
		calibrator := analysis.NewCalibrator(criteria)
		for range fuel.take(1)[0] % 8 {
			calibrator.Add(fuel.block())
		}
		engine := analysis.NewEngine(criteria, calibrator.Past())
		if got := engine.Verdict(); got.Outcome != v1alpha1.OutcomeInconclusive || got.Evidence != 1 {
			t.Fatalf("a verdict from no data: %+v", got)
		}
		for len(fuel.bytes) > 0 {
			switch kind := fuel.take(1)[0]; {
			case kind < 16:
				engine.Enter(analysis.Stage{Share: fuel.count() / 100, Random: kind&1 == 0, Mirrored: kind&2 == 0})
			case kind < 24:
				engine.Observe(int(kind)-17, analysis.Sample{At: epoch.Add(time.Duration(fuel.count())), Value: fuel.count()})
			default:
				engine.Add(fuel.block(), kind%4 != 0)
			}
			checkVerdict(t, engine)
		}
	})
}

func checkVerdict(t *testing.T, engine *analysis.Engine) {
	t.Helper()
	verdict, seen := engine.Verdict(), engine.Stage()
	for _, number := range []float64{verdict.Evidence, seen.Candidate.Requests, seen.Candidate.Errors, seen.Incumbent.Requests, seen.Incumbent.Errors} {
		if math.IsNaN(number) || math.IsInf(number, 0) || number < 0 {
			t.Fatalf("no number: %+v of %+v", verdict, seen)
		}
	}
	if verdict.Message == "" {
		t.Fatalf("no reason: %+v", verdict)
	}
	if verdict.Outcome == v1alpha1.OutcomePass && seen.Candidate.Requests < 299 {
		t.Fatalf("a Pass with %v requests: %+v", seen.Candidate.Requests, verdict)
	}
	for _, metric := range verdict.Metrics {
		if !(metric.Progress >= 0 && metric.Progress <= 1) || metric.Message == "" {
			t.Fatalf("%+v", metric)
		}
	}
}
