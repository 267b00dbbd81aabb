package main

import (
	"math"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
)

// window adds up what the candidate did lately.
type window struct {
	length time.Duration
	blocks []analysis.Counts
	ends   []time.Time
}

func (w *window) add(block *analysis.Block) {
	counts := block.Candidate
	counts.Buckets = append([]analysis.Bucket(nil), counts.Buckets...)
	w.blocks, w.ends = append(w.blocks, counts), append(w.ends, block.At)
	for len(w.ends) > 1 && block.At.Sub(w.ends[0]) >= w.length {
		w.blocks, w.ends = w.blocks[1:], w.ends[1:]
	}
}

// success is the share of the requests that did not fail; NaN without requests, as PromQL has it.
func (w *window) success() float64 {
	var requests, errors float64
	for _, counts := range w.blocks {
		requests, errors = requests+counts.Requests, errors+counts.Errors
	}
	if requests == 0 {
		return math.NaN()
	}
	return 1 - errors/requests
}

// p99 is the 99th percentile of latency, as PromQL's histogram_quantile has it.
func (w *window) p99() time.Duration {
	var sum analysis.Counts
	for _, counts := range w.blocks {
		if sum.Buckets == nil {
			sum.Buckets = append(sum.Buckets, counts.Buckets...)
			continue
		}
		for i, bucket := range counts.Buckets {
			sum.Buckets[i].Count += bucket.Count
		}
	}
	value, _ := sum.Quantile(0.99)
	return value
}

// flagger is the rule of Flagger's documentation (docs.flagger.app/usage/metrics, and the tutorials' analysis: interval 1m, threshold
// 5): each minute, a success rate of at least 99% and a 99th percentile of at most 500 ms in the last minute lead to the next weight; else a
// failed check is counted, one without traffic as well; with the fifth, the next look rolls back.
type flagger struct {
	window window
	failed int
	looks  time.Duration
}

func newFlagger() simulation.Judge {
	return &flagger{window: window{length: time.Minute}}
}

func (f *flagger) Enter(simulation.Stage) { f.looks = time.Minute }

func (f *flagger) Weigh(block *analysis.Block, stage time.Duration, _ bool) simulation.Decision {
	f.window.add(block)
	if stage < f.looks {
		return simulation.Wait
	}
	f.looks += time.Minute
	if f.failed >= 5 {
		return simulation.Rollback
	}
	if success := f.window.success(); math.IsNaN(success) || success < 0.99 || f.window.p99() > 500*time.Millisecond {
		f.failed++
		return simulation.Wait
	}
	return simulation.Advance
}

// argo is a background analysis of Argo Rollouts as its documentation shows it (argo-rollouts.readthedocs.io, features/analysis: interval 5m,
// result >= 0.95 by irate over the last two samples, failureLimit 3, steps of 10 minutes), or a stricter one of the same kind. What
// it measures is here the candidate's success, though the documented query takes both versions together. A result
// that is not a number is no success.
type argo struct {
	window   window
	least    float64
	interval time.Duration
	pause    time.Duration
	failed   int
	looks    time.Duration
}

// newArgo is the documented one.
func newArgo() simulation.Judge {
	return &argo{window: window{length: 1}, least: 0.95, interval: 5 * time.Minute, pause: 10 * time.Minute}
}

// newStrictArgo has Flagger's bounds.
func newStrictArgo() simulation.Judge {
	return &argo{window: window{length: time.Minute}, least: 0.99, interval: time.Minute, pause: 5 * time.Minute}
}

func (a *argo) Enter(simulation.Stage) { a.looks = a.interval }

func (a *argo) Weigh(block *analysis.Block, stage time.Duration, _ bool) simulation.Decision {
	a.window.add(block)
	if stage < a.looks {
		return simulation.Wait
	}
	a.looks += a.interval
	if success := a.window.success(); math.IsNaN(success) || success < a.least {
		if a.failed++; a.failed >= 3 {
			return simulation.Rollback
		}
	}
	if stage >= a.pause {
		return simulation.Advance
	}
	return simulation.Wait
}
