package main

import (
	"math"
	"slices"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
)

// Kayenta's NetflixACAJudge (github.com/spinnaker/kayenta, kayenta-judge: fraction 0.25, confLevel 0.98) calls a metric High when the
// lower bound of the 98% confidence interval of the shift, by the Mann-Whitney test, is above a quarter of the estimated shift.
const (
	kayentaConfidence = 0.98
	kayentaTolerance  = 0.25
	// kayentaStep is the time of one data point, kayentaInterval that between two judgements: 40 points. Its documentation asks for
	// 50 points and recommends an hour.
	kayentaStep     = 15 * time.Second
	kayentaInterval = 10 * time.Minute
	// normal99 is the quantile of the normal distribution for that confidence.
	normal99 = 2.3263478740408408
)

// kayenta judges error rates and 99th percentiles, candidate against incumbent.
type kayenta struct {
	points [2]struct{ errors, latency []float64 }
	sums   [2]analysis.Counts
	looks  time.Duration
	since  time.Duration
}

func newKayenta() simulation.Judge { return &kayenta{} }

func (k *kayenta) Enter(simulation.Stage) {
	k.forget()
	k.looks, k.since = kayentaInterval, 0
}

func (k *kayenta) forget() {
	for track := range k.points {
		k.points[track].errors, k.points[track].latency = k.points[track].errors[:0], k.points[track].latency[:0]
	}
}

func (k *kayenta) Weigh(block *analysis.Block, stage time.Duration, _ bool) simulation.Decision {
	for track, counts := range []*analysis.Counts{&block.Incumbent, &block.Candidate} {
		addCounts(&k.sums[track], counts)
	}
	if stage-k.since >= kayentaStep {
		k.since = stage
		k.point()
	}
	if stage < k.looks {
		return simulation.Wait
	}
	k.looks += kayentaInterval
	defer k.forget()
	if high(k.points[0].errors, k.points[1].errors) || high(k.points[0].latency, k.points[1].latency) {
		return simulation.Rollback
	}
	return simulation.Advance
}

// point makes a data point of what was counted; there is none of a track without requests.
func (k *kayenta) point() {
	for track := range k.sums {
		sum := &k.sums[track]
		if rate, known := sum.ErrorRate(); known {
			p99, _ := sum.Quantile(0.99)
			k.points[track].errors = append(k.points[track].errors, rate)
			k.points[track].latency = append(k.points[track].latency, p99.Seconds())
		}
		sum.Requests, sum.Errors, sum.Buckets = 0, 0, sum.Buckets[:0]
	}
}

func addCounts(sum, counts *analysis.Counts) {
	sum.Requests += counts.Requests
	sum.Errors += counts.Errors
	if len(sum.Buckets) == 0 {
		sum.Buckets = append(sum.Buckets, counts.Buckets...)
		return
	}
	for i, bucket := range counts.Buckets {
		sum.Buckets[i].Count += bucket.Count
	}
}

// high classifies a metric.
func high(control, experiment []float64) bool {
	if len(control) == 0 || len(experiment) == 0 || slices.Equal(slices.Sorted(slices.Values(control)), slices.Sorted(slices.Values(experiment))) {
		return false
	}
	estimate, lower := shift(control, experiment)
	return lower > kayentaTolerance*math.Abs(estimate)
}

// shift estimates by how much the experiment is above the control, and the lower bound of the confidence interval, by the
// differences of all pairs (Hodges & Lehmann 1963; Hollander & Wolfe, Nonparametric Statistical Methods, 4.2 and 4.3, normal
// approximation with ties).
func shift(control, experiment []float64) (estimate, lower float64) {
	differences := make([]float64, 0, len(control)*len(experiment))
	for _, c := range control {
		for _, e := range experiment {
			differences = append(differences, e-c)
		}
	}
	slices.Sort(differences)
	m, n := float64(len(control)), float64(len(experiment))
	deviation := math.Sqrt(m * n / 12 * (m + n + 1 - ties(control, experiment)/((m+n)*(m+n-1))))
	at := int(math.Floor(m*n/2 - normal99*deviation))
	middle := len(differences) / 2
	estimate = differences[middle]
	if len(differences)%2 == 0 {
		estimate = (differences[middle-1] + differences[middle]) / 2
	}
	return estimate, differences[max(0, min(at, len(differences)-1))]
}

// ties is the sum of t^3 - t over groups of t equal values.
func ties(control, experiment []float64) float64 {
	all := slices.Concat(control, experiment)
	slices.Sort(all)
	sum, run := 0.0, 1.0
	for i := 1; i <= len(all); i++ {
		if i < len(all) && all[i] == all[i-1] {
			run++
			continue
		}
		sum += run*run*run - run
		run = 1
	}
	return sum
}
