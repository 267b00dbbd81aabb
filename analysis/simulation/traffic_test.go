package simulation_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
)

// service is an ordinary one.
func service() simulation.World {
	return simulation.World{Rate: 100, Scrape: 15 * time.Second, Errors: 0.01, Latency: simulation.LatencyOf(40*time.Millisecond, 300*time.Millisecond)}
}

// total adds up blocks of a stage, those that straddle its beginning left out.
func total(t *testing.T, world simulation.World, seed uint64, shares []float64, blocks int) analysis.Block {
	t.Helper()
	traffic := simulation.NewTraffic(world, rand.New(rand.NewPCG(seed, 7)))
	var sum analysis.Block
	for _, share := range shares {
		traffic.Enter(simulation.Stage{Share: share})
		sum = analysis.Block{}
		for range blocks {
			block := traffic.Next()
			if block.Straddles {
				continue
			}
			add(&sum.Incumbent, block.Incumbent)
			add(&sum.Candidate, block.Candidate)
		}
	}
	return sum
}

func add(sum *analysis.Counts, counts analysis.Counts) {
	sum.Requests += counts.Requests
	sum.Errors += counts.Errors
	if sum.Buckets == nil {
		sum.Buckets = append(sum.Buckets, counts.Buckets...)
		return
	}
	for i, bucket := range counts.Buckets {
		sum.Buckets[i].Count += bucket.Count
	}
}

// near holds a number of events against the mean of a binomial distribution, five deviations wide.
func near(t *testing.T, what string, got, n, p float64) {
	t.Helper()
	if math.Abs(got-n*p) > 5*math.Sqrt(n*p*(1-p))+1 {
		t.Errorf("%s: %v of %v, want a share of %v", what, got, n, p)
	}
}

func TestTraffic_IsThatOfItsWorld(t *testing.T) {
	t.Parallel()
	world := service()
	world.Candidate = simulation.Difference{Odds: simulation.OddsRatio(0.01, 0.05), Slower: 1.25}
	got := total(t, world, 1, []float64{0.25}, 400)
	all := got.Incumbent.Requests + got.Candidate.Requests
	if want := 100 * 15 * 400.0; math.Abs(all-want) > 5*math.Sqrt(want) {
		t.Errorf("%v requests, want about %v", all, want)
	}
	near(t, "the candidate's share", got.Candidate.Requests, all, 0.25)
	near(t, "the incumbent's errors", got.Incumbent.Errors, got.Incumbent.Requests, 0.01)
	near(t, "the candidate's errors", got.Candidate.Errors, got.Candidate.Requests, 0.05)
	for i, bucket := range got.Candidate.Buckets {
		near(t, "the candidate's "+bucket.UpperEdge.String(), bucket.Count, got.Candidate.Requests, 1-world.Latency.Slower(bucket.UpperEdge, 1.25))
		near(t, "the incumbent's "+bucket.UpperEdge.String(), got.Incumbent.Buckets[i].Count, got.Incumbent.Requests, 1-world.Latency.Slower(bucket.UpperEdge, 1))
	}
}

func TestTraffic_HasOneAndNineOfTenPercentBelowItsPercentile(t *testing.T) {
	t.Parallel()
	latency := simulation.LatencyOf(40*time.Millisecond, 300*time.Millisecond)
	for edge, want := range map[time.Duration]float64{40 * time.Millisecond: 0.5, 300 * time.Millisecond: 0.01} {
		if got := latency.Slower(edge, 1); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v of the requests take longer than %s, want %v", got, edge, want)
		}
	}
}

func TestTraffic_IsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	world := service()
	world.Bursts = &simulation.Bursts{Pods: 20, Every: 10 * time.Minute, Length: 10 * time.Second, Errors: 0.2}
	world.Incident = &simulation.Incident{Errors: 0.1, Within: time.Minute, Length: time.Minute}
	world.Straddle = true
	a, b := total(t, world, 5, []float64{0.05, 0.5}, 30), total(t, world, 5, []float64{0.05, 0.5}, 30)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("the second time differs: %s", diff)
	}
	if c := total(t, world, 6, []float64{0.05, 0.5}, 30); cmp.Equal(a, c) {
		t.Error("another seed makes the same traffic")
	}
}

func TestTraffic_SharesIncidentsBetweenTheTracks(t *testing.T) {
	t.Parallel()
	world := service()
	world.Incident = &simulation.Incident{Errors: 0.1, Within: time.Minute, Length: 2 * time.Minute}
	var candidate, incumbent, candidateErrors, incumbentErrors float64
	for seed := range uint64(40) {
		got := total(t, world, seed, []float64{0.2}, 20)
		candidate, incumbent = candidate+got.Candidate.Requests, incumbent+got.Incumbent.Requests
		candidateErrors, incumbentErrors = candidateErrors+got.Candidate.Errors, incumbentErrors+got.Incumbent.Errors
	}
	want := 0.01 + 0.4*0.1*0.99 // two of five minutes
	near(t, "the incumbent's errors", incumbentErrors, incumbent, want)
	near(t, "the candidate's errors", candidateErrors, candidate, want)
}

