package eprocess_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// rounding is what a sum of probabilities may be off.
const rounding = 1e-12

// bets are the shares that are bet.
var bets = []float64{.03, .1, .2, .4, .6, .8, .95}

// each calls with every table that the margins of a grid allow, and its ln probability under psi, by a recurrence of the test's own.
func each(t eprocess.Table, psi float64, call func(table eprocess.Table, logProbability float64)) {
	least, most := max(0, t.Bad-t.Incumbent), min(t.Bad, t.Candidate)
	logs := make([]float64, most-least+1)
	step := func(k int64) float64 {
		return math.Log(psi * float64(t.Candidate-k) * float64(t.Bad-k) / (float64(k+1) * float64(t.Incumbent-t.Bad+k+1)))
	}
	// From the mode outwards, so that what matters is small and loses nothing.
	mode := least
	for mode < most && step(mode) > 0 {
		mode++
	}
	for k := mode; k < most; k++ {
		logs[k+1-least] = logs[k-least] + step(k)
	}
	for k := mode; k > least; k-- {
		logs[k-1-least] = logs[k-least] - step(k-1)
	}
	total := eprocess.LogSumExp(logs...)
	for k := least; k <= most; k++ {
		t.BadCandidate = k
		call(t, logs[k-least]-total)
	}
}

func grid() []eprocess.Table {
	var tables []eprocess.Table
	for _, candidate := range []int64{1, 4, 30, 75} {
		for _, incumbent := range []int64{1, 7, 90, 1425} {
			for _, bad := range []int64{1, 2, 9, 40, candidate, incumbent, candidate + incumbent - 1} {
				if bad < candidate+incumbent {
					tables = append(tables, eprocess.Table{Candidate: candidate, Incumbent: incumbent, Bad: bad})
				}
			}
		}
	}
	// One above which the sum's normaliser is a series.
	return append(tables, eprocess.Table{Candidate: 5000, Incumbent: 6000, Bad: 4000})
}

// meanOf is the mean of a factor's e^log under psi.
func meanOf(margins eprocess.Table, psi float64, factor func(eprocess.Table) float64) float64 {
	var mean float64
	each(margins, psi, func(table eprocess.Table, logProbability float64) {
		mean += math.Exp(logProbability + factor(table))
	})
	return mean
}

func TestOdds_IsNoEvidenceOnAverageUnlessTheOddsRatioIsAbove(t *testing.T) {
	for _, psi0 := range []float64{1, 1.25, 3} {
		odds, into := harm(psi0), make([]float64, len(gains))
		for _, margins := range grid() {
			for _, phi := range []float64{1, 1.5, 3} {
				for _, limit := range []float64{0.5, 3, math.Inf(1)} {
					for _, psi := range []float64{psi0, psi0 / 1.1, psi0 / 8} {
						means := make([]float64, len(gains))
						each(margins, psi, func(table eprocess.Table, logProbability float64) {
							odds.LogRatios(table, into)
							for i := range means {
								means[i] += math.Exp(logProbability + min(limit, into[i]/phi))
							}
						})
						if mean := slices.Max(means); mean > 1+rounding {
							t.Fatalf("%+v at %g: one against %g (phi %g, cap %g) has a mean of 1%+.2g", margins, psi, psi0, phi, limit, mean-1)
						}
					}
				}
			}
		}
	}
}

func TestOdds_HasAMeanOfOneAtTheBoundary(t *testing.T) {
	for _, psi0 := range []float64{0.4, 1, 1.25, 3} {
		for _, margins := range grid() {
			for _, psi := range []float64{0.3, 2 * psi0, 20 * psi0} {
				mean := meanOf(margins, psi0, func(table eprocess.Table) float64 { return eprocess.LogRatio(table, psi, psi0) })
				if !same(mean, 1, 10*rounding) {
					t.Fatalf("%+v: %g against %g has a mean of 1%+.2g", margins, psi, psi0, mean-1)
				}
			}
		}
	}
}

func TestLogRatio_IsNoEvidenceOfSafetyOnAverageFromTheBoundaryOn(t *testing.T) {
	for _, margins := range grid() {
		for _, psi := range []float64{2, 2.5, 10, 300} {
			for _, phi := range []float64{1, 1.5, 3} {
				mean := meanOf(margins, psi, func(table eprocess.Table) float64 { return eprocess.LogRatio(table, 1, 2) / phi })
				if mean > 1+rounding {
					t.Fatalf("%+v: 1 against 2 has a mean of 1%+.2g at %g", margins, mean-1, psi)
				}
			}
		}
	}
}

