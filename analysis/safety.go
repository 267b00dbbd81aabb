package analysis

import (
	"math"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// safeLog is the log of the evidence that is needed to call a metric safe.
var safeLog = math.Log(1 / beta)

// Shape of the mixture over the rates below a limit: most of it is at small rates.
const (
	mixtureA = 0.5
	mixtureB = 10
)

// safety is the evidence of one stage that a share of bad events is not above what safe excludes: the odds are below
// twice that of the incumbent, or the rate is below a limit. It is a sequential test, so what was safe once stays so in the stage.
type safety struct {
	// odds is the log of the evidence by comparison.
	odds float64
	// best is the largest log so far of the evidence by comparison, and bestRate of that by the rate too.
	best, bestRate float64
}

// basis says what the evidence is taken from.
type basis struct {
	// compare says that there is an incumbent on the same traffic.
	compare bool
	// limit of the rate; 0 for none.
	limit float64
}

func (b basis) none() bool { return !b.compare && b.limit <= 0 }

// evidence is the log for the stage's tally of the candidate: the mean of both where there are both.
func (b basis) evidence(odds float64, candidate Tally, spread float64) float64 {
	switch {
	case b.none():
		return 0
	case b.limit <= 0:
		return odds
	case !b.compare:
		return belowLog(candidate, b.limit, spread)
	default:
		return eprocess.LogAddExp(odds, belowLog(candidate, b.limit, spread)) - math.Ln2
	}
}

// belowLog is the log of the evidence that the rate is below a limit.
func belowLog(candidate Tally, limit, spread float64) float64 {
	switch {
	case candidate.Total <= 0:
		return 0
	case limit >= 1:
		return 2 * safeLog // no rate is above
	default:
		return eprocess.LogBelow(candidate.Bad/spread, candidate.Total/spread, limit, mixtureA, mixtureB)
	}
}

// learn takes a block that was compared.
func (s *safety) learn(ratios *logRatios, spread float64) {
	s.odds += (ratios[noDifference] - ratios[notSafe]) / spread
	s.best = max(s.best, s.odds)
}

// look takes the rate into account.
func (s *safety) look(basis basis, candidate Tally, spread float64) {
	s.bestRate = max(s.bestRate, basis.evidence(s.odds, candidate, spread))
}

// found is the best evidence so far of a basis.
func (s *safety) found(basis basis) float64 {
	switch {
	case basis.none():
		return 0
	case basis.limit <= 0:
		return s.best
	default:
		return s.bestRate
	}
}
