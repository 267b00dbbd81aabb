package analysis_test

import (
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// counted makes a block of requests and errors.
func counted(candidate, failed, incumbent, incumbentFailed float64) *analysis.Block {
	return &analysis.Block{
		From: epoch, At: epoch.Add(15 * time.Second), Paired: true,
		Candidate: analysis.Counts{Requests: candidate, Errors: failed}, Incumbent: analysis.Counts{Requests: incumbent, Errors: incumbentFailed},
	}
}

func TestEngine_NeverConvictsByOneScrape(t *testing.T) {
	t.Parallel()
	for _, source := range []*v1alpha1.MetricSource{nil, errorsOnly()} {
		engine := analysis.NewEngine(parse(t, v1alpha1.Analysis{Source: source}), analysis.Past{})
		engine.Enter(atFive)
		engine.Add(counted(50_000, 50_000, 950_000, 10), true)
		if verdict := engine.Verdict(); verdict.Outcome == v1alpha1.OutcomeFail || verdict.Evidence < 2 {
			t.Errorf("one scrape: evidence %v, %s: %s", verdict.Evidence, verdict.Outcome, verdict.Message)
		}
		engine.Add(counted(50_000, 50_000, 950_000, 10), true)
		if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomeFail {
			t.Errorf("two scrapes: evidence %v, %s: %s", verdict.Evidence, verdict.Outcome, verdict.Message)
		}
	}
}

// What waits for more requests when a step ends is weighed before the next one.
func TestEngine_WeighsTheRestOfAStep(t *testing.T) {
	t.Parallel()
	engine := analysis.NewEngine(parse(t, v1alpha1.Analysis{Source: errorsOnly()}), analysis.Past{})
	engine.Enter(atFive)
	engine.Add(counted(2, 2, 30, 0), true)
	if verdict := engine.Verdict(); verdict.Evidence != 1 {
		t.Fatalf("too little to be weighed, and the evidence is %v", verdict.Evidence)
	}
	engine.Enter(analysis.Stage{Share: 0.5, Random: true})
	if verdict := engine.Verdict(); verdict.Evidence < 1.2 {
		t.Errorf("the evidence of the rest is lost: %v", verdict.Evidence)
	}
	if seen := engine.Stage().Candidate.Requests; seen != 0 {
		t.Errorf("the new step begins with %v requests", seen)
	}
}

// What is ignored is no harm, even where the SLO is stricter: then it must not be in the way of a Pass.
func TestEngine_PassesWhatIsIgnoredBeyondTheSLO(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly(), Errors: &v1alpha1.ErrorAnalysis{SLO: "99.9", IgnoreBelow: "2"}})
	world := newWorld(1, 500, 0.2, track{failed: 0.001}, track{failed: 0.006})
	engine := analysis.NewEngine(criteria, world.past(criteria))
	if verdict := outcome(engine, world, analysis.Stage{Share: 0.2, Random: true}, 60); verdict.Outcome != v1alpha1.OutcomePass {
		t.Errorf("%s: %s", verdict.Outcome, verdict.Message)
	}
}

// A margin above 2 says that so much is no harm.
func TestEngine_PassesWhatIsWithinAWideMargin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		margin string
		want   v1alpha1.Outcome
	}{{"5", v1alpha1.OutcomePass}, {"1.25", v1alpha1.OutcomeFail}} {
		criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly(), Errors: &v1alpha1.ErrorAnalysis{Margin: test.margin}})
		world := newWorld(1, 500, 0.2, track{failed: 0.02}, track{failed: 0.05})
		engine := analysis.NewEngine(criteria, world.past(criteria))
		if verdict := outcome(engine, world, analysis.Stage{Share: 0.2, Random: true}, 100); verdict.Outcome != test.want {
			t.Errorf("two and a half times the errors with a margin of %s: %s: %s", test.margin, verdict.Outcome, verdict.Message)
		}
	}
}

