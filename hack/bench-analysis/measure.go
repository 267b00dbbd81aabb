package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
)

// rule is a way to judge rollouts. Weighlock's is the one without a judge.
type rule struct {
	name  string
	judge func() simulation.Judge
}

// rules in the order of the table.
func rules() []rule {
	return []rule{
		{"Weighlock", nil},
		{"Flagger", newFlagger},
		{"Argo Rollouts", newArgo},
		{"Argo, strict", newStrictArgo},
		{"Kayenta", newKayenta},
	}
}

// result is how the rollouts of a row ended by one rule.
type result struct {
	runs int
	// hasty is how many were rolled back before the candidate differed.
	hasty int
	// rolledBack and passed are how many were rolled back, and how many passed a stage while the candidate differed.
	rolledBack, passed int
	// times to the rollback from when the candidate differed, and requests that it got meanwhile, of those that were.
	times    []time.Duration
	requests []float64
	// early is how many stages were passed with too few requests.
	early int
	// lengths of the rollouts that were promoted.
	lengths []time.Duration
}

// enough is how many of the candidate's requests a Pass needs at the default SLO of 99%: ln(0.05)/ln(0.99).
const enough = 299

// run takes candidates through rollouts, on all cores. The same seed leads to the same result.
func (r *row) run(rule rule, seed uint64, runs int) (result, error) {
	criteria, err := analysis.ParseCriteria(r.spec)
	if err != nil {
		return result{}, fmt.Errorf("reading the analysis of %q: %w", r.name, err)
	}
	outcomes := make([]simulation.Outcome, runs)
	simulation.Each(runs, func(i int) {
		source := simulation.Source(seed, r.name, rule.name, i)
		if rule.judge == nil {
			outcomes[i], _ = simulation.RunEngine(r.world, r.rollout, criteria, source)
		} else {
			outcomes[i] = simulation.Run(r.world, r.rollout, source, 0, nil, rule.judge)
		}
	})
	return r.sum(outcomes), nil
}

func (r *row) sum(outcomes []simulation.Outcome) result {
	sum := result{runs: len(outcomes)}
	for _, out := range outcomes {
		left := len(out.Stages)
		switch {
		case out.RolledBack && r.group == bad && out.FromOnset == 0:
			left--
			sum.hasty++
		case out.RolledBack:
			left--
			sum.rolledBack++
			sum.times, sum.requests = append(sum.times, out.FromOnset), append(sum.requests, out.Exposed)
		default:
			sum.lengths = append(sum.lengths, out.Length())
		}
		passed := false
		for i := range left {
			if out.Stages[i] >= r.rollout.Stages[i].Deadline && r.rollout.Stages[i].Deadline > 0 {
				continue
			}
			passed = passed || i >= r.world.Candidate.Stage
			if out.Requests[i] < enough {
				sum.early++
			}
		}
		if passed {
			sum.passed++
		}
	}
	slices.Sort(sum.times)
	slices.Sort(sum.requests)
	slices.Sort(sum.lengths)
	return sum
}

// middle is the median time to the rollbacks that came after the candidate differed. Those that never came count as longest.
func (r result) middle() (time.Duration, bool) {
	at := (r.runs - r.hasty - 1) / 2
	if at < 0 || at >= len(r.times) {
		return 0, false
	}
	return r.times[at], true
}

// exposed is the median number of requests that a candidate got until it was rolled back.
func (r result) exposed() (float64, bool) {
	at := (r.runs - r.hasty - 1) / 2
	if at < 0 || at >= len(r.requests) {
		return 0, false
	}
	return r.requests[at], true
}

// share of the runs.
func (r result) share(count int) float64 { return float64(count) / float64(max(1, r.runs)) }

// missed is how many bad candidates were promoted.
func (r result) missed() int { return r.runs - r.rolledBack - r.hasty }

// normal975 is the quantile of the normal distribution for a 95% confidence interval.
const normal975 = 1.96

// interval is the 95% confidence interval of a share (Wilson 1927).
func interval(count, runs int) (lower, upper float64) {
	const z = normal975
	n, p := float64(runs), float64(count)/float64(runs)
	middle, half := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return (middle - half) / (1 + z*z/n), (middle + half) / (1 + z*z/n)
}

// atMost holds a share of the runs against a goal.
func (r result) atMost(count int, most float64) found {
	lower, _ := interval(count, r.runs)
	switch {
	case r.share(count) <= most:
		return met
	case lower <= most:
		return unclear
	default:
		return missed
	}
}

// falseAlarms is how often a candidate that is not bad yet may be rolled back, as one that never gets so.
const falseAlarms = 0.01

// inTime holds the median of the times against a goal, and allows no bad candidate to be promoted. Its confidence interval is that of order statistics.
func (r result) inTime(within time.Duration) found {
	middle, known := r.middle()
	n := float64(len(r.times))
	lower := max(0, int(math.Floor(n/2-normal975/2*math.Sqrt(n)))-1)
	switch {
	case !known || r.missed() > 0 || r.atMost(r.hasty, falseAlarms) == missed || r.times[lower] > within:
		return missed
	case middle <= within:
		return met
	default:
		return unclear
	}
}

// limit is how many of the candidate's requests Wald's sequential probability ratio test needs on average to convict at 1%, told both rates:
// ln(1/alpha) over the divergence of one request (Wald, Sequential Analysis, 1947). No test with that error rate needs fewer.
func limit(from, to float64) float64 {
	divergence := to*math.Log(to/from) + (1-to)*math.Log((1-to)/(1-from))
	return math.Log(100) / divergence
}

// limit of the row, for latency by its buckets.
func (r *row) limit() float64 {
	if r.to > 0 {
		return limit(r.from, r.to)
	}
	if r.world.Candidate.Slower <= 1 {
		return math.NaN()
	}
	divergence, above, aboveSlow := 0.0, 1.0, 1.0
	for _, edge := range append(simulation.EnvoyEdges(), analysis.Unbounded) {
		rest, restSlow := r.world.Latency.Slower(edge, 1), r.world.Latency.Slower(edge, r.world.Candidate.Slower)
		p, q := above-rest, aboveSlow-restSlow
		if p > 0 && q > 0 {
			divergence += q * math.Log(q/p)
		}
		above, aboveSlow = rest, restSlow
	}
	return math.Log(100) / divergence
}
