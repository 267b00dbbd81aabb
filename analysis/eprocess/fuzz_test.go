package eprocess_test

import (
	"math"
	"testing"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

func TestTable_ThatCannotBeTellsNothing(t *testing.T) {
	for name, table := range map[string]eprocess.Table{
		"nothing":                        {},
		"no bad requests":                {Candidate: 5, Incumbent: 95},
		"all are bad":                    {Candidate: 5, Incumbent: 95, Bad: 100, BadCandidate: 5},
		"no candidate":                   {Incumbent: 95, Bad: 3},
		"no incumbent":                   {Candidate: 5, Bad: 3, BadCandidate: 3},
		"more of the candidate's bad":    {Candidate: 5, Incumbent: 95, Bad: 3, BadCandidate: 4},
		"more bad than the candidate's":  {Candidate: 5, Incumbent: 95, Bad: 30, BadCandidate: 6},
		"more bad than the incumbent's":  {Candidate: 50, Incumbent: 5, Bad: 20, BadCandidate: 10},
		"more bad than there are":        {Candidate: 5, Incumbent: 95, Bad: 101, BadCandidate: 5},
		"negative candidate":             {Candidate: -5, Incumbent: 95, Bad: 3},
		"negative incumbent":             {Candidate: 5, Incumbent: -95, Bad: 3},
		"negative bad":                   {Candidate: 5, Incumbent: 95, Bad: -3},
		"negative bad of the candidate":  {Candidate: 5, Incumbent: 95, Bad: 3, BadCandidate: -1},
		"more than a float64 can count":  {Candidate: math.MaxInt64, Incumbent: math.MaxInt64, Bad: 3, BadCandidate: 3},
		"the least of all numbers there": {Candidate: math.MinInt64, Incumbent: math.MinInt64, Bad: math.MinInt64, BadCandidate: math.MinInt64},
	} {
		t.Run(name, func(t *testing.T) {
			into := []float64{1, 1}
			eprocess.NewOdds(1.25, 2.5, 5).LogRatios(table, into)
			ratio, bet := eprocess.LogRatio(table, 2.5, 1.25), eprocess.LogBet(table, 0.5, 1.25)
			if into[0] != 0 || into[1] != 0 || ratio != 0 || bet != 0 {
				t.Errorf("is evidence of %v, %g, a bet of %g", into, ratio, bet)
			}
		})
	}
}

func TestLogRatio_OfWhatIsNoOddsRatioTellsNothing(t *testing.T) {
	table := eprocess.Table{Candidate: 50, Incumbent: 950, Bad: 90, BadCandidate: 20}
	for _, psi := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		into := []float64{1, 1}
		eprocess.NewOdds(psi, 2).LogRatios(table, into[:1])
		eprocess.NewOdds(2, psi).LogRatios(table, into[1:])
		if a, b := eprocess.LogRatio(table, psi, 1), eprocess.LogRatio(table, 2, psi); a != 0 || b != 0 || into[0] != 0 || into[1] != 0 {
			t.Errorf("%g is evidence of %g and %g, %v", psi, a, b, into)
		}
		if bet := eprocess.LogBet(table, 0.5, psi); math.IsNaN(bet) || math.IsInf(bet, 0) || !(psi <= 1) && bet != 0 {
			t.Errorf("a bet against %g is evidence of %g", psi, bet)
		}
		if log := eprocess.LogPMF(table, psi); !math.IsInf(log, -1) {
			t.Errorf("a table has the probability e^%g under %g", log, psi)
		}
	}
}

func TestLogBet_OfNoShareTellsNothing(t *testing.T) {
	table := eprocess.Table{Candidate: 50, Incumbent: 950, Bad: 90, BadCandidate: 20}
	for _, c := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1)} {
		if bet := eprocess.LogBet(table, c, 1.25); bet != 0 {
			t.Errorf("a bet of %g is evidence of %g", c, bet)
		}
	}
}

func TestMixtures_OfWhatCannotBeTellNothing(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, counts := range [][2]float64{{-1, 5}, {6, 5}, {nan, 5}, {1, nan}, {inf, inf}, {1, inf}, {0, -1}} {
		a, b := eprocess.LogBelow(counts[0], counts[1], 0.01, 0.5, 10), eprocess.LogShare(counts[0], counts[1], 0.1)
		if c := eprocess.LogOutside(counts[0], counts[1], 0.1, 0.2); a != 0 || b != 0 || c != 0 {
			t.Errorf("%v is evidence of %g, %g, %g", counts, a, b, c)
		}
	}
	for _, p := range []float64{0, 1, -1, 2, nan, inf} {
		a, b := eprocess.LogBelow(1, 5, p, 0.5, 10), eprocess.LogShare(1, 5, p)
		if c, d := eprocess.LogBinomial(1, 5, p, 0.5), eprocess.LogBinomial(1, 5, 0.5, p); a != 0 || b != 0 || c != 0 || d != 0 {
			t.Errorf("the probability %g is evidence of %g, %g, %g, %g", p, a, b, c, d)
		}
	}
	if log := eprocess.LogBelow(1, 5, 0.01, 0, 10); log != 0 {
		t.Errorf("a mixture that is none is evidence of %g", log)
	}
	if log := eprocess.LogOutside(0, 0, 0.1, 0.2); log != 0 {
		t.Errorf("no request is evidence of %g", log)
	}
}

