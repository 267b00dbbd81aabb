package analysis_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// healthy is a service as most are: one error in a thousand, a median of 20 ms, a p99 of about 100 ms.
var healthy = track{failed: 0.001, median: 20, sd: 0.7}

// convictions runs many rollouts, and returns the sorted times until Fail and how many never came to it.
func convictions(t *testing.T, runs int, criteria *analysis.Criteria, begin func(seed uint64) *world, step time.Duration, shares ...float64) ([]time.Duration, int) {
	t.Helper()
	var times []time.Duration
	for seed := range runs {
		world := begin(uint64(seed))
		past := world.past(criteria)
		verdict, after := world.rollout(analysis.NewEngine(criteria, past), step, shares...)
		if verdict.Outcome == v1alpha1.OutcomeFail {
			times = append(times, after)
		}
	}
	slices.Sort(times)
	return times, runs - len(times)
}

// The goals of the simulation, on a few seeds: a broken engine is found here.
func TestEngine_ConvictsWhatIsWorse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		candidate track
		interval  time.Duration
		median    time.Duration
	}{
		{"1% errors", track{0.01, 20, 0.7}, 15 * time.Second, 165 * time.Second},
		{"5% errors", track{0.05, 20, 0.7}, 15 * time.Second, 60 * time.Second},
		{"50% errors", track{0.5, 20, 0.7}, 15 * time.Second, 30 * time.Second},
		{"5% errors by the second", track{0.05, 20, 0.7}, time.Second, 16 * time.Second},
		{"50% errors by the second", track{0.5, 20, 0.7}, time.Second, 4 * time.Second},
		{"a quarter slower", track{0.001, 25, 0.7}, 15 * time.Second, 450 * time.Second},
		{"twice as slow", track{0.001, 40, 0.7}, 15 * time.Second, 110 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			times, missed := convictions(t, 25, parse(t, v1alpha1.Analysis{}), func(seed uint64) *world {
				world := newWorld(seed+100, 100, 0.05, healthy, test.candidate)
				world.interval = test.interval
				return world
			}, 20*time.Minute, 0.05, 0.05)
			if missed > 0 {
				t.Fatalf("%d were missed", missed)
			}
			if median := times[len(times)/2]; median > test.median {
				t.Errorf("the median time to Fail is %s, want at most %s", median, test.median)
			}
		})
	}
}

func TestEngine_LeavesGoodReleasesAlone(t *testing.T) {
	t.Parallel()
	tight := track{0.001, 20, 0.3}
	for _, test := range []struct {
		name                 string
		rps                  float64
		incumbent, candidate track
	}{
		{"nothing differs", 100, healthy, healthy},
		{"little traffic", 2, healthy, healthy},
		{"hardly any traffic", 0.2, healthy, healthy},
		{"5% slower", 100, healthy, track{0.001, 21, 0.7}},
		{"5% slower where latency is tight", 100, tight, track{0.001, 21, 0.3}},
		{"15% more errors", 100, healthy, track{0.00115, 20, 0.7}},
		{"both miss the SLO", 100, track{0.05, 20, 0.7}, track{0.05, 20, 0.7}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			times, _ := convictions(t, 100, parse(t, v1alpha1.Analysis{}), func(seed uint64) *world {
				return newWorld(seed+500, test.rps, 0.05, test.incumbent, test.candidate)
			}, 5*time.Minute, 0.05, 0.1, 0.25, 0.5)
			if len(times) > 3 {
				t.Errorf("%d of 100 good releases were rolled back", len(times))
			}
		})
	}
}

// A regression that comes late must not be drowned by the healthy time before.
func TestEngine_FindsWhatComesLate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name            string
		rps             float64
		before, regress track
		atMost          time.Duration
	}{
		{"1% to 5% errors", 1000, track{0.01, 20, 0.7}, track{0.05, 20, 0.7}, 90 * time.Second},
		{"a quarter slower", 100, healthy, track{0.001, 25, 0.7}, 150 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			criteria := parse(t, v1alpha1.Analysis{})
			var times []time.Duration
			for seed := range uint64(15) {
				world := newWorld(seed, test.rps, 0.05, test.before, test.before)
				engine := analysis.NewEngine(criteria, world.past(criteria))
				if verdict, _ := world.rollout(engine, 5*time.Minute, 0.05, 0.1, 0.25); verdict.Outcome == v1alpha1.OutcomeFail {
					t.Fatalf("convicted before: %s", verdict.Message)
				}
				world.candidate = test.regress
				verdict, after := world.rollout(engine, 20*time.Minute, 0.5, 0.5)
				if verdict.Outcome != v1alpha1.OutcomeFail {
					t.Fatalf("missed: %s", verdict.Message)
				}
				times = append(times, after)
			}
			slices.Sort(times)
			if median := times[len(times)/2]; median > test.atMost {
				t.Errorf("the median time to Fail is %s, want at most %s", median, test.atMost)
			}
		})
	}
}