func TestTraffic_LetsBurstsHitEachPodAlike(t *testing.T) {
	t.Parallel()
	world := service()
	world.Errors = 0
	world.Bursts = &simulation.Bursts{Pods: 20, Every: 10 * time.Minute, Length: 10 * time.Second, Errors: 0.2}
	got := total(t, world, 9, []float64{0.25}, 20_000)
	rate := func(c analysis.Counts) float64 { return c.Errors / c.Requests }
	want := 0.2 / 60.0
	for track, counts := range map[string]analysis.Counts{"incumbent": got.Incumbent, "candidate": got.Candidate} {
		if math.Abs(rate(counts)/want-1) > 0.1 {
			t.Errorf("the %s has an error rate of %v, want about %v", track, rate(counts), want)
		}
	}
}

func TestTraffic_SlowsOnlyTheCandidateWhenItStarts(t *testing.T) {
	t.Parallel()
	world := service()
	world.ColdStart = &simulation.ColdStart{Slower: 3, For: 45 * time.Second}
	slow := func(counts analysis.Counts) float64 {
		return 1 - counts.Buckets[6].Count/counts.Requests // 100 ms
	}
	cold := total(t, world, 3, []float64{0.5, 0.5}, 1)
	if slow(cold.Candidate) < 1.5*slow(cold.Incumbent) {
		t.Errorf("the share above 100 ms is %v of the candidate's and %v of the incumbent's", slow(cold.Candidate), slow(cold.Incumbent))
	}
	traffic := simulation.NewTraffic(world, rand.New(rand.NewPCG(3, 3)))
	traffic.Enter(simulation.Stage{Share: 0.5})
	for range 3 {
		traffic.Next()
	}
	warm := traffic.Next()
	near(t, "slow requests after the cold start", warm.Candidate.Requests-warm.Candidate.Buckets[6].Count, warm.Candidate.Requests, world.Latency.Slower(100*time.Millisecond, 1))
}

func TestTraffic_SaysWhatABlockIs(t *testing.T) {
	t.Parallel()
	world := service()
	world.Straddle, world.Lag = true, 10*time.Second
	traffic := simulation.NewTraffic(world, rand.New(rand.NewPCG(3, 3)))
	before := traffic.Next()
	if before.Candidate.Requests != 0 || before.Straddles {
		t.Errorf("before the rollout the candidate has %v requests, and straddling is %t", before.Candidate.Requests, before.Straddles)
	}
	traffic.Enter(simulation.Stage{Share: 0.5})
	first := *traffic.Next()
	if !first.Straddles || first.Paired || first.At.Sub(first.From) != world.Scrape+world.Lag {
		t.Errorf("the first block straddles: %t, is paired: %t, and is %s long", first.Straddles, first.Paired, first.At.Sub(first.From))
	}
	if spent := traffic.Stage(); spent <= 0 || spent > world.Scrape {
		t.Errorf("with the first block the stage has lasted for %s", spent)
	}
	if traffic.Next().Straddles {
		t.Error("the second block straddles too")
	}
}

func TestTraffic_TakesItsTimeToDiffer(t *testing.T) {
	t.Parallel()
	world := service()
	world.Candidate = simulation.Difference{Odds: simulation.OddsRatio(0.01, 0.2), Stage: 1}
	healthy := total(t, world, 4, []float64{0.5}, 50)
	near(t, "errors in the first stage", healthy.Candidate.Errors, healthy.Candidate.Requests, 0.01)
	ill := total(t, world, 4, []float64{0.5, 0.5}, 50)
	near(t, "errors in the second stage", ill.Candidate.Errors, ill.Candidate.Requests, 0.2)
}

func TestTraffic_MirrorsWithoutTakingFromTheIncumbent(t *testing.T) {
	t.Parallel()
	traffic := simulation.NewTraffic(service(), rand.New(rand.NewPCG(2, 2)))
	traffic.Enter(simulation.Stage{Share: 0.5, Mirrored: true})
	var sum analysis.Block
	for range 100 {
		block := traffic.Next()
		add(&sum.Incumbent, block.Incumbent)
		add(&sum.Candidate, block.Candidate)
	}
	for track, got := range map[float64]float64{1: sum.Incumbent.Requests, 0.5: sum.Candidate.Requests} {
		if want := 100 * 15 * 100 * track; math.Abs(got-want) > 5*math.Sqrt(want) {
			t.Errorf("%v requests, want about %v", got, want)
		}
	}
}
