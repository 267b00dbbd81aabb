package e2e_test

import (
	"math"
	"testing"
)

// unlikely is how seldom a sound mesh may look unsound, to each side: one
// check in a million is wrong.
const unlikely = 0.5e-6

// tails are the probabilities that at most k and that at least k of n requests
// are of a kind, when each is one with probability p: the binomial
// distribution, added up term by term.
func tails(k, n int, p float64) (atMost, atLeast float64) {
	if p == 0 || p == 1 {
		sure := int(p) * n
		return indicator(k >= sure), indicator(k <= sure)
	}
	logFactorial := func(x int) float64 {
		value, _ := math.Lgamma(float64(x) + 1)
		return value
	}
	for i := range n + 1 {
		term := math.Exp(logFactorial(n) - logFactorial(i) - logFactorial(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
		if i <= k {
			atMost += term
		}
		if i >= k {
			atLeast += term
		}
	}
	return atMost, atLeast
}

func indicator(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}

// chance says whether it may be chance that k of n requests are of a kind, when
// each should be one with probability p.
func chance(k, n int, p float64) bool {
	atMost, atLeast := tails(k, n, p)
	return atMost >= unlikely && atLeast >= unlikely
}

func TestTails_AreTheBinomialDistributions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n            int
		p               float64
		atMost, atLeast float64
	}{
		{0, 10, 0.5, 1.0 / 1024, 1},
		{9, 10, 0.5, 1023.0 / 1024, 11.0 / 1024},
		{2, 3, 0.1, 0.999, 0.028},
		{0, 5, 0, 1, 1},
		{1, 5, 0, 1, 0},
		{5, 5, 1, 1, 1},
		{4, 5, 1, 0, 1},
		// Of 10,000 at one in ten, 1,000 are as likely exceeded as not.
		{1000, 10000, 0.1, 0.5084, 0.5049},
	} {
		atMost, atLeast := tails(c.k, c.n, c.p)
		if math.Abs(atMost-c.atMost) > 1e-4 || math.Abs(atLeast-c.atLeast) > 1e-4 {
			t.Errorf("%d of %d at %v: at most %v, at least %v, want %v and %v", c.k, c.n, c.p, atMost, atLeast, c.atMost, c.atLeast)
		}
	}
}
