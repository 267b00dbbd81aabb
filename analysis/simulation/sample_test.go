package simulation_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/weighlock/weighlock/analysis/simulation"
)

// far is a chi-square per degree of freedom, of at least ten degrees, that chance reaches less than once in a million tries.
const far = 5

func logFactorial(n float64) float64 {
	value, _ := math.Lgamma(n + 1)
	return value
}

// fits holds draws against their probabilities by Pearson's chi-square; what is expected less than ten times counts as one.
func fits(t *testing.T, draws int, draw func() int64, logProbability func(k float64) float64, from, to int64) {
	t.Helper()
	seen := map[int64]float64{}
	for range draws {
		k := draw()
		if k < from || k > to {
			t.Fatalf("drew %d, which is not between %d and %d", k, from, to)
		}
		seen[k]++
	}
	chi, degrees, expected, got := 0.0, 0.0, 0.0, 0.0
	for k := from; k <= to; k++ {
		expected += float64(draws) * math.Exp(logProbability(float64(k)))
		got += seen[k]
		if expected >= 10 {
			chi += (got - expected) * (got - expected) / expected
			degrees++
			expected, got = 0, 0
		}
	}
	if degrees > 1 && chi/(degrees-1) > max(1+far*math.Sqrt(2/(degrees-1)), far*2/(degrees-1)) {
		t.Errorf("chi-square is %.1f with %v degrees of freedom", chi, degrees-1)
	}
}

func TestBinomial_HasItsDistribution(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		n int64
		p float64
	}{{1, 0.3}, {20, 0.2}, {40, 0.5}, {1000, 0.001}, {1000, 0.02}, {1500, 0.95}, {1500, 0.999}, {30000, 0.01}, {400, 0.4}} {
		t.Run(fmt.Sprint(test.n, " ", test.p), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(test.n)))
			n := float64(test.n)
			fits(t, 200_000, func() int64 { return simulation.Binomial(r, test.n, test.p) }, func(k float64) float64 {
				return logFactorial(n) - logFactorial(k) - logFactorial(n-k) + k*math.Log(test.p) + (n-k)*math.Log1p(-test.p)
			}, 0, test.n)
		})
	}
}

func TestBinomial_KeepsToItsEdges(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		n    int64
		p    float64
		want int64
	}{{0, 0.5, 0}, {-1, 0.5, 0}, {10, 0, 0}, {10, -1, 0}, {10, math.NaN(), 0}, {10, 1, 10}, {10, 2, 10}} {
		if got := simulation.Binomial(r, test.n, test.p); got != test.want {
			t.Errorf("of %d at %v it draws %d, want %d", test.n, test.p, got, test.want)
		}
	}
}

func TestPoisson_HasItsDistribution(t *testing.T) {
	t.Parallel()
	for _, mean := range []float64{0.01, 1, 9.9, 10.1, 75, 1425} {
		t.Run(fmt.Sprint(mean), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, uint64(mean*100)))
			fits(t, 200_000, func() int64 { return simulation.Poisson(r, mean) }, func(k float64) float64 {
				return k*math.Log(mean) - mean - logFactorial(k)
			}, 0, int64(mean+20*math.Sqrt(mean)+30))
		})
	}
	if got := simulation.Poisson(rand.New(rand.NewPCG(1, 1)), 0); got != 0 {
		t.Errorf("of no events it draws %d", got)
	}
}

func BenchmarkBinomial(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		simulation.Binomial(r, 1425, 0.05)
	}
}
