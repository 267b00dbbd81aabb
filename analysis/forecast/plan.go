package forecast

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
)

const (
	// patience is for how long a step without a deadline is tried.
	patience = 2 * time.Hour
	// sought is for how long a regression may stay in a step to count as found.
	sought = 30 * time.Minute
	// goodRuns and badRuns are how many rollouts are tried of each kind, and lost how many of badRuns may be promoted if a regression is to count as
	// found.
	goodRuns = 60
	badRuns  = 20
	lost     = 1
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
	}
}

// calibrate tells the engine of the incumbent's past.
func (p *plan) calibrate() {
	p.past = make([]analysis.Past, pasts)
	simulation.Each(pasts, func(i int) {
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
	p.coarsen(p.try(batch, batch, "first", p.world(), p.stages))
	outcomes := p.try(goodRuns, goodRuns, "good", p.world(), p.stages)
	lengths, over := make([]time.Duration, 0, goodRuns), 0
	for _, out := range outcomes {
		if out.RolledBack {
			f.RolledBack += 1.0 / goodRuns
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
			if len(out.Stages) <= i {
				continue
			}
			if out.RolledBack && out.Stage == i {
				f.Steps[i].RolledBack += 1.0 / goodRuns
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

// looks is how many scrapes of a stage are tried at least: in stages that last for hours, each single one would take more time to try than
// it tells.
const looks = 60

// finest is the time between scrapes of a step in which a regression begins, if the service's is not longer: it tells how soon it is found.
const finest = time.Second

// coarsen has long stages scraped less often.
func (p *plan) coarsen(outcomes []simulation.Outcome) {
	for i := range p.stages {
		var sum time.Duration
		for _, out := range outcomes {
			if i < len(out.Stages) {
				sum += out.Stages[i] / time.Duration(len(outcomes))
			}
		}
		p.stages[i].Scrape = max(p.service.Scrape, min(sum/looks, time.Minute))
	}
}

// harm tries releases that turn bad in a step.
func (p *plan) harm(step int) Harm {
	world := p.world()
	world.Candidate = simulation.Difference{Odds: simulation.OddsRatio(world.Errors, p.service.BadErrors), Stage: step}
	outcomes := p.regress(step, p.stages[step].Deadline, badRuns, "bad", world)
	var harm Harm
	var exposed []float64
	var times []time.Duration
	for _, out := range outcomes {
		if out.Stage != step {
			continue // it was taken for bad while it wasn't
		}
		if !out.RolledBack {
			harm.Missed += 1.0 / badRuns
			continue
		}
		times = append(times, out.FromOnset)
		exposed = append(exposed, out.Exposed)
	}
	if len(times) == 0 {
		return Harm{Missed: 1}
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
		for _, out := range p.regress(step, sought, lost, "smallest", world) {
			if out.RolledBack && out.Stage == step {
				times = append(times, out.FromOnset)
			}
		}
		if len(times) < badRuns-lost {
			low = middle + 1
			continue
		}
		high = middle
		best = &Regression{To: regressions[middle], After: spreadOf(times, 0).Median}
	}
	return best
}

// regress tries releases that differ from a step on, for so long or until they leave it, and no more of them once more than so many were
// promoted.
func (p *plan) regress(step int, limit time.Duration, promoted int, kind string, world simulation.World) []simulation.Outcome {
	stages := slices.Clone(p.stages[:step+1])
	last := &stages[step]
	last.Scrape = min(last.Scrape, max(p.service.Scrape, finest))
	last.Deadline = min(last.Deadline, max(limit, last.Hold+p.service.Scrape))
	return p.try(badRuns, promoted, kind, world, stages)
}

// batch is how many rollouts are tried at a time: the number of cores must not change what is found.
const batch = 4

// try takes releases through stages, and no more of them once more than so many were promoted.
func (p *plan) try(runs, promoted int, kind string, world simulation.World, stages []simulation.Stage) []simulation.Outcome {
	rollout := simulation.Rollout{Stages: stages}
	if p.criteria != nil {
		rollout.WarmUp = p.criteria.WarmUp
	}
	outcomes := make([]simulation.Outcome, runs)
	for first := 0; first < runs; first += batch {
		end := min(first+batch, runs)
		simulation.Each(end-first, func(i int) {
			i += first
			outcomes[i] = simulation.Run(world, rollout, p.source(kind, len(stages), i), 0, nil, func() simulation.Judge { return p.judge(i) })
		})
		for i := first; i < end; i++ {
			if !outcomes[i].RolledBack {
				promoted--
			}
		}
		if promoted < 0 {
			return outcomes[:end]
		}
	}
	return outcomes
}

// source is of random numbers: those of the same kind and number are the same, so that two regressions are compared on
// the same traffic.
func (p *plan) source(kind string, stages, run int) *rand.Rand {
	return simulation.Source(p.seed, kind, stages, run)
}
