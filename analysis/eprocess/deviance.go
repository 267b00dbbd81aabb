package eprocess

import "math"

// deviance returns x ln(x/mean) - difference, where difference = x - mean: the exponent of a Poisson or binomial probability
// without what cancels in it (Loader, "Fast and accurate computation of binomial probabilities", 2000, who calls it bd0). The
// difference is the caller's, as it may know it better than by subtracting.
func deviance(x, mean, difference float64) float64 {
	if x == 0 {
		return -difference
	}
	v := difference / (x + mean)
	if math.Abs(v) > 0.1 {
		return x*math.Log(x/mean) - difference
	}
	square := v * v
	sum, power := 0.0, 2*x*v
	for odd := 3.0; ; odd += 2 {
		power *= square
		next := sum + power/odd
		if next == sum {
			return v*difference + sum
		}
		sum = next
	}
}

// logBinomialScale returns ln C(n,x) + x ln(x/n) + (n-x) ln((n-x)/n): with two deviances it is a binomial's ln probability (Loader 2000).
func logBinomialScale(x, n float64) float64 {
	if x == 0 || x == n {
		return 0
	}
	return stirlingError(n) - stirlingError(x) - stirlingError(n-x) + math.Log(n/(2*math.Pi*x*(n-x)))/2
}

// stirlingError returns ln Gamma(x) - (x-1/2) ln x + x - ln(2 pi)/2 for x > 0, what Stirling's formula leaves out (DLMF 5.11.1). The
// first term that is left out of its series bounds the error: 2e-16 at 15.
func stirlingError(x float64) float64 {
	if x < 15 {
		gamma, _ := math.Lgamma(x)
		return gamma - (x-0.5)*math.Log(x) + x - logRootTwoPi
	}
	square := 1 / (x * x)
	return (1./12 - square*(1./360-square*(1./1260-square*(1./1680-square/1188)))) / x
}

// logRootTwoPi is ln(2 pi)/2.
const logRootTwoPi = 0.918938533204672741780329736406