func TestLogs_OfTheExtremesAreNoNaN(t *testing.T) {
	inf := math.Inf(1)
	for _, test := range []struct{ a, b, want float64 }{
		{-inf, -inf, -inf}, {-inf, 3, 3}, {3, -inf, 3}, {inf, 3, inf}, {inf, -inf, inf}, {inf, inf, inf}, {1e6, 0, 1e6}, {0, 0, math.Ln2},
	} {
		if sum, all := eprocess.LogAddExp(test.a, test.b), eprocess.LogSumExp(test.a, test.b); sum != test.want || !same(all, test.want, 1e-15) && all != test.want {
			t.Errorf("ln(e^%g + e^%g) = %g and %g, want %g", test.a, test.b, sum, all, test.want)
		}
	}
	if none, mean := eprocess.LogSumExp(), eprocess.LogMeanExp(); !math.IsInf(none, -1) || mean != 0 {
		t.Errorf("nothing sums up to e^%g, and is e^%g on average", none, mean)
	}
	if mean := eprocess.LogMeanExp(2000, math.Log(3)+2000); !same(mean, 2000+math.Ln2, 1e-15) {
		t.Errorf("the mean of 1 and 3 is e^%g", mean-2000)
	}
}

func FuzzTable(f *testing.F) {
	f.Add(int64(75), int64(1425), int64(15), int64(3), 1.25, 2.5)
	f.Add(int64(500_000), int64(500_000), int64(400_000), int64(3), 1.25, 125.)
	f.Add(int64(1e12), int64(1e12), int64(1e6), int64(1e6), 2., 1.)
	f.Add(int64(1e15), int64(1e15), int64(1e15), int64(1), 1e-100, 1e100)
	f.Add(int64(-1), int64(5), int64(8), int64(9), math.Inf(1), math.NaN())
	f.Fuzz(func(t *testing.T, candidate, incumbent, bad, badCandidate int64, psi0, psi1 float64) {
		table := eprocess.Table{Candidate: candidate, Incumbent: incumbent, Bad: bad, BadCandidate: badCandidate}
		into := make([]float64, 2)
		eprocess.NewOdds(psi0, psi1, psi0).LogRatios(table, into)
		ratio, bet := eprocess.LogRatio(table, psi1, psi0), eprocess.LogBet(table, 0.5, psi0)
		for _, log := range []float64{into[0], into[1], ratio, bet} {
			if math.IsNaN(log) || math.IsInf(log, 0) {
				t.Fatalf("%+v: %v, %g, a bet of %g", table, into, ratio, bet)
			}
		}
		if into[1] != 0 && !same(into[1], 0, 1e-9) {
			t.Fatalf("%+v: %g against itself is evidence of %g", table, psi0, into[1])
		}
		if !same(into[0], ratio, 1e-9) {
			t.Fatalf("%+v: %g at once with others and %g alone", table, into[0], ratio)
		}
		if log := eprocess.LogPMF(table, psi0); math.IsNaN(log) || log > 1e-9 {
			t.Fatalf("%+v has a probability of e^%g", table, log)
		}
	})
}

func FuzzMixtures(f *testing.F) {
	f.Add(0., 6000., 0.01, 0.5, 10.)
	f.Add(9e9, 1e12, 0.01, 0.5, 10.)
	f.Add(3., 4., 0.999, 1e-3, 1e3)
	f.Fuzz(func(t *testing.T, bad, n, p, a, b float64) {
		share, outside := eprocess.LogShare(bad, n, p), eprocess.LogOutside(bad, n, p, p*1.5)
		logs := []float64{share, outside}
		if n < 1e13 && p > 1e-12 && p < 1-1e-9 && a > 1e-6 && a < 1e6 && b > 1e-6 && b < 1e6 {
			logs = append(logs, eprocess.LogBelow(bad, n, p, a, b))
		}
		for _, log := range logs {
			if math.IsNaN(log) || n < 1e13 && p > 1e-12 && p < 1-1e-12 && math.IsInf(log, 0) {
				t.Fatalf("%g of %g against %g: %v", bad, n, p, logs)
			}
		}
	})
}

func FuzzLate(f *testing.F) {
	f.Add(1., -1., 3.)
	f.Add(math.Inf(1), math.Inf(-1), math.NaN())
	f.Add(1e308, -1e308, 1e308)
	f.Fuzz(func(t *testing.T, a, b, c float64) {
		var late eprocess.Late
		lates := eprocess.NewLates(1, 1)
		for _, log := range []float64{a, b, c, b, a} {
			late.Step(log)
			lates.Step([]float64{log, b})
			if math.IsNaN(late.Log()) || math.IsNaN(lates.Log()) {
				t.Fatalf("%g, %g, %g: %g and %g", a, b, c, late.Log(), lates.Log())
			}
		}
	})
}

func FuzzDispersion(f *testing.F) {
	f.Add(100., 3., 200., 0., 50., 50.)
	f.Add(1e300, 1e300, 1e-300, 0., math.Inf(1), math.NaN())
	f.Fuzz(func(t *testing.T, n1, bad1, n2, bad2, n3, bad3 float64) {
		var dispersion eprocess.Dispersion
		for range 3 {
			dispersion.Add(n1, bad1)
			dispersion.Add(n2, bad2)
			dispersion.Add(n3, bad3)
		}
		if phi, terms := dispersion.Value(); math.IsNaN(phi) || phi < 0 || terms < 0 || terms > 6 {
			t.Fatalf("%g of %d differences", phi, terms)
		}
	})
}
