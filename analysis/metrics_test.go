package analysis_test

import (
	"math"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// withRatio adds events of a ratio to a block.
func withRatio(world *world, block *analysis.Block, incumbent, candidate float64) *analysis.Block {
	tally := func(total, p float64) analysis.Tally {
		return analysis.Tally{Total: total, Bad: binomial(world.random, total, p)}
	}
	block.Ratios = []analysis.RatioCounts{{
		Paired: true, Incumbent: tally(block.Incumbent.Requests, incumbent), Candidate: tally(block.Candidate.Requests, candidate),
	}}
	return block
}

func TestEngine_WeighsRatiosAsErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		slo       string
		candidate float64
		dryRun    bool
		stage     analysis.Stage
		want      v1alpha1.Outcome
		told      v1alpha1.Outcome
	}{
		{"as before", "", 0.01, false, atFive, v1alpha1.OutcomePass, v1alpha1.OutcomePass},
		{"worse", "", 0.1, false, atFive, v1alpha1.OutcomeFail, v1alpha1.OutcomeFail},
		{"worse, reported only", "", 0.1, true, atFive, v1alpha1.OutcomePass, v1alpha1.OutcomeFail},
		{"nothing to compare with", "", 0.1, false, chosen, v1alpha1.OutcomePass, v1alpha1.OutcomeInconclusive},
		{"beyond its SLO", "95", 0.2, false, chosen, v1alpha1.OutcomeFail, v1alpha1.OutcomeFail},
		{"within its SLO", "95", 0.02, false, chosen, v1alpha1.OutcomePass, v1alpha1.OutcomePass},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			criteria := parse(t, v1alpha1.Analysis{
				Source: errorsOnly(), Metrics: []v1alpha1.Metric{{Name: "refused", DryRun: test.dryRun, Ratio: &v1alpha1.RatioMetric{Bad: "b", Total: "t", SLO: test.slo}}},
			})
			world := newWorld(1, 500, 0.05, track{failed: 0.001}, track{failed: 0.001})
			calibrator := analysis.NewCalibrator(criteria)
			for range 200 {
				calibrator.Add(withRatio(world, world.next(), 0.01, 0))
			}
			engine := analysis.NewEngine(criteria, calibrator.Past())
			engine.Enter(test.stage)
			for range 100 {
				engine.Add(withRatio(world, world.next(), 0.01, test.candidate), true)
			}
			verdict := engine.Verdict()
			if verdict.Outcome != test.want {
				t.Errorf("%s: %s", verdict.Outcome, verdict.Message)
			}
			if told := metric(t, verdict, "refused"); told.Outcome != test.told {
				t.Errorf("the ratio is told as %+v", told)
			}
		})
	}
}

// threshold makes an engine with one threshold metric, and enough requests for all else.
func threshold(t *testing.T, dryRun bool) (*analysis.Engine, func(value float64)) {
	t.Helper()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly(), Metrics: []v1alpha1.Metric{
		{Name: "queue", DryRun: dryRun, Threshold: &v1alpha1.ThresholdMetric{Query: "q", Min: "-1", Max: "10"}},
	}})
	world := newWorld(1, 500, 0.05, healthy, healthy)
	engine := analysis.NewEngine(criteria, world.past(criteria))
	outcome(engine, world, atFive, 60)
	at := epoch
	return engine, func(value float64) {
		at = at.Add(5 * time.Second)
		engine.Observe(0, analysis.Sample{At: at, Value: value})
	}
}

func TestEngine_TakesAThresholdSeveralTimesInARow(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for _, test := range []struct {
		name   string
		dryRun bool
		values []float64
		want   v1alpha1.Outcome
		told   string
	}{
		{"nothing", false, nil, v1alpha1.OutcomeInconclusive, "queue has no value yet: does its query yield one?"},
		{"no numbers", false, []float64{nan, nan, nan}, v1alpha1.OutcomeInconclusive, "queue has no value yet: does its query yield one?"},
		{"twice good", false, []float64{1, 10}, v1alpha1.OutcomeInconclusive, "queue is 10, from -1 to 10, 2 of 3 times in a row that are needed"},
		{"good", false, []float64{1, -1, nan, 10}, v1alpha1.OutcomePass, "queue is 10, from -1 to 10, 3 times in a row"},
		{"bad between", false, []float64{1, 1, 11, 1, 1}, v1alpha1.OutcomeInconclusive, "queue is 1, from -1 to 10, 2 of 3 times in a row that are needed"},
		{"twice bad", false, []float64{1, 1, 1, 1, 11, 12.5}, v1alpha1.OutcomeInconclusive, "queue is 12.5, above 10, 2 of 3 times in a row that convict"},
		{"bad", false, []float64{11, -2, math.Inf(1), 1, 1, 1, 1}, v1alpha1.OutcomeFail, "queue is +Inf, above 10, 3 times in a row"},
		{"bad, reported only", true, []float64{11, -1.5, -2, 1, 1, 1, 1}, v1alpha1.OutcomePass, "queue is -2, below -1, 3 times in a row"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			engine, observe := threshold(t, test.dryRun)
			for _, value := range test.values {
				observe(value)
			}
			verdict := engine.Verdict()
			if verdict.Outcome != test.want {
				t.Errorf("%s: %s", verdict.Outcome, verdict.Message)
			}
			if told := metric(t, verdict, "queue").Message; told != test.told {
				t.Errorf("it is told as %q, want %q", told, test.told)
			}
		})
	}
}

// A sample that is asked for again after a restart must not count twice.
func TestEngine_CountsASampleOnce(t *testing.T) {
	t.Parallel()
	engine, _ := threshold(t, false)
	for range 10 {
		engine.Observe(0, analysis.Sample{At: epoch, Value: 99})
	}
	if verdict := engine.Verdict(); verdict.Outcome == v1alpha1.OutcomeFail {
		t.Errorf("one sample convicts: %s", verdict.Message)
	}
	engine.Observe(1, analysis.Sample{At: epoch, Value: 99}) // there is none
	engine.Observe(-1, analysis.Sample{At: epoch, Value: 99})
}

func TestEngine_AsksThresholdsAnewInEachStep(t *testing.T) {
	t.Parallel()
	engine, observe := threshold(t, false)
	for range 3 {
		observe(1)
	}
	if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomePass {
		t.Fatalf("%s: %s", verdict.Outcome, verdict.Message)
	}
	engine.Enter(atFive)
	if told := metric(t, engine.Verdict(), "queue"); told.Outcome != v1alpha1.OutcomeInconclusive || told.Message != "queue has no value in this step yet" {
		t.Errorf("it is told as %+v", told)
	}
}
