package analysis_test

import (
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestMetrics_SayWhatWasMeasuredOfBothTracks(t *testing.T) {
	t.Parallel()
	median := v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{Quantile: "p50", Threshold: duration(50 * time.Millisecond)}}
	type texts struct{ candidate, incumbent string }
	for _, test := range []struct {
		name            string
		spec            v1alpha1.Analysis
		stage           analysis.Stage
		blocks          []steady
		warm            bool
		errors, latency texts
	}{
		{"nothing", v1alpha1.Analysis{}, atFive, nil, true, texts{}, texts{}},
		{"both", v1alpha1.Analysis{}, atFive, times(4, steady{50, 0, 1, 950, 1, 19}), true, texts{"0%", "0.11%"}, texts{"p99 75 ms", "p99 75 ms"}},
		{"slower", v1alpha1.Analysis{}, atFive, times(2, steady{50, 1, 10, 950, 1, 1}), true, texts{"2%", "0.11%"}, texts{"p99 97.5 ms", "p99 24.9 ms"}},
		{"another quantile", median, atFive, times(2, steady{50, 0, 0, 950, 0, 950}), true, texts{"0%", "0%"}, texts{"p50 17.5 ms", "p50 75 ms"}},
		{"the incumbent alone", v1alpha1.Analysis{}, atFive, times(2, steady{incumbent: 950}), true, texts{"", "0%"}, texts{"", "p99 24.9 ms"}},
		{"the candidate alone", v1alpha1.Analysis{}, chosen, times(2, steady{candidate: 50}), true, texts{"0%", ""}, texts{"p99 24.9 ms", ""}},
		{"not warm yet", v1alpha1.Analysis{}, atFive, times(2, steady{50, 0, 10, 950, 1, 1}), false, texts{"0%", "0.11%"}, texts{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			engine, at := taught(t, test.spec)
			engine.Enter(test.stage)
			for _, steady := range test.blocks {
				at = at.Add(15 * time.Second)
				engine.Add(steady.block(at), test.warm)
			}
			for name, want := range map[string]texts{"errors": test.errors, "latency": test.latency} {
				if told := metric(t, engine.Verdict(), name); told.Candidate != want.candidate || told.Incumbent != want.incumbent {
					t.Errorf("%s: the candidate's is %q and the incumbent's %q, want %q and %q", name, told.Candidate, told.Incumbent, want.candidate, want.incumbent)
				}
			}
		})
	}
}

// taught is an engine that knows a past, and when that ends.
func taught(t *testing.T, spec v1alpha1.Analysis) (*analysis.Engine, time.Time) {
	t.Helper()
	criteria, at := parse(t, spec), epoch
	calibrator := analysis.NewCalibrator(criteria)
	for range 40 {
		at = at.Add(15 * time.Second)
		calibrator.Add(steady{50, 0, 1, 950, 1, 19}.block(at))
	}
	return analysis.NewEngine(criteria, calibrator.Past()), at
}

func TestMetrics_AreMeasuredAnewInEachStep(t *testing.T) {
	t.Parallel()
	engine, at := taught(t, v1alpha1.Analysis{})
	engine.Enter(atFive)
	engine.Add(steady{50, 1, 1, 950, 1, 19}.block(at.Add(15*time.Second)), true)
	engine.Enter(atFive)
	for _, name := range []string{"errors", "latency"} {
		if told := metric(t, engine.Verdict(), name); told.Candidate != "" || told.Incumbent != "" {
			t.Errorf("%s of the step before is told: %q and %q", name, told.Candidate, told.Incumbent)
		}
	}
	engine.Add(steady{50, 2, 1, 950, 1, 19}.block(at.Add(30*time.Second)), true)
	if told := metric(t, engine.Verdict(), "errors"); told.Candidate != "4%" {
		t.Errorf("the candidate's error rate is told as %q", told.Candidate)
	}
}

// What convicted must stay to be read.
func TestMetrics_KeepWhatWasMeasuredWhenTheCandidateFails(t *testing.T) {
	t.Parallel()
	engine, at := taught(t, v1alpha1.Analysis{})
	engine.Enter(atFive)
	for range 10 {
		at = at.Add(15 * time.Second)
		engine.Add(steady{50, 5, 1, 950, 1, 19}.block(at), true)
	}
	verdict := engine.Verdict()
	if told := metric(t, verdict, "errors"); verdict.Outcome != v1alpha1.OutcomeFail || told.Candidate != "10%" || told.Incumbent != "0.11%" {
		t.Errorf("%s, and the error rates are %q and %q", verdict.Outcome, told.Candidate, told.Incumbent)
	}
}

func TestMetrics_TellRatiosAndThresholds(t *testing.T) {
	t.Parallel()
	engine, observe := threshold(t, false)
	if told := metric(t, engine.Verdict(), "queue"); told.Candidate != "" {
		t.Errorf("before there is a value, %q is told", told.Candidate)
	}
	observe(3.25)
	if told := metric(t, engine.Verdict(), "queue"); told.Candidate != "3.25" || told.Incumbent != "" {
		t.Errorf("told are %q and %q", told.Candidate, told.Incumbent)
	}
	engine.Enter(atFive)
	if told := metric(t, engine.Verdict(), "queue"); told.Candidate != "" {
		t.Errorf("the value of the step before is told: %q", told.Candidate)
	}
	for _, value := range []float64{11, 11, 12} {
		observe(value)
	}
	if told := metric(t, engine.Verdict(), "queue"); told.Candidate != "12" {
		t.Errorf("the value that convicts is told as %q", told.Candidate)
	}

	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly(), Metrics: []v1alpha1.Metric{
		{Name: "refused", Ratio: &v1alpha1.RatioMetric{Bad: "b", Total: "t"}},
	}})
	engine = analysis.NewEngine(criteria, analysis.NewCalibrator(criteria).Past())
	engine.Enter(atFive)
	block := steady{candidate: 50, incumbent: 950}.block(epoch)
	block.Ratios = []analysis.RatioCounts{{Paired: true, Candidate: analysis.Tally{Total: 40, Bad: 1}, Incumbent: analysis.Tally{Total: 800, Bad: 1}}}
	engine.Add(block, true)
	if told := metric(t, engine.Verdict(), "refused"); told.Candidate != "2.5%" || told.Incumbent != "0.12%" {
		t.Errorf("told are %q and %q", told.Candidate, told.Incumbent)
	}
}
