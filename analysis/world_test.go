package analysis_test

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// epoch is when the worlds of the tests begin.
var epoch = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// edges of Envoy's histograms, in ms.
var edges = []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000}

// track is how a track replies.
type track struct {
	// failed is the probability of an error.
	failed float64
	// median of the latency in ms, and the standard deviation of its logarithm.
	median, sd float64
}

// world yields blocks of two tracks.
type world struct {
	random   *rand.Rand
	at       time.Time
	interval time.Duration
	// rps are requests in a second, of which a share goes to the candidate.
	rps, share           float64
	incumbent, candidate track
	mirrored             bool
}

func newWorld(seed uint64, rps, share float64, incumbent, candidate track) *world {
	return &world{
		random: rand.New(rand.NewPCG(seed, 7)), at: epoch, interval: 15 * time.Second,
		rps: rps, share: share, incumbent: incumbent, candidate: candidate,
	}
}

// binomial draws from n events, by waiting times where few happen.
func binomial(random *rand.Rand, n float64, p float64) float64 {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - binomial(random, n, 1-p)
	case n*p > 100:
		return math.Round(min(n, max(0, n*p+random.NormFloat64()*math.Sqrt(n*p*(1-p)))))
	}
	hits, at := 0.0, 0.0
	for {
		at += math.Floor(math.Log(1-random.Float64())/math.Log1p(-p)) + 1
		if at > n {
			return hits
		}
		hits++
	}
}

func poisson(random *rand.Rand, mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	return binomial(random, math.Ceil(mean)*1000, mean/(math.Ceil(mean)*1000))
}

func (t track) counts(random *rand.Rand, requests float64) analysis.Counts {
	counts := analysis.Counts{Requests: requests, Errors: binomial(random, requests, t.failed)}
	if t.median <= 0 {
		return counts
	}
	below, left, seen := 0.0, requests, 0.0
	for _, edge := range edges {
		p := 0.5 * math.Erfc(-math.Log(edge/t.median)/t.sd/math.Sqrt2)
		if p > below {
			hits := binomial(random, left, min(1, (p-below)/(1-below)))
			left, seen, below = left-hits, seen+hits, p
		}
		counts.Buckets = append(counts.Buckets, analysis.Bucket{UpperEdge: time.Duration(edge * float64(time.Millisecond)), Count: seen})
	}
	counts.Buckets = append(counts.Buckets, analysis.Bucket{UpperEdge: analysis.Unbounded, Count: requests})
	return counts
}

// next is the next scrape's block.
func (w *world) next() *analysis.Block {
	requests := poisson(w.random, w.rps*w.interval.Seconds())
	candidate := binomial(w.random, requests, w.share)
	block := &analysis.Block{From: w.at, At: w.at.Add(w.interval), Paired: true}
	w.at = block.At
	if w.mirrored {
		block.Incumbent = w.incumbent.counts(w.random, requests)
	} else {
		block.Incumbent = w.incumbent.counts(w.random, requests-candidate)
	}
	block.Candidate = w.candidate.counts(w.random, candidate)
	return block
}

// past is what the incumbent did before.
func (w *world) past(criteria *analysis.Criteria) analysis.Past {
	calibrator := analysis.NewCalibrator(criteria)
	share := w.share
	w.share = 0
	for range int(20 * time.Minute / w.interval) {
		calibrator.Add(w.next())
	}
	w.share = share
	return calibrator.Past()
}

// rollout lets an engine see steps of so many minutes each, and returns the verdict and after how long it was Fail or, if there is one step only, any.
func (w *world) rollout(engine *analysis.Engine, step time.Duration, shares ...float64) (analysis.Verdict, time.Duration) {
	begin := w.at
	for _, share := range shares {
		w.share = share
		engine.Enter(analysis.Stage{Share: share, Random: true})
		for since := w.at; w.at.Sub(since) < step; {
			engine.Add(w.next(), true)
			verdict := engine.Verdict()
			if verdict.Outcome == v1alpha1.OutcomeFail || (len(shares) == 1 && verdict.Outcome == v1alpha1.OutcomePass) {
				return verdict, w.at.Sub(begin)
			}
		}
	}
	return engine.Verdict(), w.at.Sub(begin)
}