// What hits both tracks alike tells nothing of the candidate, whatever the SLO.
func TestEngine_DoesNotConvictInSharedTrouble(t *testing.T) {
	t.Parallel()
	for _, failed := range []float64{0.03, 0.1, 0.9} {
		for _, share := range []float64{0.05, 0.5} {
			t.Run(fmt.Sprint(failed, " at ", share), func(t *testing.T) {
				t.Parallel()
				criteria, convicted := parse(t, v1alpha1.Analysis{}), 0
				for seed := range uint64(50) {
					world := newWorld(seed, 100, share, healthy, healthy)
					engine := analysis.NewEngine(criteria, world.past(criteria))
					engine.Enter(analysis.Stage{Share: share, Random: true})
					for i := range 40 {
						world.incumbent.failed, world.candidate.failed = healthy.failed, healthy.failed
						if i >= 8 && i < 24 {
							world.incumbent.failed, world.candidate.failed = failed, failed
						}
						engine.Add(world.next(), true)
					}
					if engine.Verdict().Outcome == v1alpha1.OutcomeFail {
						convicted++
					}
				}
				if convicted > 1 {
					t.Errorf("%d of 50 were convicted in a shared incident", convicted)
				}
			})
		}
	}
}

// flapping yields a dependency that fails for some seconds now and then, and tracks that are counted at other moments.
func flapping(t *testing.T, seed uint64, paired bool) analysis.Verdict {
	t.Helper()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
	world := newWorld(seed, 200, 0.05, healthy, healthy)
	calibrator := analysis.NewCalibrator(criteria)
	trouble := func() float64 {
		if world.random.Float64() < 0.2 {
			return 0.3
		}
		return healthy.failed
	}
	for range 240 {
		world.incumbent.failed = trouble()
		calibrator.Add(world.next())
	}
	engine := analysis.NewEngine(criteria, calibrator.Past())
	engine.Enter(analysis.Stage{Share: 0.05, Random: true})
	for range 400 {
		world.incumbent.failed, world.candidate.failed = trouble(), trouble()
		block := world.next()
		block.Paired = paired
		engine.Add(block, true)
	}
	return engine.Verdict()
}

func TestEngine_MakesNoBetsWhereTracksAreCountedAtOtherMoments(t *testing.T) {
	t.Parallel()
	var apart, taken int
	for seed := range uint64(20) {
		if flapping(t, seed, false).Outcome == v1alpha1.OutcomeFail {
			apart++
		}
		if flapping(t, seed, true).Outcome == v1alpha1.OutcomeFail {
			taken++
		}
	}
	if apart > 1 {
		t.Errorf("a dependency that flaps convicted %d of 20", apart)
	}
	if taken < 10 {
		t.Errorf("the same taken for counted together convicts %d of 20 only: the test shows nothing", taken)
	}
}

// Errors that come in bursts on either track must not be taken for more than chance: the past tells how they come.
func TestEngine_LearnsFromThePastHowErrorsCome(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, knows bool) bool {
		criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
		world := newWorld(seed, 200, 0.5, healthy, healthy)
		burst := func() float64 { return world.random.ExpFloat64() * 0.03 }
		calibrator := analysis.NewCalibrator(criteria)
		for range 240 {
			world.incumbent.failed = burst()
			calibrator.Add(world.next())
		}
		past := analysis.Past{}
		if knows {
			past = calibrator.Past()
		}
		engine := analysis.NewEngine(criteria, past)
		engine.Enter(analysis.Stage{Share: 0.5, Random: true})
		for range 100 {
			world.incumbent.failed, world.candidate.failed = burst(), burst()
			block := world.next()
			block.Paired = false // the bets stand bursts by themselves
			engine.Add(block, true)
		}
		return engine.Verdict().Outcome == v1alpha1.OutcomeFail
	}
	var known, unknown int
	for seed := range uint64(20) {
		if run(seed, true) {
			known++
		}
		if run(seed, false) {
			unknown++
		}
	}
	if known > 1 || unknown < 5 {
		t.Errorf("convicted %d of 20 with the past known, and %d without it; want at most 1, and at least 5", known, unknown)
	}
}
