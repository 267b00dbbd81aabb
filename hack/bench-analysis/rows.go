package main

import (
	"time"

	"github.com/weighlock/weighlock/analysis/simulation"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// row is a line of the table: rollouts in one world.
type row struct {
	group kind
	name  string
	// short is the name in the plots.
	short   string
	world   simulation.World
	rollout simulation.Rollout
	// spec is what Weighlock judges by, if not by its defaults.
	spec v1alpha1.Analysis
	// most is the goal: the largest share of rollouts of which the group's question is true. Neither this nor within is set where there is
	// none.
	most float64
	// within is the goal for the median time to a rollback.
	within time.Duration
	// from and to are the error rates of the tracks, for Wald's limit; zero where latency differs.
	from, to float64
}

// kind says what is asked of the rollouts of a row.
type kind int

const (
	// good candidates, or such as are hardly worse, are not to be rolled back.
	good kind = iota
	// bad candidates are to be rolled back, soon, and never promoted.
	bad
	// bound candidates are not to pass any stage.
	bound
)

// ordinary is a service as others are taken from.
func ordinary() simulation.World {
	return simulation.World{
		Rate: 100, Scrape: 15 * time.Second, Errors: 0.001,
		Latency: simulation.LatencyOf(40*time.Millisecond, 300*time.Millisecond),
	}
}

// with is an ordinary service that differs.
func with(change func(*simulation.World)) simulation.World {
	world := ordinary()
	change(&world)
	return world
}

// Deadlines of a step. After it a good release goes on unproven, so that it can still be rolled back in the next steps; nobody
// waits so long for a verdict on a bad one.
const (
	goodDeadline = 30 * time.Minute
	badDeadline  = 4 * time.Hour
)

// steps of 5, 10, 25 and 50%, with that hold in all but the last.
func steps(hold, deadline time.Duration) simulation.Rollout {
	rollout := simulation.Rollout{WarmUp: time.Minute}
	for _, share := range []float64{0.05, 0.1, 0.25, 0.5} {
		rollout.Stages = append(rollout.Stages, simulation.Stage{Share: share, Hold: hold, Deadline: deadline})
	}
	rollout.Stages[3].Hold = 0
	return rollout
}

// rows are those of the table.
func rows() []row {
	return append(append(goodRows(), badRows()...), boundRows()...)
}

// incident is trouble that both tracks share, at some time in each stage's first minute and a half.
func incident(errors float64, lag time.Duration) func(*simulation.World) {
	return func(w *simulation.World) {
		w.Incident = &simulation.Incident{Errors: errors, Slower: 2, Within: 90 * time.Second, Length: 2 * time.Minute}
		w.Lag = lag
	}
}

// bursts hit a pod of twenty every minute or so.
func bursts(length time.Duration) func(*simulation.World) {
	return func(w *simulation.World) {
		w.Bursts = &simulation.Bursts{Pods: 20, Every: 20 * time.Minute, Length: length, Errors: 0.2}
	}
}

func goodRows() []row {
	same := func(short, name string, most float64, change func(*simulation.World)) row {
		return row{group: good, name: name, short: short, world: with(change), rollout: steps(5*time.Minute, goodDeadline), most: most}
	}
	return []row{
		same("100 rps", "no difference, 100 requests/s, 0.1% errors", 0.01, func(*simulation.World) {}),
		same("1% errors", "no difference, 100 requests/s, 1% errors", 0.01, func(w *simulation.World) { w.Errors = 0.01 }),
		same("2 rps", "no difference, 2 requests/s", 0.01, func(w *simulation.World) { w.Rate = 2 }),
		same("0.2 rps", "no difference, 0.2 requests/s", 0.01, func(w *simulation.World) { w.Rate = 0.2 }),
		same("drift", "errors drift between 0.1% and 1%, latency and traffic by half", 0.01, func(w *simulation.World) {
			w.Drift = &simulation.Drift{Period: 20 * time.Minute, Rate: 1.5, Errors: 10, Latency: 1.5}
		}),
		same("incident 3%", "an incident that both share in each step, 3% errors", 0.01, incident(0.03, 0)),
		same("incident 10%", "the same, 10% errors", 0.01, incident(0.1, 0)),
		same("3%, unequal", "3% errors, tracks scraped 10 s apart", 0.01, incident(0.03, 10*time.Second)),
		same("10%, unequal", "10% errors, tracks scraped 10 s apart", 0.01, incident(0.1, 10*time.Second)),
		same("bursts 10 s", "single pods of both tracks fail for 10 s", 0.01, bursts(10*time.Second)),
		same("bursts 60 s", "single pods of both tracks fail for 60 s", 0.05, bursts(time.Minute)),
		same("cold start", "three times as slow at the beginning of each step", 0.01, func(w *simulation.World) {
			w.ColdStart = &simulation.ColdStart{Slower: 3, For: 50 * time.Second}
		}),
		same("5% slower", "5% slower for ever", 0.03, func(w *simulation.World) { w.Candidate.Slower = 1.05 }),
		same("5%, tight", "5% slower for ever where latency is tight (log-sd 0.3)", 0.03, func(w *simulation.World) {
			w.Candidate.Slower, w.Latency.LogSD = 1.05, 0.3
		}),
		same("at the margin", "as bad as the margin just allows: 1% to 1.25% errors (odds ratio 1.25)", 0.01, func(w *simulation.World) {
			w.Errors, w.Candidate.Odds = 0.01, 1.25
		}),
		same("15% more errors", "15% more errors for ever (1% to 1.15%)", 0.03, func(w *simulation.World) {
			w.Errors, w.Candidate.Odds = 0.01, simulation.OddsRatio(0.01, 0.0115)
		}),
	}
}

func badRows() []row {
	var all []row
	for _, scrape := range []struct {
		every  time.Duration
		within [3]time.Duration
	}{{15 * time.Second, [3]time.Duration{150 * time.Second, time.Minute, 30 * time.Second}}, {time.Second, [3]time.Duration{125 * time.Second, 16 * time.Second, 4 * time.Second}}} {
		for i, errors := range []float64{0.01, 0.05, 0.5} {
			said := []string{"1%", "5%", "50%"}[i]
			all = append(all, row{
				group: bad, name: "errors 0.1% to " + said + ", scraped every " + scrape.every.String(),
				short: said + " errors, " + scrape.every.String(), rollout: steps(0, badDeadline), within: scrape.within[i], from: 0.001, to: errors,
				world: with(func(w *simulation.World) {
					w.Scrape, w.Candidate.Odds = scrape.every, simulation.OddsRatio(0.001, errors)
				}),
			})
		}
	}
	for _, slower := range []struct {
		factor float64
		said   string
		within time.Duration
	}{{1.25, "1.25", 450 * time.Second}, {2, "2", 110 * time.Second}} {
		all = append(all, row{
			group: bad, name: slower.said + " times as slow", short: "latency x" + slower.said, rollout: steps(0, badDeadline), within: slower.within,
			world: with(func(w *simulation.World) { w.Candidate.Slower = slower.factor }),
		})
	}
	return append(all, lateRows()...)
}

// lateRows are of candidates that turn bad in the step of 50%: in the midst of it, or with its beginning after long health.
func lateRows() []row {
	midst := steps(0, badDeadline)
	midst.Stages[3].Hold = 20 * time.Minute
	long := steps(5*time.Minute, badDeadline)
	errors := func(after time.Duration) simulation.World {
		return with(func(w *simulation.World) {
			w.Rate, w.Errors = 1000, 0.01
			w.Candidate = simulation.Difference{Odds: simulation.OddsRatio(0.01, 0.05), Stage: 3, After: after}
		})
	}
	latency := func(after time.Duration) simulation.World {
		return with(func(w *simulation.World) { w.Candidate = simulation.Difference{Slower: 1.25, Stage: 3, After: after} })
	}
	return []row{
		{
			group: bad, name: "late: errors 1% to 5% in the midst of the 50% step, 1,000 requests/s", short: "late: 5% errors",
			rollout: midst, within: 90 * time.Second, from: 0.01, to: 0.05, world: errors(2 * time.Minute),
		},
		{
			group: bad, name: "late: 1.25 times as slow in the midst of the 50% step", short: "late: latency x1.25",
			rollout: midst, within: 150 * time.Second, world: latency(2 * time.Minute),
		},
		{
			group: bad, name: "errors 1% to 5% with the beginning of the 50% step, after 15 minutes of health, 1,000 requests/s", short: "later: 5% errors",
			rollout: long, from: 0.01, to: 0.05, world: errors(0),
		},
		{
			group: bad, name: "1.25 times as slow with the beginning of the 50% step, after 15 minutes of health", short: "later: latency x1.25",
			rollout: long, world: latency(0),
		},
	}
}

func boundRows() []row {
	at := func(short, name string, change func(*simulation.World)) row {
		return row{group: bound, name: name, short: short, world: with(change), rollout: steps(0, badDeadline), most: 0.05}
	}
	return []row{
		at("twice the errors", "errors at the bound of what may pass: 1% to 2% (odds ratio 2)", func(w *simulation.World) {
			w.Errors, w.Candidate.Odds = 0.01, 2.0
		}),
		at("0.001% to 0.3%", "errors 0.001% to 0.3%, 1,000 requests/s", func(w *simulation.World) {
			w.Rate, w.Errors, w.Candidate.Odds = 1000, 0.00001, simulation.OddsRatio(0.00001, 0.003)
		}),
		// At this rate nobody knows of 0.001% (a failed request in a quarter of an hour): a good SLO is all that can be shown.
		{
			group: bound, name: "the same, 100 requests/s", short: "0.3%, 100 rps", rollout: steps(0, badDeadline),
			world: with(func(w *simulation.World) { w.Errors, w.Candidate.Odds = 0.00001, simulation.OddsRatio(0.00001, 0.003) }),
		},
	}
}
