package eprocess_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// vector is a value from another implementation: testdata/vectors.py says how each came to be.
type vector struct {
	Table [4]int64
	Psi   float64
	Psi1  float64
	Psi0  float64
	Want  float64
	C     float64
	P     float64
	P0    float64
	P1    float64
	A, B  float64
	// All and Part, and N and Bad, are of numbers, or of series where the file is one of series.
	All, Part float64
}

// tolerance is relative, and absolute below 1, where what the logarithm is of is itself good to that.
const tolerance = 1e-11

func read[T any](t *testing.T, name string) []T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []T
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatalf("no vectors in %s", name)
	}
	return vectors
}

func same(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*max(1, math.Abs(want))
}

func (v vector) table() eprocess.Table {
	return eprocess.Table{Candidate: v.Table[0], Incumbent: v.Table[1], Bad: v.Table[2], BadCandidate: v.Table[3]}
}

func TestLogPMF_IsAsElsewhere(t *testing.T) {
	for _, v := range read[vector](t, "fisher_pmf") {
		if got := eprocess.LogPMF(v.table(), v.Psi); !same(got, v.Want, tolerance) {
			t.Errorf("LogPMF(%+v, %g) = %.15g, want %.15g", v.table(), v.Psi, got, v.Want)
		}
	}
}

func TestLogRatio_IsAsElsewhere(t *testing.T) {
	for _, v := range read[vector](t, "fisher_ratio") {
		if got := eprocess.LogRatio(v.table(), v.Psi1, v.Psi0); !same(got, v.Want, tolerance) {
			t.Errorf("LogRatio(%+v, %g, %g) = %.15g, want %.15g", v.table(), v.Psi1, v.Psi0, got, v.Want)
		}
		both := make([]float64, 2)
		eprocess.NewOdds(v.Psi0, v.Psi1, 3*v.Psi0).LogRatios(v.table(), both)
		if !same(both[0], v.Want, tolerance) {
			t.Errorf("LogRatios of %+v, %g against %g, is %.15g, want %.15g", v.table(), v.Psi1, v.Psi0, both[0], v.Want)
		}
	}
}

func TestMean_IsAsElsewhere(t *testing.T) {
	for _, v := range read[vector](t, "fisher_mean") {
		if got := eprocess.Mean(v.table(), v.Psi); !same(got, v.Want, tolerance) {
			t.Errorf("Mean(%+v, %g) = %.15g, want %.15g", v.table(), v.Psi, got, v.Want)
		}
	}
}

func TestLogBelow_IsAsElsewhere(t *testing.T) {
	for _, v := range read[struct {
		vector
		Bad, N float64
	}](t, "below") {
		if got := eprocess.LogBelow(v.Bad, v.N, v.P0, v.A, v.B); !same(got, v.Want, tolerance) {
			t.Errorf("LogBelow(%g, %g, %g, %g, %g) = %.15g, want %.15g", v.Bad, v.N, v.P0, v.A, v.B, got, v.Want)
		}
	}
}

func TestLogShare_IsAsElsewhere(t *testing.T) {
	for _, v := range read[vector](t, "share") {
		if got := eprocess.LogShare(v.Part, v.All, v.P); !same(got, v.Want, tolerance) {
			t.Errorf("LogShare(%g, %g, %g) = %.15g, want %.15g", v.Part, v.All, v.P, got, v.Want)
		}
	}
}

func TestLogBinomial_IsAsElsewhere(t *testing.T) {
	for _, v := range read[struct {
		vector
		Bad, N int64
	}](t, "binomial") {
		if got := eprocess.LogBinomial(v.Bad, v.N, v.P1, v.P0); !same(got, v.Want, tolerance) {
			t.Errorf("LogBinomial(%d, %d, %g, %g) = %.15g, want %.15g", v.Bad, v.N, v.P1, v.P0, got, v.Want)
		}
	}
}

func TestLogBet_IsAsElsewhere(t *testing.T) {
	for _, v := range read[vector](t, "bet") {
		if got := eprocess.LogBet(v.table(), v.C, v.Psi0); !same(got, v.Want, tolerance) {
			t.Errorf("LogBet(%+v, %g, %g) = %.15g, want %.15g", v.table(), v.C, v.Psi0, got, v.Want)
		}
	}
}

func TestLate_IsTheMixtureSummedTermByTerm(t *testing.T) {
	for i, v := range read[struct {
		Factors []float64
		Want    float64
	}](t, "late") {
		var late eprocess.Late
		lates := eprocess.NewLates(1, 1)
		for _, factor := range v.Factors {
			late.Step(factor)
			lates.Step([]float64{factor, factor})
		}
		if got := late.Log(); !same(got, v.Want, tolerance) {
			t.Errorf("late of vector %d is %.15g, want %.15g", i, got, v.Want)
		}
		if got := lates.Log(); !same(got, v.Want, tolerance) {
			t.Errorf("the mean of two equal ones of vector %d is %.15g, want %.15g", i, got, v.Want)
		}
	}
}

func TestDispersion_IsAsElsewhere(t *testing.T) {
	for i, v := range read[struct {
		N, Bad []float64
		Want   float64
	}](t, "dispersion") {
		var dispersion eprocess.Dispersion
		for j, n := range v.N {
			dispersion.Add(n, v.Bad[j])
		}
		if got, terms := dispersion.Value(); !same(got, v.Want, tolerance) || terms != len(v.N)-3 {
			t.Errorf("dispersion of vector %d is %.15g of %d differences, want %.15g of %d", i, got, terms, v.Want, len(v.N)-3)
		}
	}
}
