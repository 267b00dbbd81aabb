package eprocess

import (
	"math"
	"slices"
)

const (
	// directTerms is up to how many terms a sum over the support is taken whole, for all odds ratios at once.
	directTerms = 128
	// directLimit keeps the sum within float64: every term is at most 1 and is multiplied by e^600 at most; one that was too small
	// to be held (e^-700) is nothing against the sum, which is not below e^-600 of the largest.
	directLimit = 600
	// negligible is what share of a sum may be left out.
	negligible = 1e-17
)

// directRatios takes the sums over the whole support: ln(P_psi(k)/P_psi0(k)) is k ln g - ln(sum of f_j g^j) + ln(sum of f_j), where
// g = psi/psi0, f_j is P_psi0(j) up to a factor, and j counts from the support's least. The recurrence of f is Liao and
// Rosen's, from the middle outwards, the sums are Horner's.
func (o *Odds) directRatios(t Table, into []float64) {
	var room [directTerms]float64
	least, most := t.support()
	terms := room[:most-least+1]
	tilt := newTilt(t, o.against)
	middle := tilt.middle(t)
	terms[middle-least] = 1
	total, term := 1.0, 1.0
	for j := middle; j < most; j++ {
		term *= tilt.ratio(t, j)
		terms[j+1-least] = term
		total += term
	}
	term = 1
	for j := middle; j > least; j-- {
		term /= tilt.ratio(t, j-1)
		terms[j-1-least] = term
		total += term
	}
	clear(into)
	for _, term := range slices.Backward(terms) {
		for i := range into {
			into[i] = into[i]*o.ratios[i] + term
		}
	}
	log, seen := math.Log(total), float64(t.BadCandidate-least)
	for i := range into {
		into[i] = seen*o.logs[i] - math.Log(into[i]) + log
		if o.logs[i] == 0 {
			into[i] = 0 // Not even by rounding does an odds ratio speak against itself.
		}
	}
}

// sum returns the sum of P_psi(j)/P_psi(at) over the support, from a place near the mode outwards. The terms' ratios fall on the way
// (the distribution is log-concave), so that what is left after a term is at most term*ratio/(1-ratio).
func (l tilt) sum(t Table, at int64) float64 {
	c, m, rest := float64(t.Candidate), float64(t.Bad), float64(t.Incumbent-t.Bad)
	sum, term := 1.0, 1.0
	for j := float64(at); ; j++ {
		ratio := l.psi * (c - j) * (m - j) / ((j + 1) * (rest + j + 1))
		term *= ratio
		sum += term
		if term*ratio <= negligible*(1-ratio) {
			break
		}
	}
	term = 1
	for j := float64(at); ; j-- {
		ratio := j * (rest + j) / (l.psi * (c - j + 1) * (m - j + 1))
		term *= ratio
		sum += term
		if term*ratio <= negligible*(1-ratio) {
			break
		}
	}
	return sum
}

// mean is sum's mean, as a difference from at.
func (l tilt) mean(t Table, at int64) float64 {
	least, most := t.support()
	var weighted float64
	term := 1.0
	for j := at; j < most && term > negligible*negligible; j++ {
		term *= l.ratio(t, j)
		weighted += term * float64(j+1-at)
	}
	term = 1
	for j := at; j > least && term > negligible*negligible; j-- {
		term /= l.ratio(t, j-1)
		weighted -= term * float64(at+1-j)
	}
	return weighted / l.sum(t, at)
}

// ratio returns P_psi(j+1)/P_psi(j).
func (l tilt) ratio(t Table, j int64) float64 {
	return l.psi * float64(t.Candidate-j) * float64(t.Bad-j) / (float64(j+1) * float64(t.Incumbent-t.Bad+j+1))
}
