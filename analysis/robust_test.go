package analysis_test

import (
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// A controller that was restarted replays the same blocks, and asks at other moments.
func TestEngine_ComesToTheSameVerdictFromTheSameBlocks(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	run := func(every int) (told []analysis.Verdict) {
		world := newWorld(5, 200, 0.05, healthy, track{0.003, 21, 0.7})
		engine := analysis.NewEngine(criteria, world.past(criteria))
		n := 0
		for _, share := range []float64{0.05, 0.3} {
			world.share = share
			engine.Enter(analysis.Stage{Share: share, Random: true})
			for range 60 {
				engine.Add(world.next(), true)
				if n++; n%every == 0 {
					engine.Verdict()
				}
				if n%30 == 0 {
					told = append(told, engine.Verdict())
				}
			}
		}
		return told
	}
	if often, seldom := run(1), run(30); !reflect.DeepEqual(often, seldom) {
		t.Errorf("asked often: %+v\nasked seldom: %+v", often, seldom)
	}
}

// Blocks that are pooled anyway may come in pieces.
func TestEngine_PoolsSmallBlocks(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
	whole, pieces := analysis.NewEngine(criteria, analysis.Past{}), analysis.NewEngine(criteria, analysis.Past{})
	whole.Enter(atFive)
	pieces.Enter(atFive)
	at := epoch
	add := func(engine *analysis.Engine, candidate, incumbent analysis.Counts) {
		engine.Add(&analysis.Block{From: at, At: at.Add(15 * time.Second), Paired: true, Candidate: candidate, Incumbent: incumbent}, true)
	}
	for i := range 40 {
		bad := float64(i % 2)
		add(whole, analysis.Counts{Requests: 3, Errors: bad}, analysis.Counts{Requests: 57, Errors: 2})
		add(pieces, analysis.Counts{Requests: 1}, analysis.Counts{Requests: 19, Errors: 1})
		add(pieces, analysis.Counts{}, analysis.Counts{Requests: 19})
		add(pieces, analysis.Counts{Requests: 2, Errors: bad}, analysis.Counts{Requests: 19, Errors: 1})
		at = at.Add(15 * time.Second)
		if a, b := whole.Verdict(), pieces.Verdict(); a.Evidence != b.Evidence || a.Message != b.Message {
			t.Fatalf("after %d blocks the evidence is %v in one piece and %v in three:\n%s\n%s", i+1, a.Evidence, b.Evidence, a.Message, b.Message)
		}
	}
	if evidence := whole.Verdict().Evidence; evidence < 1.5 {
		t.Errorf("the evidence is %v: nothing was weighed", evidence)
	}
}

func TestEngine_LeavesOutBlocksThatStraddleTheBegin(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
	world := newWorld(1, 1000, 0.05, healthy, track{failed: 0.9})
	engine := analysis.NewEngine(criteria, analysis.Past{})
	engine.Enter(atFive)
	for range 20 {
		block := world.next()
		block.Straddles = true
		engine.Add(block, true)
	}
	verdict := engine.Verdict()
	if verdict.Outcome != v1alpha1.OutcomeInconclusive || verdict.Evidence != 1 || verdict.Blocks != 0 || engine.Stage().Candidate.Requests != 0 {
		t.Errorf("%+v, having seen %+v", verdict, engine.Stage())
	}
}

func TestEngine_SkipsWhatNoCounterCanHaveSaid(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for _, counts := range []analysis.Counts{
		{Requests: 10, Errors: 11},
		{Requests: nan},
		{Requests: math.Inf(1), Errors: math.Inf(1)},
		{Requests: -1},
		{Requests: 10, Errors: nan},
		{Requests: 1e18, Errors: 1e18},
	} {
		engine := analysis.NewEngine(parse(t, v1alpha1.Analysis{}), analysis.Past{})
		engine.Enter(atFive)
		for range 5 {
			engine.Add(&analysis.Block{Candidate: counts, Incumbent: analysis.Counts{Requests: 1000}}, true)
			engine.Add(&analysis.Block{Incumbent: counts, Candidate: analysis.Counts{Requests: 1000}}, true)
		}
		verdict := engine.Verdict()
		if verdict.Evidence != 1 || engine.Stage().Candidate.Requests != 0 || !strings.Contains(verdict.Message, "10 scrapes were left out") {
			t.Errorf("%+v: evidence %v, %s", counts, verdict.Evidence, verdict.Message)
		}
	}
}

func TestEngine_SkipsHistogramsThatFall(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	world := newWorld(1, 500, 0.05, healthy, track{0.001, 2000, 0.7})
	engine := analysis.NewEngine(criteria, world.past(criteria))
	engine.Enter(atFive)
	for i := range 20 {
		block := world.next()
		if i%2 == 0 {
			block.Candidate.Buckets[5].Count = block.Candidate.Requests + 1
		} else {
			block.Candidate.Buckets = block.Candidate.Buckets[:len(block.Candidate.Buckets)-1]
		}
		engine.Add(block, true)
	}
	if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomeInconclusive || !strings.Contains(verdict.Message, "20 scrapes were left out") {
		t.Errorf("%s: %s", verdict.Outcome, verdict.Message)
	}
}

// without removes an edge from both tracks' histograms.
func without(block *analysis.Block, index int) *analysis.Block {
	for _, counts := range []*analysis.Counts{&block.Incumbent, &block.Candidate} {
		counts.Buckets = append(append([]analysis.Bucket(nil), counts.Buckets[:index]...), counts.Buckets[index+1:]...)
	}
	return block
}

// A program with fewer edges may take over in the middle of a step, or between the past and the rollout.
func TestEngine_GoesOnWithTheEdgesThatAreLeft(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	for _, test := range []struct {
		candidate track
		want      v1alpha1.Outcome
	}{{healthy, v1alpha1.OutcomePass}, {track{0.001, 60, 0.7}, v1alpha1.OutcomeFail}} {
		for _, from := range []int{0, 3} {
			world := newWorld(3, 500, 0.05, healthy, test.candidate)
			engine := analysis.NewEngine(criteria, world.past(criteria))
			engine.Enter(atFive)
			for i := range 60 {
				block := world.next()
				if i >= from {
					block = without(block, 5) // 50 ms
				}
				engine.Add(block, true)
			}
			if verdict := engine.Verdict(); verdict.Outcome != test.want {
				t.Errorf("the edge goes in scrape %d: %s: %s", from, verdict.Outcome, verdict.Message)
			}
		}
	}
}

// A service that has no past yet is learned in the rollout's first blocks.
func TestEngine_LearnsLatencyWithoutAPast(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	tight := track{0.001, 20, 0.3}
	for _, test := range []struct {
		candidate track
		fails     bool
	}{{track{0.001, 21, 0.3}, false}, {track{0.001, 40, 0.3}, true}} {
		failed := 0
		for seed := range uint64(20) {
			world := newWorld(seed, 100, 0.05, tight, test.candidate)
			engine := analysis.NewEngine(criteria, analysis.Past{})
			if outcome(engine, world, atFive, 60).Outcome == v1alpha1.OutcomeFail {
				failed++
			}
		}
		if (test.fails && failed < 20) || (!test.fails && failed > 1) {
			t.Errorf("%v convicted %d of 20 times", test.candidate, failed)
		}
	}
}

func TestEngine_StageIsACopy(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	world := newWorld(1, 100, 0.05, healthy, healthy)
	engine := analysis.NewEngine(criteria, analysis.Past{})
	engine.Enter(atFive)
	first := world.next()
	engine.Add(first, true)
	seen := engine.Stage()
	if !reflect.DeepEqual(seen, analysis.Measurement{Incumbent: first.Incumbent, Candidate: first.Candidate, Since: first.From, Latest: first.At}) {
		t.Errorf("one block is told as %+v", seen)
	}
	kept := seen.Incumbent.Buckets[8].Count
	second := world.next()
	engine.Add(second, true)
	if seen.Incumbent.Buckets[8].Count != kept {
		t.Error("what was told changed")
	}
	if got, want := engine.Stage().Incumbent.Buckets[8].Count, kept+second.Incumbent.Buckets[8].Count; got != want {
		t.Errorf("two blocks have %v requests within an edge, want %v", got, want)
	}
	engine.Enter(atFive)
	if got := engine.Stage(); !reflect.DeepEqual(got, analysis.Measurement{}) {
		t.Errorf("a new stage has seen %+v", got)
	}
}

func TestEngine_AllocatesNothingInTheSteadyState(t *testing.T) {
	criteria := parse(t, v1alpha1.Analysis{
		Errors:  &v1alpha1.ErrorAnalysis{IgnoreBelow: "0.01"},
		Metrics: []v1alpha1.Metric{{Name: "refused", Ratio: &v1alpha1.RatioMetric{Bad: "b", Total: "t"}}},
	})
	world := newWorld(1, 100, 0.05, healthy, healthy)
	engine := analysis.NewEngine(criteria, world.past(criteria))
	engine.Enter(atFive)
	blocks := make([]*analysis.Block, 200)
	for i := range blocks {
		blocks[i] = withRatio(world, world.next(), 0.01, 0.01)
	}
	i := 0
	engine.Add(blocks[0], true)
	if allocated := testing.AllocsPerRun(len(blocks), func() {
		engine.Add(blocks[i%len(blocks)], true)
		i++
	}); allocated != 0 {
		t.Errorf("each block allocates %v times", allocated)
	}
}

// A hundred thousand blocks must leave no more behind than a hundred do.
func TestEngine_TakesLittleMemory(t *testing.T) {
	criteria := parse(t, v1alpha1.Analysis{})
	world := newWorld(1, 100, 0.05, healthy, track{0.0005, 18, 0.7})
	past := world.past(criteria)
	blocks := make([]*analysis.Block, 100)
	for i := range blocks {
		blocks[i] = world.next()
	}
	const engines = 200
	kept := make([]*analysis.Engine, engines)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range kept {
		kept[i] = analysis.NewEngine(criteria, past)
		kept[i].Enter(atFive)
		for _, block := range blocks {
			kept[i].Add(block, true)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / engines
	runtime.KeepAlive(kept)
	t.Logf("%.0f bytes for each engine", each)
	if each > 32<<10 {
		t.Errorf("an engine takes %.0f bytes", each)
	}
}

// A service whose histogram was changed since is as one without a past.
func TestEngine_LearnsLatencyAnewWhereTheEdgesChanged(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{})
	shifted := func(block *analysis.Block) *analysis.Block {
		for _, counts := range []*analysis.Counts{&block.Incumbent, &block.Candidate} {
			for i := range counts.Buckets[:len(counts.Buckets)-1] {
				counts.Buckets[i].UpperEdge++
			}
		}
		return block
	}
	world := newWorld(1, 500, 0.05, healthy, track{0.001, 60, 0.7})
	calibrator := analysis.NewCalibrator(criteria)
	for range 100 {
		calibrator.Add(world.next())
	}
	engine := analysis.NewEngine(criteria, calibrator.Past())
	engine.Enter(atFive)
	for range 40 {
		engine.Add(shifted(world.next()), true)
	}
	if verdict := engine.Verdict(); verdict.Outcome != v1alpha1.OutcomeFail {
		t.Errorf("%s: %s", verdict.Outcome, verdict.Message)
	}
}
