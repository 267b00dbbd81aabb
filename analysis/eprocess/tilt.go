package eprocess

import "math"

// exactVariance is up to which variance a normaliser is summed term by term. Above it the series of logSaddle is exact to 1e-12.
const exactVariance = 500

// tilt is two binomials, of the candidate's and the incumbent's bad requests, whose odds ratio is psi and whose
// means add up to the bad requests that were seen: given that sum, the candidate's are distributed as by Odds.
type tilt struct {
	psi float64
	// candidate and incumbent are the probabilities of being bad, notCandidate and notIncumbent those of not being.
	candidate, incumbent, notCandidate, notIncumbent float64
}

// newTilt solves n_c psi x/(1+psi x) + n_b x/(1+x) = m for the incumbent's odds x of being bad (Cornfield 1956).
func newTilt(t Table, psi float64) tilt {
	c, b, m := float64(t.Candidate), float64(t.Incumbent), float64(t.Bad)
	square := psi * (c + b - m)
	linear := psi*(c-m) + (b - m)
	root := math.Sqrt(linear*linear + 4*square*m)
	var odds float64
	if linear > 0 {
		odds = 2 * m / (linear + root)
	} else {
		odds = (root - linear) / (2 * square)
	}
	return tilt{
		psi:       psi,
		candidate: psi * odds / (1 + psi*odds), notCandidate: 1 / (1 + psi*odds),
		incumbent: odds / (1 + odds), notIncumbent: 1 / (1 + odds),
	}
}

// middle is a number of the candidate's bad requests that is at or beside the mode.
func (l tilt) middle(t Table) int64 {
	least, most := t.support()
	return max(least, min(most, int64(math.Round(float64(t.Candidate)*l.candidate))))
}

// logConditional is ln P_psi(k) without the part that is the same for all psi, Table.logBinomials: the logarithm of the two binomials
// at k, over that of the binomials' sum at m. The binomials are taken as Loader's deviances, which don't cancel however large the counts.
func logConditional(t Table, psi float64) float64 {
	l := newTilt(t, psi)
	return -l.deviance(t, t.BadCandidate) - l.logSum(t)
}

// logSum is the logarithm of the probability that the two binomials add up to the bad requests that were seen.
func (l tilt) logSum(t Table) float64 {
	candidate := float64(t.Candidate) * l.candidate * l.notCandidate
	incumbent := float64(t.Incumbent) * l.incumbent * l.notIncumbent
	if candidate+incumbent >= exactVariance {
		return l.logSaddle(candidate, incumbent)
	}
	at := l.middle(t)
	return t.logBinomials(at) - l.deviance(t, at) + math.Log(l.sum(t, at))
}

// deviance is the part of the two binomials' -ln probabilities at k that depends on their parameters.
func (l tilt) deviance(t Table, k int64) float64 {
	c, b := float64(t.Candidate), float64(t.Incumbent)
	x, y := float64(k), float64(t.Bad-k)
	above, aboveToo := x-c*l.candidate, y-b*l.incumbent
	return deviance(x, c*l.candidate, above) + deviance(c-x, c*l.notCandidate, -above) +
		deviance(y, b*l.incumbent, aboveToo) + deviance(b-y, b*l.notIncumbent, -aboveToo)
}

// logBinomials is the part of the two binomials' ln probabilities at k that does not depend on their parameters.
func (t Table) logBinomials(k int64) float64 {
	return logBinomialScale(float64(k), float64(t.Candidate)) + logBinomialScale(float64(t.Bad-k), float64(t.Incumbent))
}

// logSaddle is the saddlepoint expansion of the probability that the two binomials, of these variances, add up to their mean, to the
// third order (Daniels, "Saddlepoint approximations in statistics", Annals of Mathematical Statistics 1954, writes out the first). It is
// written for the logarithm, where the products of lower orders are gone: for a Poisson sum it is Stirling's series. Its
// coefficients are the logarithm of the mean of exp(sum over r >= 3 of rho_r (iZ)^r/r!) over a normal Z, rho_r the sum's standardised
// cumulants.
func (l tilt) logSaddle(candidate, incumbent float64) float64 {
	var cumulants [7]float64
	addCumulants(&cumulants, candidate, l.candidate, l.notCandidate)
	addCumulants(&cumulants, incumbent, l.incumbent, l.notIncumbent)
	variance := cumulants[0]
	deviation := math.Sqrt(variance)
	r3 := cumulants[1] / (variance * deviation)
	r4 := cumulants[2] / (variance * variance)
	r5 := cumulants[3] / (variance * variance * deviation)
	r6 := cumulants[4] / (variance * variance * variance)
	r7 := cumulants[5] / (variance * variance * variance * deviation)
	r8 := cumulants[6] / (variance * variance * variance * variance)
	square := r3 * r3
	first := r4/8 - 5*square/24
	second := -r6/48 + 7*r3*r5/48 + r4*r4/12 - 25*square*r4/48 + 5*square*square/16
	third := r8/384 - r3*r7/32 - 5*r4*r6/96 + 113*square*r6/576 - 21*r5*r5/640 + 7*r3*r4*r5/12 - 161*square*r3*r5/192 +
		11*r4*r4*r4/96 - 445*square*r4*r4/288 + 985*square*square*r4/384 - 1105*square*square*square/1152
	return first + second + third - math.Log(2*math.Pi*variance)/2
}

// addCumulants adds the second to the eighth cumulant of a binomial with probability p and this variance (kappa_{r+1} = pq
// dkappa_r/dp: Johnson, Kotz and Kemp, Univariate Discrete Distributions, 3.2).
func addCumulants(into *[7]float64, variance, p, q float64) {
	v, skew := p*q, variance*(q-p)
	into[0] += variance
	into[1] += skew
	into[2] += variance * (1 - 6*v)
	into[3] += skew * (1 - 12*v)
	into[4] += variance * (1 + v*(120*v-30))
	into[5] += skew * (1 + v*(360*v-60))
	into[6] += variance * (1 + v*(-126+v*(1680-5040*v)))
}
