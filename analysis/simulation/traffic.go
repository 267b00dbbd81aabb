package simulation

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/weighlock/weighlock/analysis"
)

// Traffic is what happens in a World, scrape by scrape.
type Traffic struct {
	world World
	rand  *rand.Rand
	// now is when the last block ended, on the incumbent's side, and began when the stage began.
	now, began time.Duration
	// stage is its index: -1 before the rollout; share is the candidate's.
	stage int
	// scrape is the time between two samples.
	scrape time.Duration
	// share of the users' requests or their copies that the candidate gets, and kept what the incumbent keeps.
	share, kept float64
	// onset is when the candidate begins to differ, if it has.
	onset time.Duration
	// incident is when the stage's incident begins.
	incident time.Duration
	// straddles is how much of the next block was before the stage.
	straddles time.Duration
	// bursts are when those that go on end, of the incumbent's pods and the candidate's.
	bursts [2][]time.Duration
	block  analysis.Block
	chance [2]chances
}

// chances are the probabilities of the buckets, for a factor of latency.
type chances struct {
	factor  float64
	buckets []float64
}

// The tracks, as indices.
const (
	incumbent = iota
	candidate
)

// epoch is when simulated time begins. What it is does not matter.
var epoch = time.Unix(1_800_000_000, 0).UTC()

// NewTraffic begins the traffic of a world, before its rollout.
func NewTraffic(world World, r *rand.Rand) *Traffic {
	t := &Traffic{world: world.withDefaults(), rand: r, stage: -1, kept: 1, scrape: world.Scrape}
	for track, counts := range []*analysis.Counts{incumbent: &t.block.Incumbent, candidate: &t.block.Candidate} {
		counts.Buckets = make([]analysis.Bucket, len(t.world.Edges))
		for i, edge := range t.world.Edges {
			counts.Buckets[i].UpperEdge = edge
		}
		t.chance[track].buckets = make([]float64, len(t.world.Edges))
	}
	return t
}

// Enter begins the next stage.
func (t *Traffic) Enter(stage Stage) {
	t.stage++
	t.share, t.kept = stage.Share, 1-stage.Share
	if stage.Mirrored {
		t.kept = 1
	}
	t.scrape = t.world.Scrape
	if stage.Scrape > 0 {
		t.scrape = stage.Scrape
	}
	if t.world.Straddle {
		t.straddles = time.Duration(t.rand.Float64() * float64(t.scrape))
	}
	t.began = t.now + t.straddles
	if t.stage == t.world.Candidate.Stage {
		t.onset = t.began + t.world.Candidate.After
	}
	if in := t.world.Incident; in != nil {
		t.incident = t.began + time.Duration(t.rand.Float64()*float64(in.Within))
	}
}

// Onset is how long the candidate has differed, up to the last block.
func (t *Traffic) Onset() time.Duration {
	if !t.differs(t.now - 1) {
		return 0
	}
	return t.now - t.onset
}

// Stage is how long the present stage has lasted, up to the last block.
func (t *Traffic) Stage() time.Duration { return t.now - t.began }

// Next returns the block up to the next scrape. It is good until the next call.
func (t *Traffic) Next() *analysis.Block {
	b := &t.block
	b.Incumbent.Requests, b.Incumbent.Errors = 0, 0
	b.Candidate.Requests, b.Candidate.Errors = 0, 0
	empty(b.Incumbent.Buckets, t.world.Edges)
	empty(b.Candidate.Buckets, t.world.Edges)
	from, to := t.now, t.now+t.scrape
	for at, grain := from, t.world.grain(t.scrape); at < to; at += grain {
		length := min(grain, to-at)
		t.sample(incumbent, &b.Incumbent, at, length, t.kept)
		t.sample(candidate, &b.Candidate, at+t.world.Lag, length, t.share)
	}
	cumulate(b.Incumbent.Buckets)
	cumulate(b.Candidate.Buckets)
	b.From, b.At = epoch.Add(from), epoch.Add(to+t.world.Lag)
	b.Paired, b.Straddles = t.world.Lag == 0, t.straddles > 0
	t.now, t.straddles = to, 0
	return b
}

