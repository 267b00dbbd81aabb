package analysis

import (
	"math"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// fewest is how many requests a block is expected to have of the candidate: fewer are pooled, since each block costs evidence.
const fewest = 3

// family weighs one metric: a share of bad events, or the shares of requests that took longer than each of several edges.
type family struct {
	name   string
	dryRun bool
	// weight in the whole evidence; 0 for a metric that decides nothing.
	weight float64
	shares []share
	pool   pooled
	floor  floor
	// log of the family's evidence of harm, and the highest that it was.
	log, highest float64
	// failed says that a metric that decides nothing would have convicted, and lastAlone that there was nothing to compare with in the last block.
	failed, lastAlone bool
	// ready says that the pool is full.
	ready bool
	// blocks that were weighed.
	blocks int
}

// share is one share of bad events that is weighed.
type share struct {
	harm
	safety
	// waiting are the bad events that are pooled.
	waiting tracks
	// stage and whole are what was seen in the stage and in the rollout; alone is what the candidate did in the rollout with nothing to compare with.
	stage, whole pair
	alone        Tally
}

// tracks are numbers of both tracks.
type tracks struct{ candidate, incumbent float64 }

// pair are tallies of both tracks.
type pair struct{ candidate, incumbent Tally }

// pooled are blocks that wait until they are worth to be weighed.
type pooled struct {
	tracks
	unpaired bool
}

// prior is what holds for a share of bad events before anything was seen: the odds ratio that is no harm, and how much counts vary.
type prior struct {
	// asked is the margin that the user wrote. Where latencies are steep, the margin is wider.
	asked  float64
	margin float64
	spread spread
	// likely are the weights of the multiples.
	likely [len(multiples)]float64
}

// newFamily makes a family for shares of bad events.
func newFamily(name string, dryRun bool, weight float64, priors ...prior) family {
	f := family{name: name, dryRun: dryRun, weight: weight, shares: make([]share, len(priors))}
	own := weight
	if dryRun {
		own = 1
	}
	for j, prior := range priors {
		f.shares[j].harm = newHarm(prior, own/2)
	}
	return f
}

// enter begins a stage.
func (f *family) enter() {
	for j := range f.shares {
		f.shares[j].safety, f.shares[j].stage = safety{}, pair{}
	}
}

// add takes the events of a block, and the bad ones among them for each share. It is true when there is enough to be weighed.
func (f *family) add(stage Stage, events tracks, bad []tracks, paired bool) bool {
	for j := range f.shares {
		share := &f.shares[j]
		if math.IsNaN(bad[j].candidate + bad[j].incumbent) {
			share.waiting.candidate = math.NaN()
			continue // not counted in this block
		}
		share.stage.candidate = share.stage.candidate.plus(events.candidate, bad[j].candidate)
		share.stage.incumbent = share.stage.incumbent.plus(events.incumbent, bad[j].incumbent)
		share.waiting.candidate += bad[j].candidate
		share.waiting.incumbent += bad[j].incumbent
	}
	f.pool.candidate += events.candidate
	f.pool.incumbent += events.incumbent
	f.pool.unpaired = f.pool.unpaired || !paired
	if !stage.Random || stage.Share <= 0 {
		return f.pool.candidate >= fewest
	}
	return stage.Share*(f.pool.candidate+f.pool.incumbent) >= fewest
}

// weigh weighs what is pooled, and empties the pool. Limit is what is allowed where there is nothing to compare with, for the share at an index; a
// negative index is for none. It is false when the candidate had nothing, which is skipped.
func (f *family) weigh(stage Stage, index int, limit float64) bool {
	pool := f.pool
	f.pool, f.ready = pooled{}, false
	weighed := pool.candidate > 0 && pool.candidate+pool.incumbent <= mostCounted
	if weighed {
		alone := !stage.Random || pool.incumbent <= 0
		var logs [len(multiples)]float64
		if index >= 0 && math.IsNaN(f.shares[index].waiting.candidate) {
			index = -1
		}
		if alone && index >= 0 {
			logs = binomials(int64(f.shares[index].waiting.candidate), int64(pool.candidate), limit)
		}
		for j := range f.shares {
			switch share := &f.shares[j]; {
			case !alone:
				share.compared(pool)
			case index >= 0:
				share.weighAlone(&logs)
				if j == index {
					share.alone = share.alone.plus(pool.candidate, share.waiting.candidate)
				}
			}
		}
		f.lastAlone = alone
		f.sum(pool)
		f.highest = max(f.highest, f.log)
		f.failed = f.failed || (f.dryRun && f.log >= math.Log(1/alpha))
		f.blocks++
	}
	for j := range f.shares {
		f.shares[j].waiting = tracks{}
	}
	return weighed
}

// compared weighs a block of both tracks.
func (s *share) compared(pool pooled) {
	if math.IsNaN(s.waiting.candidate) {
		return
	}
	s.whole.candidate = s.whole.candidate.plus(pool.candidate, s.waiting.candidate)
	s.whole.incumbent = s.whole.incumbent.plus(pool.incumbent, s.waiting.incumbent)
	table := eprocess.Table{
		Candidate: int64(pool.candidate), Incumbent: int64(pool.incumbent),
		Bad: int64(s.waiting.candidate + s.waiting.incumbent), BadCandidate: int64(s.waiting.candidate),
	}
	ratios := s.compare(table, !pool.unpaired)
	s.learn(&ratios, s.spread.largest)
}

// sum takes the mean over the shares, and the floor where that is less.
func (f *family) sum(pool pooled) {
	if len(f.shares) == 0 {
		return
	}
	var logs [mostEdges]float64
	for j := range f.shares {
		logs[j] = f.shares[j].log
	}
	f.log = eprocess.LogMeanExp(logs[:len(f.shares)]...)
	if f.floor.ignored > 0 {
		first := &f.shares[0]
		f.floor.add(int64(first.waiting.candidate), int64(pool.candidate), first.most, first.spread.largest)
		f.log = min(f.log, f.floor.likelihood.Log())
	}
}