// Bad weather in the past makes for more requests that a Pass needs.
func TestEngine_NeedsMoreRequestsWhereErrorsComeInBursts(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
	fewest := func(burst float64) float64 {
		calibrator := analysis.NewCalibrator(criteria)
		for i := range 200 {
			calibrator.Add(counted(0, 0, 1000, 5+burst*float64(i%2)))
		}
		engine := analysis.NewEngine(criteria, calibrator.Past())
		engine.Enter(analysis.Stage{Share: 0.5, Random: true})
		for range 10_000 {
			engine.Add(counted(10, 0, 10, 1), true)
			if engine.Verdict().Outcome == v1alpha1.OutcomePass {
				break
			}
		}
		return engine.Stage().Candidate.Requests
	}
	if calm, stormy := fewest(0), fewest(30); calm < 299 || stormy < 19*calm {
		t.Errorf("a Pass takes %v requests after a calm past, and %v after one of bursts", calm, stormy)
	}
}

// What was safe in one step is shown anew in the next.
func TestEngine_AsksAnewInEachStepWhetherErrorsAreSafe(t *testing.T) {
	t.Parallel()
	engine := analysis.NewEngine(parse(t, v1alpha1.Analysis{Source: errorsOnly()}), analysis.Past{})
	half := analysis.Stage{Share: 0.5, Random: true}
	engine.Enter(half)
	for range 100 {
		engine.Add(counted(100, 0, 100, 1), true)
	}
	if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomePass {
		t.Fatalf("%s: %s", verdict.Outcome, verdict.Message)
	}
	engine.Enter(half)
	engine.Add(counted(300, 3, 300, 3), true)
	if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomeInconclusive {
		t.Errorf("%s: %s", verdict.Outcome, verdict.Message)
	}
}

// A few requests at a time must not use up what a late regression needs.
func TestEngine_PoolsChosenRequestsToo(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
	whole, pieces := analysis.NewEngine(criteria, analysis.Past{}), analysis.NewEngine(criteria, analysis.Past{})
	whole.Enter(chosen)
	pieces.Enter(chosen)
	for i := range 40 {
		bad := float64(i % 2)
		whole.Add(counted(3, bad, 0, 0), true)
		pieces.Add(counted(1, 0, 0, 0), true)
		pieces.Add(counted(0, 0, 5, 0), true)
		pieces.Add(counted(2, bad, 0, 0), true)
		if a, b := whole.Verdict().Evidence, pieces.Verdict().Evidence; a != b {
			t.Fatalf("after %d blocks the evidence is %v in one piece and %v in three", i+1, a, b)
		}
	}
}

// A quantile that lies between the same two edges as the threshold can't be told from it: no guess makes it pass.
func TestEngine_PassesLatencyByTheEdgeBelowTheThreshold(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{Threshold: duration(70 * time.Millisecond)}})
	for _, test := range []struct {
		slow float64
		want v1alpha1.Outcome
	}{{0, v1alpha1.OutcomePass}, {15, v1alpha1.OutcomeInconclusive}} {
		engine := analysis.NewEngine(criteria, analysis.Past{})
		engine.Enter(atWhole)
		at := epoch
		for range 40 {
			at = at.Add(15 * time.Second)
			engine.Add(steady{candidate: 500, slow: test.slow}.block(at), true)
		}
		if verdict := engine.Verdict(); verdict.Outcome != test.want {
			t.Errorf("%v of 500 take from 50 to 100 ms: %s: %s", test.slow, verdict.Outcome, verdict.Message)
		}
	}
}

// Where nothing was known of the incumbent when the edges were chosen, a latency that differs a little must not convict.
func TestEngine_IsCautiousWhereTheIncumbentIsUnknown(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{Threshold: duration(time.Second)}})
	convicted := 0
	for seed := range uint64(10) {
		world := newWorld(seed, 200, 1, track{}, track{0.001, 21, 0.3})
		engine := analysis.NewEngine(criteria, analysis.Past{})
		outcome(engine, world, atWhole, 3)
		world.incumbent = track{0.001, 20, 0.3}
		if verdict := outcome(engine, world, analysis.Stage{Share: 0.5, Random: true}, 60); verdict.Outcome == v1alpha1.OutcomeFail {
			convicted++
		}
	}
	if convicted > 0 {
		t.Errorf("5%% slower convicted %d of 10 times", convicted)
	}
}
