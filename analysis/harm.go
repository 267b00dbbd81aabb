package analysis

import (
	"math"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// Error rates of a whole rollout's test, and of a step's.
const (
	// alpha is the chance that a candidate that is no worse than the margin is convicted.
	alpha = 0.01
	// beta is the chance that a candidate with twice the odds and an SLO that it misses is found safe in a step.
	beta = 0.05
	// splitAlpha is the chance that a share as asked is taken for another one.
	splitAlpha = 0.001
)

// What a candidate may be: how many times its odds are above the margin, its rate above the SLO's, or what part of the capital is
// bet against it.
var (
	multiples = [...]float64{1.25, 1.5, 2, 3, 5, 10, 30, 100}
	bets      = [...]float64{0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95}

	// evenBets are the weights of the bets' processes, and likelyErrors and likelySlowness those of the multiples' processes: a release
	// that breaks makes many times as many errors, and one that is slower shifts latencies by a little. Their proportions count.
	evenBets       = [len(bets)]float64{1, 1, 1, 1, 1, 1, 1}
	likelyErrors   = [len(multiples)]float64{1, 1, 1, 2, 4, 4, 2, 1}
	likelySlowness = [len(multiples)]float64{4, 4, 3, 2, 1, 0.5, 0.3, 0.2}
)

// ratios of the probability of a table under the alternatives to that under the margin, in logs: the multiples', then those of no
// difference and of what safe excludes.
type logRatios [len(multiples) + 2]float64

const (
	noDifference = len(multiples)
	notSafe      = len(multiples) + 1
)

// harm is the evidence that the odds of something bad are above a margin. It is the mean of processes that are each a
// nonnegative supermartingale of mean at most 1 as long as they are not, so that it passes 1/alpha at any time with a probability of at most
// alpha (Ville 1939), however often one looks and however they depend on each other.
type harm struct {
	odds *eprocess.Odds
	// psi0 is the margin, an odds ratio.
	psi0 float64
	// spread divides the logs: a power below one of a factor of mean at most 1 has such a mean too (Jensen).
	spread spread
	// most is the largest log that one block adds, so that one scrape never convicts. From the first on, two can.
	most                float64
	likelihood, betting *eprocess.Lates
	// log of the evidence.
	log float64
}

// firstWeight is the weight of what begins with the first block, see eprocess.Late.
const firstWeight = 0.5

// Safe excludes twice the odds, and is shown by no difference. With a wider margin than usual both are so many times as wide: or else what
// is within the margin could be neither convicted nor found safe, ever.
const (
	usualMargin = 1.25
	usualExcess = 2 / usualMargin
)

// newHarm makes a harm that has seen nothing. Weight is that of the likelihoods in the whole evidence.
func newHarm(prior prior, weight float64) harm {
	psi0 := prior.margin
	alternatives := make([]float64, 0, len(logRatios{}))
	for _, multiple := range multiples {
		alternatives = append(alternatives, multiple*psi0)
	}
	alternatives = append(alternatives, max(1, prior.asked/usualMargin), max(usualExcess*prior.asked, 2, psi0))
	return harm{
		odds: eprocess.NewOdds(psi0, alternatives...), psi0: psi0, spread: prior.spread.orNone(),
		most:       math.Log(1/(alpha*weight*firstWeight)) / 2,
		likelihood: eprocess.NewLates(prior.likely[:]...), betting: eprocess.NewLates(evenBets[:]...),
	}
}

// compare weighs a block of both tracks, and returns the logs of its probabilities. Paired says that the moments of counting
// were the same for both tracks: where they weren't, a dependency that fails now and then would win the bets, so none is made.
func (h *harm) compare(table eprocess.Table, paired bool) logRatios {
	var ratios logRatios
	h.odds.LogRatios(table, ratios[:])
	h.believe((*[len(multiples)]float64)(ratios[:]))
	if paired {
		var factors [len(bets)]float64
		damping := h.spread.scrape / h.spread.largest
		for i, bet := range bets {
			factors[i] = min(h.most, eprocess.LogBet(table, bet, h.psi0)*damping)
		}
		h.betting.Step(factors[:])
	}
	h.sum()
	return ratios
}

// weighAlone weighs a block in which there is nothing to compare with, by the logs of its probability under each multiple of the
// bad events that are allowed to that under the allowed ones. The bets don't take part.
func (h *harm) weighAlone(logs *[len(multiples)]float64) {
	h.believe(logs)
	h.sum()
}

func (h *harm) believe(logs *[len(multiples)]float64) {
	var factors [len(multiples)]float64
	for i := range factors {
		factors[i] = min(h.most, logs[i]/h.spread.largest)
	}
	h.likelihood.Step(factors[:])
}

func (h *harm) sum() {
	h.log = eprocess.LogAddExp(h.likelihood.Log(), h.betting.Log()) - math.Ln2
}

// binomials are the logs of the probability of a tally if multiples of the allowed share are bad, to that if just the allowed one is.
// A multiple of 1 or more stands for the largest that is below.
func binomials(bad, total int64, allowed float64) (logs [len(multiples)]float64) {
	var last float64
	for i, multiple := range multiples {
		if share := multiple * allowed; share < 1 {
			last = eprocess.LogBinomial(bad, total, share, allowed)
		}
		logs[i] = last
	}
	return logs
}

// floor is the evidence that the rate of bad events is above one below which nothing is harm.
type floor struct {
	// ignored is that rate; 0 for no floor.
	ignored    float64
	likelihood *eprocess.Lates
}

func (f *floor) add(bad, total int64, most, spread float64) {
	logs := binomials(bad, total, f.ignored)
	for i := range logs {
		logs[i] = min(most, logs[i]/spread)
	}
	f.likelihood.Step(logs[:])
}
