package simulation

import (
	"math"
	"math/rand/v2"
)

// few is the mean up to which counting up the distribution is faster than rejection.
const few = 10

// Binomial draws how many of n trials succeed when each does with probability p. It is exact up to rounding: by
// inversion for small means, else by Hörmann's transformed rejection BTRS ("The generation of binomial random
// variates", J. Statist. Comput. Simulation 46, 1993).
func Binomial(r *rand.Rand, n int64, p float64) int64 {
	switch {
	case n <= 0 || !(p > 0):
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - Binomial(r, n, 1-p)
	case float64(n)*p < few:
		return binomialByInversion(r, n, p)
	}
	return binomialByRejection(r, float64(n), p)
}

func binomialByInversion(r *rand.Rand, n int64, p float64) int64 {
	odds := p / (1 - p)
	for {
		u, mass := r.Float64(), math.Exp(float64(n)*math.Log1p(-p))
		for k := range n + 1 {
			if u -= mass; u < 0 {
				return k
			}
			mass *= odds * float64(n-k) / float64(k+1)
			if mass == 0 {
				break
			}
		}
	}
}

func binomialByRejection(r *rand.Rand, n, p float64) int64 {
	q := 1 - p
	deviation := math.Sqrt(n * p * q)
	b := 1.15 + 2.53*deviation
	a := -0.0873 + 0.0248*b + 0.01*p
	center, quick := n*p+0.5, 0.92-4.2/b
	alpha := (2.83 + 5.1/b) * deviation
	logOdds, mode := math.Log(p/q), math.Floor((n+1)*p)
	atMode := logFactorial(mode) + logFactorial(n-mode)
	for {
		u, v := r.Float64()-0.5, r.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + center)
		if k < 0 || k > n {
			continue
		}
		if us >= 0.07 && v <= quick {
			return int64(k)
		}
		if math.Log(v*alpha/(a/(us*us)+b)) <= atMode-logFactorial(k)-logFactorial(n-k)+(k-mode)*logOdds {
			return int64(k)
		}
	}
}

// Poisson draws how many events come when mean are expected: by inversion for small means, else by Hörmann's
// transformed rejection PTRS ("The transformed rejection method for generating Poisson random variables", Insurance:
// Mathematics and Economics 12, 1993).
func Poisson(r *rand.Rand, mean float64) int64 {
	switch {
	case !(mean > 0):
		return 0
	case mean < few:
		return poissonByInversion(r, mean)
	}
	root := math.Sqrt(mean)
	b := 0.931 + 2.53*root
	a := -0.059 + 0.02483*b
	alpha, quick := 1.1239+1.1328/(b-3.4), 0.9277-3.6224/(b-2)
	logMean := math.Log(mean)
	for {
		u, v := r.Float64()-0.5, r.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + mean + 0.43)
		if us >= 0.07 && v <= quick {
			return int64(k)
		}
		if k < 0 || us < 0.013 && v > us {
			continue
		}
		if math.Log(v*alpha/(a/(us*us)+b)) <= k*logMean-mean-logFactorial(k) {
			return int64(k)
		}
	}
}

func poissonByInversion(r *rand.Rand, mean float64) int64 {
	for {
		u, mass := r.Float64(), math.Exp(-mean)
		for k := int64(0); mass > 0; k++ {
			if u -= mass; u < 0 {
				return k
			}
			mass *= mean / float64(k+1)
		}
	}
}

func logFactorial(n float64) float64 {
	value, _ := math.Lgamma(n + 1)
	return value
}
