package eprocess

import "math"

// Table is what was seen in one block: requests of the candidate and of the incumbent, those of both that were bad (failed, or slower
// than an edge), and those of the candidate's that were.
type Table struct {
	Candidate, Incumbent, Bad, BadCandidate int64
}

// largestCount is what float64 still counts one by one, with room for a sum.
const largestCount = 1 << 52

// support returns the smallest and the largest BadCandidate that the other counts allow.
func (t Table) support() (least, most int64) {
	return max(0, t.Bad-t.Incumbent), min(t.Bad, t.Candidate)
}

// possible says whether the table can have been counted.
func (t Table) possible() bool {
	if t.Candidate < 0 || t.Incumbent < 0 || t.Candidate > largestCount || t.Incumbent > largestCount {
		return false
	}
	least, most := t.support()
	return t.Bad >= 0 && t.BadCandidate >= least && t.BadCandidate <= most
}

// telling says whether the table can have been counted, and BadCandidate could have been another.
func (t Table) telling() bool {
	if !t.possible() {
		return false
	}
	least, most := t.support()
	return least < most
}

// Odds compares odds ratios of being bad, the candidate's against the incumbent's, by Fisher's non-central hypergeometric
// distribution: given the margins of a table, BadCandidate is k with the probability
//
//	P_psi(k) = C(n_c,k) C(n_b,m-k) psi^k / sum over j of C(n_c,j) C(n_b,m-j) psi^j
//
// whatever the rate at which requests are bad: drift and shared incidents cancel. (Fisher, "The logic of inductive inference", Journal
// of the Royal Statistical Society 1935; Fog, "Calculation methods for Wallenius' noncentral hypergeometric distribution" and
// "Sampling methods for Wallenius' and Fisher's noncentral hypergeometric distributions", Communications in Statistics 2008; Liao and
// Rosen, "Fast and stable algorithms for computing and sampling from the noncentral hypergeometric distribution", The American
// Statistician 2001.) Its likelihood ratio rises with k, so that P_psi/P_psi0 with psi > psi0 has a mean of at most 1 at
// every odds ratio up to psi0, and with psi < psi0 at every one from psi0 on (Lehmann and Romano, Testing Statistical Hypotheses, 3.4).
//
// Odds is safe for concurrent use.
type Odds struct {
	against      float64
	ratios, logs []float64
	others       []float64
	direct       bool
}

// NewOdds makes the comparison of odds ratios with psi0. One that is no number from 1e-100 to 1e100 never tells anything.
func NewOdds(psi0 float64, psi ...float64) *Odds {
	odds := &Odds{against: psi0, direct: true}
	if !usable(psi0) {
		odds.against = 1
	}
	for _, other := range psi {
		if !usable(psi0) || !usable(other) {
			other = odds.against
		}
		ratio := other / odds.against
		log := math.Log(ratio)
		odds.others = append(odds.others, other)
		odds.ratios = append(odds.ratios, ratio)
		odds.logs = append(odds.logs, log)
		odds.direct = odds.direct && math.Abs(log)*directTerms < directLimit
	}
	return odds
}

func usable(psi float64) bool {
	return psi >= 1e-100 && psi <= 1e100
}

// LogRatios writes ln(P_psi(k)/P_psi0(k)) for each psi into a slice of that length.
func (o *Odds) LogRatios(t Table, into []float64) {
	into = into[:len(o.others)]
	if !t.telling() {
		clear(into)
		return
	}
	least, most := t.support()
	if o.direct && most-least < directTerms {
		o.directRatios(t, into)
		return
	}
	base := logConditional(t, o.against)
	for i, psi := range o.others {
		into[i] = logConditional(t, psi) - base
	}
}

// LogRatio returns ln(P_psi1(k)/P_psi0(k)), see Odds.
func LogRatio(t Table, psi1, psi0 float64) float64 {
	if !t.telling() || !usable(psi1) || !usable(psi0) {
		return 0
	}
	ratio := psi1 / psi0
	log := math.Log(ratio)
	least, most := t.support()
	if most-least >= directTerms || math.Abs(log)*directTerms >= directLimit {
		return logConditional(t, psi1) - logConditional(t, psi0)
	}
	var into [1]float64
	odds := Odds{against: psi0, ratios: []float64{ratio}, logs: []float64{log}}
	odds.directRatios(t, into[:])
	return into[0]
}

// LogPMF returns ln P_psi(k), see Odds: -Inf for a table that can't be.
func LogPMF(t Table, psi float64) float64 {
	if !t.possible() || !usable(psi) {
		return math.Inf(-1)
	}
	if !t.telling() {
		return 0
	}
	return t.logBinomials(t.BadCandidate) + logConditional(t, psi)
}

// Mean returns the mean of BadCandidate under the odds ratio psi, whatever the table's own, by the sum over all that matters: it takes
// some twenty times its standard deviation in steps.
func Mean(t Table, psi float64) float64 {
	least, most := t.support()
	t.BadCandidate = least
	if !t.possible() || !usable(psi) {
		return 0
	}
	if least == most {
		return float64(least)
	}
	tilt := newTilt(t, psi)
	at := tilt.middle(t)
	return float64(at) + tilt.mean(t, at)
}
