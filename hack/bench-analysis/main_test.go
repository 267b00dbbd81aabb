package main

import (
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
)

// A broken engine must not wait for somebody to run the whole benchmark.
func TestBench_MeetsTheGoalsOfAFewWorlds(t *testing.T) {
	t.Setenv("QUICK", "1")
	t.Setenv("SEED", "20261123")
	var out strings.Builder
	if err := bench(&out, io.Discard); err != nil {
		t.Errorf("%v:\n%s", err, out.String())
	}
	for _, want := range []string{"Seed 20261123;", "errors 0.1% to 5%", "Wald's limit", "| Kayenta |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}

func TestBench_RefusesSettingsThatMakeNoSense(t *testing.T) {
	for name, value := range map[string]string{"SEED": "one", "RUNS": "0"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			if err := bench(io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s leads to %v", name, value, err)
			}
		})
	}
}

func TestLimit_IsWaldsExpectedNumber(t *testing.T) {
	for to, want := range map[float64]float64{0.01: 327.4, 0.05: 31.2, 0.5: 1.7} {
		if got := limit(0.001, to); math.Abs(got-want) > 0.1 {
			t.Errorf("from 0.1%% to %v it is %.1f requests, want %v", to, got, want)
		}
	}
}

// The lower bound is where scipy's mannwhitneyu(experiment - shift, control, alternative="greater", method="asymptotic", use_continuity=False) crosses 1%:
// between -1.5 and -1.45.
func TestShift_IsThatOfHodgesAndLehmann(t *testing.T) {
	control := []float64{1.1, 2.2, 3.3, 4.4, 5.5, 6.6, 7.7, 8.8}
	experiment := []float64{4, 5, 6, 7, 8, 9, 10, 11}
	estimate, lower := shift(control, experiment)
	if math.Abs(estimate-2.55) > 0.06 || lower < -1.5-1e-9 || lower > -1.45 {
		t.Errorf("the shift is %.2f, from %.2f on", estimate, lower)
	}
	if high(control, experiment) {
		t.Error("a shift that can be chance is High")
	}
	for i := range experiment {
		experiment[i] += 20
	}
	if !high(control, experiment) {
		t.Error("a shift of all values is not High")
	}
	if high(control, control) || high(nil, experiment) || high(control, nil) {
		t.Error("the same data, or none, are High")
	}
}

// fed makes a judge look at minutes with these counts of the candidate, and returns its decisions.
func fed(judge simulation.Judge, minutes []analysis.Counts) []simulation.Decision {
	var decisions []simulation.Decision
	judge.Enter(simulation.Stage{Share: 0.05})
	at := time.Unix(0, 0)
	for i, counts := range minutes {
		at = at.Add(time.Minute)
		block := analysis.Block{Candidate: counts, Incumbent: counts, At: at}
		decisions = append(decisions, judge.Weigh(&block, time.Duration(i+1)*time.Minute, true))
	}
	return decisions
}

func counts(requests, errors float64) analysis.Counts {
	return analysis.Counts{Requests: requests, Errors: errors, Buckets: []analysis.Bucket{{UpperEdge: 100 * time.Millisecond, Count: requests}, {UpperEdge: analysis.Unbounded, Count: requests}}}
}

func TestFlagger_RollsBackAtTheLookAfterTheFifthFailure(t *testing.T) {
	ill := counts(300, 30)
	got := fed(newFlagger(), []analysis.Counts{counts(300, 0), ill, ill, counts(0, 0), ill, ill, ill})
	want := []simulation.Decision{simulation.Advance, simulation.Wait, simulation.Wait, simulation.Wait, simulation.Wait, simulation.Wait, simulation.Rollback}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("minute %d: decision %d, want %d", i+1, got[i], want[i])
		}
	}
}

func TestArgo_RollsBackWithTheThirdFailure(t *testing.T) {
	ill := counts(300, 30)
	minutes := make([]analysis.Counts, 15)
	for i := range minutes {
		minutes[i] = ill
	}
	for i, decision := range fed(newArgo(), minutes) {
		want := simulation.Wait
		switch i + 1 {
		case 10:
			want = simulation.Advance // its pause is over, with two failures
		case 15:
			want = simulation.Rollback
		}
		if decision != want {
			t.Errorf("minute %d: decision %d, want %d", i+1, decision, want)
		}
	}
}