func TestLogBet_IsNoEvidenceOnAverageUnlessTheOddsRatioIsAbove(t *testing.T) {
	for _, psi0 := range []float64{0.5, 1, 1.25, 3} {
		for _, margins := range grid() {
			for _, psi := range []float64{psi0, psi0 / 1.1, psi0 / 8} {
				for _, c := range bets {
					mean := meanOf(margins, psi, func(table eprocess.Table) float64 { return eprocess.LogBet(table, c, psi0) })
					if mean > 1+rounding {
						t.Fatalf("%+v: a bet of %g against %g has a mean of 1%+.2g at %g", margins, c, psi0, mean-1, psi)
					}
				}
			}
		}
	}
}

func TestLogBet_HasAMeanOfOneForASingleBadRequest(t *testing.T) {
	margins := eprocess.Table{Candidate: 75, Incumbent: 1425, Bad: 1}
	for _, c := range bets {
		mean := meanOf(margins, 1.25, func(table eprocess.Table) float64 { return eprocess.LogBet(table, c, 1.25) })
		if !same(mean, 1, rounding) {
			t.Errorf("a bet of %g has a mean of 1%+.2g, so that nothing could be won", c, mean-1)
		}
	}
}

// meanOver is the mean of e^log of a number of bad ones among n, under p.
func meanOver(n int64, p float64, log func(bad int64) float64) float64 {
	logs := make([]float64, n+1)
	for k := range n {
		logs[k+1] = logs[k] + math.Log(float64(n-k)/float64(k+1)) + math.Log(p/(1-p))
	}
	total := eprocess.LogSumExp(logs...)
	var mean float64
	for k, probability := range logs {
		mean += math.Exp(probability - total + log(int64(k)))
	}
	return mean
}

func TestLogBinomial_IsNoEvidenceOnAverageUpToTheBoundary(t *testing.T) {
	for _, n := range []int64{1, 5, 50, 300} {
		for _, p0 := range []float64{0.001, 0.01, 0.2} {
			for _, p1 := range []float64{1.25 * p0, 3 * p0} {
				for _, phi := range []float64{1, 1.5, 3} {
					for _, p := range []float64{p0, 0.9 * p0, 0.1 * p0} {
						mean := meanOver(n, p, func(bad int64) float64 { return min(3, eprocess.LogBinomial(bad, n, p1, p0)/phi) })
						if mean > 1+rounding {
							t.Errorf("%g against %g over %d has a mean of 1%+.2g at %g", p1, p0, n, mean-1, p)
						}
					}
				}
			}
		}
	}
}

func TestLogBelow_IsNoEvidenceOnAverageFromTheBoundaryOn(t *testing.T) {
	for n := int64(1); n <= 300; n++ {
		for _, p0 := range []float64{0.005, 0.01, 0.02, 0.1, 0.5} {
			log := func(bad int64) float64 { return eprocess.LogBelow(float64(bad), float64(n), p0, 0.5, 10) }
			if mean := meanOver(n, p0, log); !same(mean, 1, 1e-11) {
				t.Fatalf("below %g over %d has a mean of 1%+.2g at the boundary", p0, n, mean-1)
			}
			for _, p := range []float64{1.02 * p0, 1.5 * p0} {
				if mean := meanOver(n, p, log); mean > 1+rounding {
					t.Fatalf("below %g over %d has a mean of 1%+.2g at %g", p0, n, mean-1, p)
				}
			}
		}
	}
}

func TestLogShare_HasAMeanOfOneUnderWhatItSpeaksAgainst(t *testing.T) {
	for _, n := range []int64{1, 7, 60, 300} {
		for _, p := range []float64{0.01, 0.05, 0.5, 0.9} {
			mean := meanOver(n, p, func(part int64) float64 { return eprocess.LogShare(float64(part), float64(n), p) })
			if !same(mean, 1, 1e-11) {
				t.Errorf("against %g over %d it has a mean of 1%+.2g", p, n, mean-1)
			}
		}
	}
}

func TestLogOutside_IsNoEvidenceOnAverageWithin(t *testing.T) {
	const least, most = 0.04, 0.0625
	for _, n := range []int64{1, 7, 60, 300} {
		for _, p := range []float64{least, 0.05, most} {
			mean := meanOver(n, p, func(part int64) float64 { return eprocess.LogOutside(float64(part), float64(n), least, most) })
			if mean > 1+rounding {
				t.Errorf("outside of %g to %g over %d has a mean of 1%+.2g at %g", least, most, n, mean-1, p)
			}
		}
	}
}

func TestLogOutside_GoesByTheNearerEdge(t *testing.T) {
	for _, part := range []float64{0, 3, 39, 40, 50, 62, 63, 100, 1000} {
		want := min(eprocess.LogShare(part, 1000, 0.04), eprocess.LogShare(part, 1000, 0.0625))
		inside := part >= 40 && part <= 62
		got := eprocess.LogOutside(part, 1000, 0.04, 0.0625)
		if inside && got >= 0 {
			t.Errorf("%g of 1000 is evidence of %g against 4%% to 6.25%%", part, got)
		}
		if !inside && got != want {
			t.Errorf("%g of 1000 is evidence of %g against 4%% to 6.25%%, want %g", part, got, want)
		}
	}
}

