package analysis_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

var (
	atFive  = analysis.Stage{Share: 0.05, Random: true}
	chosen  = analysis.Stage{}
	atWhole = analysis.Stage{Share: 1, Random: true}
)

// outcome lets an engine see so many blocks in a stage, and returns the verdict at the end or when it is Fail.
func outcome(engine *analysis.Engine, world *world, stage analysis.Stage, blocks int) analysis.Verdict {
	world.share = stage.Share
	engine.Enter(stage)
	for range blocks {
		engine.Add(world.next(), true)
	}
	return engine.Verdict()
}

func metric(t *testing.T, verdict analysis.Verdict, name string) analysis.MetricVerdict {
	t.Helper()
	for _, metric := range verdict.Metrics {
		if metric.Name == name {
			return metric
		}
	}
	t.Fatalf("nothing is said of %s", name)
	return analysis.MetricVerdict{}
}

func TestEngine_PassesAGoodReleaseInEachStep(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	world := newWorld(3, 500, 0.05, healthy, healthy)
	engine := analysis.NewEngine(criteria, world.past(criteria))
	for _, share := range []float64{0.05, 0.25, 0.5, 1} {
		stage := analysis.Stage{Share: share, Random: true}
		engine.Enter(stage)
		if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomeInconclusive {
			t.Fatalf("at %v: %s before anything was seen: what was safe before must be shown anew", share, verdict.Outcome)
		}
		if verdict := outcome(engine, world, stage, 40); verdict.Outcome != v1alpha1.OutcomePass {
			t.Fatalf("at %v: %s: %s", share, verdict.Outcome, verdict.Message)
		}
	}
}

// 298 requests without an error are seen once in twenty times even at the rate that misses the SLO.
func TestEngine_NeverPassesOnFewRequests(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
	for seed := range uint64(40) {
		world := newWorld(seed, 40, 0.3, track{failed: 0.02}, track{})
		world.interval = time.Second
		engine := analysis.NewEngine(criteria, analysis.Past{})
		engine.Enter(analysis.Stage{Share: 0.3, Random: true})
		for range 200 {
			engine.Add(world.next(), true)
			if requests := engine.Stage().Candidate.Requests; engine.Verdict().Outcome == v1alpha1.OutcomePass && requests < 299 {
				t.Fatalf("passes after %v requests", requests)
			}
		}
		if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomePass {
			t.Fatalf("%s: %s", verdict.Outcome, verdict.Message)
		}
	}
}

// At the boundary, 1.6 times the margin and an SLO that is just missed, a Pass is seen in 5% of all steps at most.
func TestEngine_SeldomPassesAtTheBoundary(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly(), Errors: &v1alpha1.ErrorAnalysis{Margin: "5"}})
	passed := 0
	const runs = 400
	for seed := range uint64(runs) {
		world := newWorld(seed, 100, 0.2, track{failed: 0.0101 / 8}, track{failed: 0.0101})
		engine := analysis.NewEngine(criteria, analysis.Past{})
		if verdict, _ := world.rollout(engine, 30*time.Minute, 0.2); verdict.Outcome == v1alpha1.OutcomePass {
			passed++
		}
	}
	if limit := 0.05*runs + 3*math.Sqrt(0.05*0.95*runs); float64(passed) > limit {
		t.Errorf("%d of %d pass, want at most %.0f", passed, runs, limit)
	}
}

func TestEngine_HoldsChosenRequestsAgainstTheSLOAlone(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	// Chosen tenants with ten times the errors of the others, but within the SLO: that is how they are.
	tenants := newWorld(1, 100, 0.05, track{0.0002, 20, 0.7}, track{0.002, 60, 0.7})
	engine := analysis.NewEngine(criteria, tenants.past(criteria))
	tenants.share = 0.05
	engine.Enter(chosen)
	for range 100 {
		engine.Add(tenants.next(), true)
	}
	if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomePass {
		t.Errorf("tenants within the SLO: %s: %s", verdict.Outcome, verdict.Message)
	}
	broken := newWorld(1, 100, 0.05, healthy, track{0.05, 20, 0.7})
	engine = analysis.NewEngine(criteria, broken.past(criteria))
	engine.Enter(chosen)
	for range 30 {
		engine.Add(broken.next(), true)
	}
	verdict := engine.Verdict()
	if verdict.Outcome != v1alpha1.OutcomeFail || !strings.Contains(verdict.Message, "more than the 1% that the SLO of 99% allows") {
		t.Errorf("tenants far beyond the SLO: %s: %s", verdict.Outcome, verdict.Message)
	}
}

