package forecast

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
)

const (
	// patience is for how long a step without a deadline is tried.
	patience = 2 * time.Hour
	// sought is for how long a regression may stay in a step to count as found.
	sought = 30 * time.Minute
	// goodRuns and badRuns are how many rollouts are tried of each kind, and found how many of badRuns must be rolled back for a regression to count as found.
	goodRuns = 40
	badRuns  = 20
	found    = 19
	// pasts is how many hours before a rollout are tried.
	pasts = 4
)

// plan is a forecast in the making.
type plan struct {
	service  Service
	seed     uint64
	stages   []simulation.Stage
	weighed  []bool
	criteria *analysis.Criteria
	past     []analysis.Past
}

// fill tries all that the forecast tells.
func (p *plan) fill(f *Forecast) {
	if p.criteria != nil {
		p.calibrate()
	}
	p.good(f)
	for i := range f.Steps {
		if !f.Steps[i].Weighed {
			continue
		}
		harm := p.harm(i)
		f.Steps[i].Bad = &harm
		f.Steps[i].Errors = p.smallest(i, p.rates(), func(w *simulation.World, rate float64) { w.Candidate.Odds = simulation.OddsRatio(w.Errors, rate) })
		if p.criteria.Latency {
			f.Steps[i].Latency = p.smallest(i, factors, func(w *simulation.World, factor float64) { w.Candidate.Slower = factor })
		}
	}
	f.Bad = Harm{Missed: 1}
	if first := slices.Index(p.weighed, true); first >= 0 {
		f.Bad = *f.Steps[first].Bad
	}
}

// world is that of a good release.
func (p *plan) world() simulation.World {
	return simulation.World{
		Rate: p.service.Rate, Scrape: p.service.Scrape, Errors: p.service.Errors, Latency: p.service.Latency, Straddle: true,
		ColdStart: &simulation.ColdStart{Slower: 1, For: 0},
	}
}

// calibrate tells the engine of the incumbent's past.
func (p *plan) calibrate() {
	p.past = make([]analysis.Past, pasts)
	each(pasts, func(i int) {
		traffic := simulation.NewTraffic(p.world(), p.source("past", 0, i))
		calibrator := analysis.NewCalibrator(p.criteria)
		for range int(simulation.Past / p.service.Scrape) {
			calibrator.Add(traffic.Next())
		}
		p.past[i] = calibrator.Past()
	})
}

// good tries good releases.
func (p *plan) good(f *Forecast) {
	outcomes := p.try(goodRuns, "good", p.world(), p.stages)
	lengths, over := make([]time.Duration, 0, goodRuns), 0
	for _, out := range outcomes {
		if out.RolledBack {
			continue
		}
		lengths = append(lengths, out.Length())
		if out.Unproven > 0 {
			over++
		}
	}
	f.Good = spreadOf(lengths, over)
	for i := range f.Steps {
		times, late := make([]time.Duration, 0, goodRuns), 0
		for _, out := range outcomes {
			if len(out.Stages) <= i || out.RolledBack && len(out.Stages) == i+1 {
				continue
			}
			times = append(times, out.Stages[i])
			if p.weighed[i] && out.Stages[i] >= p.stages[i].Deadline {
				late++
			}
		}
		f.Steps[i].Good = spreadOf(times, late)
	}
}

// harm tries releases that turn bad in a step.
func (p *plan) harm(step int) Harm {
	world := p.world()
	world.Candidate = simulation.Difference{Odds: simulation.OddsRatio(world.Errors, p.service.BadErrors), Stage: step}
	outcomes := p.regress(step, "bad", world)
	var harm Harm
	var exposed []float64
	var times []time.Duration
	for _, out := range outcomes {
		if !out.RolledBack {
			harm.Missed += 1.0 / badRuns
			continue
		}
		times = append(times, out.FromOnset)
		exposed = append(exposed, out.Exposed)
	}
	if len(times) == 0 {
		return harm
	}
	harm.After = spreadOf(times, 0)
	slices.Sort(exposed)
	if !p.stages[step].Mirrored { // nobody gets the replies to copies
		harm.Requests = int(math.Round(exposed[(len(exposed)-1)/2] * (p.service.BadErrors - world.Errors)))
	}
	return harm
}

// factors of latency that are tried.
var factors = []float64{1.1, 1.25, 1.5, 2, 3, 5, 10}

// rates of errors that are tried: above the baseline, 1, 2, 3 and 5 of each power of ten.
func (p *plan) rates() []float64 {
	var all []float64
	for power := -4; power < 0; power++ {
		for _, digit := range []float64{1, 2, 3, 5} {
			if rate := digit * math.Pow10(power); rate > 1.2*p.service.Errors {
				all = append(all, rate)
			}
		}
	}
	return append(all, 0.999)
}

// smallest finds the first of rising regressions that is found in a step; nil when none is.
func (p *plan) smallest(step int, regressions []float64, apply func(*simulation.World, float64)) *Regression {
	var best *Regression
	low, high := 0, len(regressions)
	for low < high {
		middle := (low + high) / 2
		world := p.world()
		world.Candidate.Stage = step
		apply(&world, regressions[middle])
		var times []time.Duration
		for _, out := range p.regress(step, "smallest", world) {
			if out.RolledBack {
				times = append(times, out.FromOnset)
			}
		}
		if len(times) < found {
			low = middle + 1
			continue
		}
		high = middle
		best = &Regression{To: regressions[middle], After: spreadOf(times, 0).Median}
	}
	return best
}

// regress tries releases that differ from a step on, until they leave it.
func (p *plan) regress(step int, kind string, world simulation.World) []simulation.Outcome {
	stages := slices.Clone(p.stages[:step+1])
	last := &stages[step]
	last.Deadline = min(last.Deadline, max(sought, last.Hold+p.service.Scrape))
	return p.try(badRuns, kind, world, stages)
}

// try takes releases through stages.
func (p *plan) try(runs int, kind string, world simulation.World, stages []simulation.Stage) []simulation.Outcome {
	rollout := simulation.Rollout{Stages: stages}
	if p.criteria != nil {
		rollout.WarmUp = p.criteria.WarmUp
	}
	outcomes := make([]simulation.Outcome, runs)
	each(runs, func(i int) {
		outcomes[i] = simulation.Run(world, rollout, p.source(kind, len(stages), i), 0, nil, func() simulation.Judge { return p.judge(i) })
	})
	return outcomes
}

// source is of random numbers: those of the same kind and number are the same, so that two regressions are compared on
// the same traffic.
func (p *plan) source(kind string, stages, run int) *rand.Rand {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte{byte(stages), byte(run)})
	_, _ = hash.Write([]byte(kind))
	return rand.New(rand.NewPCG(p.seed, hash.Sum64())) //nolint:gosec // A forecast is to be the same each time.
}

// each calls for all numbers below n, on all cores.
func each(n int, call func(int)) {
	next := make(chan int)
	var group sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for i := range next {
				call(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}