// sample adds what a track does in a time in which nothing changes but by chance.
func (t *Traffic) sample(track int, counts *analysis.Counts, at, length time.Duration, share float64) {
	middle := at + length/2
	rate, errors, slower := t.conditions(track, middle)
	errors = either(errors, t.burst(track, at, length))
	requests := Poisson(t.rand, rate*share*length.Seconds())
	counts.Requests += float64(requests)
	counts.Errors += float64(Binomial(t.rand, requests, errors))
	if t.world.Latency.Median <= 0 {
		return
	}
	buckets := t.buckets(track, slower)
	left, rest := requests, 1.0
	for i := 0; left > 0 && i < len(buckets); i++ {
		n := left
		if i < len(buckets)-1 {
			n = Binomial(t.rand, left, buckets[i]/rest)
		}
		counts.Buckets[i].Count += float64(n)
		left, rest = left-n, rest-buckets[i]
	}
}

// conditions are the requests per second, the share of them that fails, and the factor of latency.
func (t *Traffic) conditions(track int, at time.Duration) (rate, errors, slower float64) {
	w := &t.world
	rate, errors, slower = w.Rate, w.Errors, 1
	if d := w.Drift; d != nil {
		wave := (1 - math.Cos(2*math.Pi*at.Seconds()/d.Period.Seconds())) / 2
		rate *= 1 + (d.Rate-1)*wave
		errors *= 1 + (d.Errors-1)*wave
		slower *= 1 + (d.Latency-1)*wave
	}
	if in := w.Incident; in != nil && t.stage >= 0 && at >= t.incident && at < t.incident+in.Length {
		errors = either(errors, in.Errors)
		slower *= max(1, in.Slower)
	}
	if track == incumbent {
		return rate, errors, slower
	}
	if cold := w.ColdStart; cold != nil && at-t.began < cold.For {
		slower *= 1 + (cold.Slower-1)*(1-(at-t.began).Seconds()/cold.For.Seconds())
	}
	if t.differs(at) {
		odds := errors / (1 - errors) * w.Candidate.Odds
		errors = odds / (1 + odds)
		slower *= w.Candidate.Slower
	}
	return rate, errors, slower
}

// differs says whether the candidate does at a moment.
func (t *Traffic) differs(at time.Duration) bool {
	from := t.world.Candidate
	return t.stage > from.Stage || t.stage == from.Stage && at-t.began >= from.After
}

// either is the probability of one of two independent events.
func either(a, b float64) float64 { return 1 - (1-a)*(1-b) }

// burst is the share of a track's requests that fails because some of its pods are in trouble.
func (t *Traffic) burst(track int, at, length time.Duration) float64 {
	b := t.world.Bursts
	if b == nil {
		return 0
	}
	pods := math.Round(float64(b.Pods) * t.share)
	if track == incumbent {
		pods = float64(b.Pods) - pods
	}
	if pods < 1 {
		return 0
	}
	going := t.bursts[track][:0]
	for _, end := range t.bursts[track] {
		if end > at {
			going = append(going, end)
		}
	}
	for range Poisson(t.rand, pods*length.Seconds()/b.Every.Seconds()) {
		going = append(going, at+b.Length)
	}
	t.bursts[track] = going
	return min(1, float64(len(going))/pods) * b.Errors
}

// buckets are the probabilities that a request falls into each.
func (t *Traffic) buckets(track int, factor float64) []float64 {
	c := &t.chance[track]
	if c.factor == factor {
		return c.buckets
	}
	c.factor = factor
	above := 1.0
	for i, edge := range t.world.Edges {
		slower := t.world.Latency.Slower(edge, factor)
		c.buckets[i] = above - slower
		above = slower
	}
	return c.buckets
}

func empty(buckets []analysis.Bucket, edges []time.Duration) {
	for i := range buckets {
		buckets[i] = analysis.Bucket{UpperEdge: edges[i]}
	}
}

func cumulate(buckets []analysis.Bucket) {
	for i := 1; i < len(buckets); i++ {
		buckets[i].Count += buckets[i-1].Count
	}
}