func TestEngine_HoldsAllTrafficAgainstTheSLO(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	world := newWorld(1, 100, 1, healthy, track{0.05, 20, 0.7})
	engine := analysis.NewEngine(criteria, world.past(criteria))
	if verdict := outcome(engine, world, atWhole, 20); verdict.Outcome != v1alpha1.OutcomeFail {
		t.Errorf("5%% errors with nothing to compare with: %s: %s", verdict.Outcome, verdict.Message)
	}
	world = newWorld(1, 100, 1, healthy, track{0.001, 2000, 0.7})
	engine = analysis.NewEngine(criteria, world.past(criteria))
	if verdict := outcome(engine, world, atWhole, 20); verdict.Outcome != v1alpha1.OutcomePass {
		t.Errorf("latency without a threshold, with nothing to compare with, has nothing to say: %s: %s", verdict.Outcome, verdict.Message)
	}
}

func TestEngine_HoldsLatencyAgainstItsThreshold(t *testing.T) {
	t.Parallel()
	slow := v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{Quantile: "p95", Threshold: duration(100 * time.Millisecond)}}
	criteria := parse(t, slow)
	for _, test := range []struct {
		name   string
		median float64
		want   v1alpha1.Outcome
	}{{"within", 20, v1alpha1.OutcomePass}, {"beyond", 80, v1alpha1.OutcomeFail}} {
		world := newWorld(1, 100, 1, healthy, track{0.001, test.median, 0.7})
		engine := analysis.NewEngine(criteria, world.past(criteria))
		if verdict := outcome(engine, world, atWhole, 20); verdict.Outcome != test.want {
			t.Errorf("%s: %s: %s", test.name, verdict.Outcome, verdict.Message)
		}
	}
	// Both beyond the threshold: a candidate that is no slower is not rolled back for it, and not held up either.
	world := newWorld(1, 100, 0.5, track{0.001, 80, 0.7}, track{0.001, 80, 0.7})
	engine := analysis.NewEngine(criteria, world.past(criteria))
	if verdict := outcome(engine, world, analysis.Stage{Share: 0.5, Random: true}, 40); verdict.Outcome != v1alpha1.OutcomePass {
		t.Errorf("both beyond: %s: %s", verdict.Outcome, verdict.Message)
	}
}

// A threshold that no edge can tell must not let anything pass by mistake.
func TestEngine_PassesNothingBelowTheFirstEdge(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{Threshold: duration(100 * time.Microsecond)}})
	fast := track{0.001, 0.01, 0.5}
	world := newWorld(1, 100, 1, fast, fast)
	engine := analysis.NewEngine(criteria, world.past(criteria))
	engine.Enter(atWhole)
	for range 60 {
		engine.Add(world.next(), true)
		if verdict := engine.Verdict(); verdict.Outcome == v1alpha1.OutcomePass {
			t.Fatalf("%s: %s", verdict.Outcome, verdict.Message)
		}
	}
	if told := metric(t, engine.Verdict(), "latency").Message; !strings.Contains(told, "below the histogram's first edge") {
		t.Errorf("latency is told as %q", told)
	}
}

func TestEngine_IgnoresWhatIsNoHarm(t *testing.T) {
	t.Parallel()
	run := func(ignoreBelow string, failed float64) v1alpha1.Outcome {
		criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly(), Errors: &v1alpha1.ErrorAnalysis{IgnoreBelow: ignoreBelow}})
		world := newWorld(2, 500, 0.2, track{failed: 0.0001}, track{failed: failed})
		engine := analysis.NewEngine(criteria, world.past(criteria))
		return outcome(engine, world, analysis.Stage{Share: 0.2, Random: true}, 60).Outcome
	}
	if got := run("0", 0.001); got != v1alpha1.OutcomeFail {
		t.Errorf("ten times the errors: %s, want Fail", got)
	}
	if got := run("0.2", 0.001); got != v1alpha1.OutcomePass {
		t.Errorf("ten times the errors, but fewer than are harm: %s, want Pass", got)
	}
	if got := run("0.2", 0.02); got != v1alpha1.OutcomeFail {
		t.Errorf("more errors than are ignored: %s, want Fail", got)
	}
}

func TestEngine_LeavesLatencyOutWhilePodsAreCold(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	run := func(warm bool) analysis.Verdict {
		world := newWorld(1, 100, 0.05, healthy, track{0.001, 200, 0.7})
		engine := analysis.NewEngine(criteria, world.past(criteria))
		engine.Enter(atFive)
		for range 60 {
			engine.Add(world.next(), warm)
		}
		return engine.Verdict()
	}
	if verdict := run(true); verdict.Outcome != v1alpha1.OutcomeFail {
		t.Fatalf("ten times as slow: %s", verdict.Message)
	}
	verdict := run(false)
	if verdict.Outcome != v1alpha1.OutcomeInconclusive || !strings.Contains(verdict.Message, "once the candidate's pods have been ready for 1m0s") {
		t.Errorf("ten times as slow while cold: %s: %s", verdict.Outcome, verdict.Message)
	}
}

