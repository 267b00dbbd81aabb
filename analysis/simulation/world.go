// Package simulation makes up the traffic of services while they are rolled out: the requests, errors and latencies that
// both tracks would report, scrape by scrape. Whoever judges rollouts can be tried on it. The same seed makes the same traffic.
package simulation

import (
	"math"
	"slices"
	"time"

	"github.com/weighlock/weighlock/analysis"
)

// World is a service's traffic, and how its versions behave. What is not set does not happen.
type World struct {
	// Rate is how many requests users send per second, and Scrape the time between two samples of the counters.
	Rate   float64
	Scrape time.Duration
	// Errors is the share of requests that fail, from 0 to 1, and Latency how long they take: of both tracks.
	Errors  float64
	Latency Latency
	// Edges of the histogram's buckets, without the last, which has no bound. Nil for Envoy's.
	Edges []time.Duration
	// Candidate is how the candidate differs.
	Candidate Difference
	// Incident is trouble that both tracks share, once in each stage.
	Incident *Incident
	// Bursts are short troubles of single pods, of both tracks alike.
	Bursts *Bursts
	// ColdStart is how slow the candidate is when it gets more traffic.
	ColdStart *ColdStart
	// Drift is how the service changes for both tracks while it is rolled out.
	Drift *Drift
	// Lag is how much later the candidate's counters are read than the incumbent's. If it isn't zero, blocks are not paired.
	Lag time.Duration
	// Straddle has stages begin at any moment between two scrapes, and not with one.
	Straddle bool
}

// Latency is a log-normal distribution.
type Latency struct {
	Median time.Duration
	// LogSD is the standard deviation of the natural logarithm.
	LogSD float64
}

// normal99 is the 99th percentile of the standard normal distribution.
const normal99 = 2.3263478740408408

// LatencyOf is the distribution with that median and 99th percentile.
func LatencyOf(median, p99 time.Duration) Latency {
	return Latency{Median: median, LogSD: math.Log(float64(p99)/float64(median)) / normal99}
}

// Slower is the share of requests that take longer than the edge when all take factor times as long.
func (l Latency) Slower(edge time.Duration, factor float64) float64 {
	if l.Median <= 0 || edge == analysis.Unbounded {
		return 0
	}
	return math.Erfc((math.Log(float64(edge)/float64(l.Median))-math.Log(factor))/l.LogSD/math.Sqrt2) / 2
}

// Difference is how the candidate differs from the incumbent.
type Difference struct {
	// Odds is the odds ratio of failure, and Slower the factor of latency, candidate against incumbent; 0 and 1 are no difference.
	Odds, Slower float64
	// Stage is the index of the stage in which it begins to differ, and After how long after the stage's beginning.
	Stage int
	After time.Duration
}

// OddsRatio is what turns an error rate into another.
func OddsRatio(from, to float64) float64 {
	return to / (1 - to) / (from / (1 - from))
}

// Incident is trouble of something that both tracks need.
type Incident struct {
	// Errors is the share of requests that fail by it, and Slower the factor of latency.
	Errors, Slower float64
	// It begins at any moment of the stage's first time Within, and lasts for Length.
	Within, Length time.Duration
}

// Bursts are troubles of single pods: each pod has them with the same probability, whichever track it belongs to.
type Bursts struct {
	// Pods is how many there are of both tracks together. They share the requests evenly, and each track has its share of them.
	Pods int
	// Every is the mean time between two bursts of one pod, Length how long one lasts, and Errors the share of the pod's requests that fail in it.
	Every, Length time.Duration
	Errors        float64
}

// ColdStart is how the candidate is slow when a stage begins.
type ColdStart struct {
	// Slower is the factor of latency at the beginning. It goes back to 1 evenly in the time For.
	Slower float64
	For    time.Duration
}

// Drift is a slow change of both tracks, there and back in waves.
type Drift struct {
	// Period of a wave.
	Period time.Duration
	// Rate, Errors and Latency are the factors at the top of a wave; at the bottom they are 1.
	Rate, Errors, Latency float64
}

// EnvoyEdges are the bucket edges of Envoy's histograms.
func EnvoyEdges() []time.Duration {
	milliseconds := []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}
	edges := make([]time.Duration, len(milliseconds))
	for i, ms := range milliseconds {
		edges[i] = time.Duration(ms * float64(time.Millisecond))
	}
	return edges
}

// withDefaults fills in what is not set.
func (w World) withDefaults() World {
	if w.Edges == nil {
		w.Edges = EnvoyEdges()
	}
	w.Edges = slices.Clone(w.Edges)
	if last := len(w.Edges) - 1; last < 0 || w.Edges[last] != analysis.Unbounded {
		w.Edges = append(w.Edges, analysis.Unbounded)
	}
	if w.Candidate.Odds == 0 {
		w.Candidate.Odds = 1
	}
	if w.Candidate.Slower == 0 {
		w.Candidate.Slower = 1
	}
	return w
}

// grain is the time in which nothing changes but by chance: worlds in which more happens are sampled by the second.
func (w World) grain(scrape time.Duration) time.Duration {
	if w.Incident == nil && w.Bursts == nil && w.ColdStart == nil && w.Lag == 0 {
		return scrape
	}
	return min(scrape, time.Second)
}
