package analysis_test

import (
	"math"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// meanEvidence simulates rollouts, and returns the mean of E at their ends and its standard error. E at a Fail is that of the Fail.
func meanEvidence(t *testing.T, runs int, spec v1alpha1.Analysis, begin func(seed uint64) *world) (mean, deviation float64) {
	t.Helper()
	criteria := parse(t, spec)
	var sum, squares float64
	for seed := range runs {
		world := begin(uint64(seed))
		engine := analysis.NewEngine(criteria, analysis.Past{})
		var verdict analysis.Verdict
		for _, share := range []float64{0.05, 0.3, 1} {
			world.share = share
			engine.Enter(analysis.Stage{Share: share, Random: true})
			for range 12 {
				engine.Add(world.next(), true)
			}
		}
		verdict = engine.Verdict()
		sum += verdict.Evidence
		squares += verdict.Evidence * verdict.Evidence
	}
	n := float64(runs)
	mean = sum / n
	return mean, math.Sqrt(max(0, squares/n-mean*mean) / n)
}

// E must have a mean of at most 1 as long as the candidate is no worse than the margin: that is all that its error rate rests on.
func TestEngine_HasEvidenceOfMeanOneAtMost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                 string
		rps                  float64
		incumbent, candidate track
		spec                 v1alpha1.Analysis
	}{
		{"nothing differs", 30, track{failed: 0.01}, track{failed: 0.01}, v1alpha1.Analysis{Source: errorsOnly()}},
		{"at the margin", 30, track{failed: 0.008}, track{failed: 0.00998}, v1alpha1.Analysis{Source: errorsOnly()}},
		{"at the margin, thinly", 3, track{failed: 0.2}, track{failed: 0.238}, v1alpha1.Analysis{Source: errorsOnly(), Errors: &v1alpha1.ErrorAnalysis{SLO: "75"}}},
		{"latency too", 30, track{0.01, 20, 0.7}, track{0.01, 20, 0.7}, v1alpha1.Analysis{}},
		{"at a limit below which nothing is harm", 30, track{}, track{failed: 0.01}, v1alpha1.Analysis{Source: errorsOnly(), Errors: &v1alpha1.ErrorAnalysis{IgnoreBelow: "1"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			mean, deviation := meanEvidence(t, 1500, test.spec, func(seed uint64) *world {
				return newWorld(seed+9000, test.rps, 0.05, test.incumbent, test.candidate)
			})
			t.Logf("mean %.3f, standard error %.3f", mean, deviation)
			if mean > 1+4*deviation {
				t.Errorf("the mean of the evidence is %v with a standard error of %v, want at most 1", mean, deviation)
			}
		})
	}
}

// How blocks are cut decides when a verdict comes, and hardly which.
func TestEngine_HardlyMindsHowBlocksAreCut(t *testing.T) {
	t.Parallel()
	criteria := parse(t, v1alpha1.Analysis{Source: errorsOnly()})
	for _, candidate := range []track{{failed: 0.001}, {failed: 0.03}} {
		for seed := range uint64(10) {
			var outcomes []v1alpha1.Outcome
			for _, every := range []int{1, 5, 15} {
				world := newWorld(seed, 200, 0.2, track{failed: 0.001}, candidate)
				world.interval = time.Second
				engine := analysis.NewEngine(criteria, analysis.Past{})
				engine.Enter(analysis.Stage{Share: 0.2, Random: true})
				whole := analysis.Block{Paired: true}
				for i := range 600 {
					block := world.next()
					if i%every == 0 {
						whole.From = block.From
					}
					whole.At = block.At
					whole.Candidate.Requests += block.Candidate.Requests
					whole.Candidate.Errors += block.Candidate.Errors
					whole.Incumbent.Requests += block.Incumbent.Requests
					whole.Incumbent.Errors += block.Incumbent.Errors
					if (i+1)%every == 0 {
						engine.Add(&whole, true)
						whole = analysis.Block{Paired: true}
					}
				}
				outcomes = append(outcomes, engine.Verdict().Outcome)
			}
			if outcomes[0] != outcomes[1] || outcomes[1] != outcomes[2] {
				t.Errorf("%v, seed %d: blocks of 1, 5 and 15 s end in %v", candidate, seed, outcomes)
			}
		}
	}
}