func TestEngine_ReportsADryRunOnly(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{DryRun: true}, Latency: &v1alpha1.LatencyAnalysis{}})
	world := newWorld(1, 200, 0.05, healthy, track{0.2, 20, 0.7})
	engine := analysis.NewEngine(criteria, world.past(criteria))
	verdict := outcome(engine, world, atFive, 60)
	if verdict.Outcome != v1alpha1.OutcomePass {
		t.Errorf("%s: %s", verdict.Outcome, verdict.Message)
	}
	if told := metric(t, verdict, "errors"); told.Outcome != v1alpha1.OutcomeFail || !told.DryRun || !strings.Contains(told.Message, "would convict") {
		t.Errorf("errors are told as %+v", told)
	}
	world.candidate.median = 60
	if verdict := outcome(engine, world, atFive, 60); verdict.Outcome != v1alpha1.OutcomeFail {
		t.Errorf("three times as slow: %s: %s", verdict.Outcome, verdict.Message)
	}
}

func TestEngine_FindsACandidateThatGetsNoTraffic(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
	for _, test := range []struct {
		name  string
		share float64
		stage analysis.Stage
		pass  bool
	}{
		{"as asked", 0.2, analysis.Stage{Share: 0.2, Random: true}, true},
		{"within a quarter", 0.24, analysis.Stage{Share: 0.2, Random: true}, true},
		{"nothing", 0, analysis.Stage{Share: 0.2, Random: true}, false},
		{"a third of it", 0.07, analysis.Stage{Share: 0.2, Random: true}, false},
		{"twice as much", 0.4, analysis.Stage{Share: 0.2, Random: true}, false},
		{"chosen by what they are", 0.4, analysis.Stage{Share: 0.2}, true},
	} {
		world := newWorld(1, 100, test.share, healthy, healthy)
		engine := analysis.NewEngine(criteria, world.past(criteria))
		engine.Enter(test.stage)
		for range 80 {
			engine.Add(world.next(), true)
		}
		verdict := engine.Verdict()
		if passed := verdict.Outcome == v1alpha1.OutcomePass; passed != test.pass {
			t.Errorf("%s: %s: %s", test.name, verdict.Outcome, verdict.Message)
		}
		if !test.pass && !strings.Contains(verdict.Message, "20% was asked for") {
			t.Errorf("%s: it says %q, and nothing of what was asked for", test.name, verdict.Message)
		}
	}
}

// While a mesh takes a step's traffic the first scrape still shows the one before.
func TestEngine_GivesTheMeshAScrapeToTakeTheTraffic(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
	world := newWorld(1, 1000, 0.5, healthy, healthy)
	engine := analysis.NewEngine(criteria, world.past(criteria))
	engine.Enter(atFive)
	world.share = 0.5
	engine.Add(world.next(), true)
	world.share = 0.05
	for range 20 {
		engine.Add(world.next(), true)
	}
	if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomePass {
		t.Errorf("%s: %s", verdict.Outcome, verdict.Message)
	}
}

func TestEngine_TakesCopiesAsTheyCome(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	stage := analysis.Stage{Share: 0.5, Random: true, Mirrored: true}
	for _, test := range []struct {
		candidate track
		want      v1alpha1.Outcome
	}{{healthy, v1alpha1.OutcomePass}, {track{0.05, 20, 0.7}, v1alpha1.OutcomeFail}, {track{0.001, 40, 0.7}, v1alpha1.OutcomeFail}} {
		world := newWorld(1, 100, 0.5, healthy, test.candidate)
		world.mirrored = true
		engine := analysis.NewEngine(criteria, world.past(criteria))
		verdict := outcome(engine, world, stage, 40)
		if verdict.Outcome != test.want || !engine.Stage().Mirrored {
			t.Errorf("%v: %s: %s", test.candidate, verdict.Outcome, verdict.Message)
		}
	}
}

func TestEngine_KeepsAFail(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	world := newWorld(1, 200, 0.05, healthy, track{0.3, 20, 0.7})
	engine := analysis.NewEngine(criteria, world.past(criteria))
	failed := outcome(engine, world, atFive, 20)
	world.candidate = healthy
	after := outcome(engine, world, analysis.Stage{Share: 0.5, Random: true}, 500)
	if failed.Outcome != v1alpha1.OutcomeFail || after.Outcome != v1alpha1.OutcomeFail || after.Message != failed.Message {
		t.Errorf("first %s: %s; then %s: %s", failed.Outcome, failed.Message, after.Outcome, after.Message)
	}
}