// paths calls with every sequence of outcomes of a length, and its probability.
func paths(length int, outcomes, probabilities []float64, call func(path []float64, probability float64)) {
	path := make([]float64, 0, length)
	var walk func(probability float64)
	walk = func(probability float64) {
		if len(path) == length {
			call(path, probability)
			return
		}
		for i, outcome := range outcomes {
			path = append(path, outcome)
			walk(probability * probabilities[i])
			path = path[:len(path)-1]
		}
	}
	walk(1)
}

func TestLate_HasAMeanOfOneOverAllPathsOfAFairFactor(t *testing.T) {
	fair := []struct{ factors, probabilities []float64 }{
		{[]float64{2, 0.4}, []float64{0.375, 0.625}},
		{[]float64{40, 0.2}, []float64{0.8 / 39.8, 39 / 39.8}},
		// A factor of 1 lets no time pass, although whether it comes is chance.
		{[]float64{3, 1, 0.25}, []float64{0.15, 0.45, 0.4}},
	}
	for i, fair := range fair {
		logs := make([]float64, len(fair.factors))
		for j, factor := range fair.factors {
			logs[j] = math.Log(factor)
		}
		for _, length := range []int{1, 2, 5, 9} {
			var mean, meanOfTwo float64
			paths(length, logs, fair.probabilities, func(path []float64, probability float64) {
				var late eprocess.Late
				lates := eprocess.NewLates(1, 3)
				for _, log := range path {
					late.Step(log)
					lates.Step([]float64{log, log * 0})
				}
				mean += probability * math.Exp(late.Log())
				meanOfTwo += probability * math.Exp(lates.Log())
			})
			if !same(mean, 1, rounding) || !same(meanOfTwo, 1, rounding) {
				t.Errorf("the mean over all %d-step paths of %d is 1%+.2g, and of two 1%+.2g", length, i, mean-1, meanOfTwo-1)
			}
		}
	}
}

func TestLate_FindsWhatComesLate(t *testing.T) {
	var late eprocess.Late
	for range 1000 {
		late.Step(-0.5)
	}
	for range 25 {
		late.Step(1)
	}
	// A product from the beginning on would be at -475; the mixture pays for not knowing the start.
	if got := late.Log(); got < 25-math.Log(2*1001*1025) || got > 25 {
		t.Errorf("25 factors of e after 1000 of e^-0.5 are evidence of e^%g", got)
	}
}

func TestLogPMF_SumsUpToOneWhereTheNormaliserIsASeries(t *testing.T) {
	for _, margins := range [][2]int64{{1000, 1000}, {5000, 95_000}, {2000, 1_000_000_000}, {3000, 4000}, {1_000_000, 2500}, {1_000_000, 1_000_000}} {
		for _, psi := range []float64{0.008, 0.5, 1, 12.5, 125} {
			for _, bad := range []int64{1000, 1600, 2500, 4000, 20_000, 900_000} {
				table := eprocess.Table{Candidate: margins[0], Incumbent: margins[1], Bad: bad}
				if bad >= margins[0]+margins[1] {
					continue
				}
				t.Run(fmt.Sprintf("%d,%d,%d,%g", margins[0], margins[1], bad, psi), func(t *testing.T) {
					var sum float64
					mean := int64(eprocess.Mean(table, psi))
					for k := max(0, bad-margins[1], mean-8000); k <= min(bad, margins[0], mean+8000); k++ {
						table.BadCandidate = k
						sum += math.Exp(eprocess.LogPMF(table, psi))
					}
					if !same(sum, 1, 3e-12) {
						t.Errorf("sums up to 1%+.2g", sum-1)
					}
				})
			}
		}
	}
}

func TestOdds_AllocatesNothing(t *testing.T) {
	odds, into := harm(1.25), make([]float64, len(gains))
	var late eprocess.Late
	var dispersion eprocess.Dispersion
	lates := eprocess.NewLates(gains...)
	for _, requests := range []int64{75, 1500, 1_000_000} {
		tables := block(requests, 0.25)
		allocated := testing.AllocsPerRun(10, func() {
			for _, table := range tables {
				odds.LogRatios(table, into)
				late.Step(eprocess.LogRatio(table, 1, 2) + eprocess.LogBet(table, 0.4, 1.25))
				lates.Step(into)
				dispersion.Add(float64(table.Incumbent), float64(table.Bad-table.BadCandidate))
				late.Step(lates.Log() + eprocess.LogBelow(float64(table.BadCandidate), float64(table.Candidate), 0.01, 0.5, 10))
				late.Step(eprocess.LogOutside(float64(table.Candidate), float64(requests), 0.2, 0.3) + late.Log())
			}
		})
		if allocated > 0 {
			t.Errorf("a block of %d requests allocates %g times", requests, allocated)
		}
	}
}
