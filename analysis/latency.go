package analysis

import "math"

const (
	// tail is the share of the incumbent's requests that must be slower than an edge for latency to be safe there by comparison alone.
	tail = 0.01
	// tailLimit is the rate that the first edge beyond may have.
	tailLimit = 0.02
)

// latency weighs how long requests take, at every edge of the histogram.
type latency struct {
	family
	criteria latencyCriteria
	// edges are those that are weighed, chosen once; none until then.
	edges []edge
	// timed is how many requests of the incumbent the edges' past tells of.
	timed float64
	// learned is what the rollout's first blocks say of the incumbent, where there is no past.
	learned []pastEdge
	// lower and upper are the edges at or below the threshold and at or above it; -1 for none.
	lower, upper int
	// shown are whole histograms of what was timed in the stage, for display.
	shown struct{ candidate, incumbent Counts }
	// first scratch space, then what is told of the last blocks.
	candidate, incumbent []float64
	bad                  []tracks
	cold                 bool
	strange              int
}

func newLatency(criteria latencyCriteria, past Past, weight float64) *latency {
	l := &latency{criteria: criteria, lower: -1, upper: -1}
	l.name, l.dryRun, l.weight = latencyName, criteria.dryRun, weight
	if past.timed >= fewestTimed {
		l.choose(past.edges, past.timed)
	}
	return l
}

// choose fixes the edges for the whole rollout.
func (l *latency) choose(past []pastEdge, timed float64) {
	l.edges, l.timed = chooseEdges(past, timed, l.criteria.margin, l.criteria.threshold), timed
	if l.criteria.threshold > 0 {
		l.lower, l.upper = around(l.edges, l.criteria.threshold)
	}
	priors := make([]prior, len(l.edges))
	for j, edge := range l.edges {
		priors[j] = edge.prior
	}
	l.family = newFamily(l.name, l.dryRun, l.weight, priors...)
	l.candidate, l.incumbent = make([]float64, len(l.edges)), make([]float64, len(l.edges))
	l.bad, l.learned = make([]tracks, len(l.edges)), nil
}

// forget has the edges learned anew.
func (l *latency) forget() {
	l.edges, l.learned, l.timed, l.lower, l.upper = nil, nil, 0, -1, -1
	l.family = family{name: l.name, dryRun: l.dryRun, weight: l.weight}
}

// enter begins a stage.
func (l *latency) enter() {
	l.family.enter()
	l.shown.candidate, l.shown.incumbent = Counts{}, Counts{}
}

// take counts a block, and is true when there is enough to be weighed.
func (l *latency) take(stage Stage, block *Block, warm bool) bool {
	l.cold = !warm
	if !warm || (len(block.Candidate.Buckets) == 0 && len(block.Incumbent.Buckets) == 0) {
		return false
	}
	if !block.Candidate.sanelyTimed() || !block.Incumbent.sanelyTimed() {
		l.strange++
		return false
	}
	if len(l.edges) == 0 && !l.learn(stage, block) {
		l.show(block)
		return false
	}
	candidate, known := slowerAt(l.edges, block.Candidate.Buckets, l.candidate)
	incumbent, both := slowerAt(l.edges, block.Incumbent.Buckets, l.incumbent)
	if !known || !both {
		l.strange++
		if l.blocks == 0 {
			l.forget() // the past had other edges
		}
		return false
	}
	l.show(block)
	for j := range l.bad {
		l.bad[j] = tracks{candidate: l.candidate[j], incumbent: l.incumbent[j]}
		l.edges[j].gone = math.IsNaN(l.candidate[j] + l.incumbent[j])
	}
	return l.add(stage, tracks{candidate: candidate, incumbent: incumbent}, l.bad, block.Paired)
}

// show adds a block to what is displayed.
func (l *latency) show(block *Block) {
	l.shown.candidate = grown(l.shown.candidate, &block.Candidate)
	l.shown.incumbent = grown(l.shown.incumbent, &block.Incumbent)
}

// learn gets to know the incumbent where there is no past. It is true when the edges are chosen before the block is weighed:
// what was learned from is not weighed.
func (l *latency) learn(stage Stage, block *Block) bool {
	buckets := block.Incumbent.Buckets
	if block.Incumbent.timed() <= 0 || len(buckets) < 2 {
		// Nothing to learn from, and where that is how it should be, only a threshold tells something.
		if buckets = block.Candidate.Buckets; len(buckets) < 2 || hasPeer(stage) || l.criteria.threshold <= 0 {
			return false
		}
		l.choose(edgesOf(buckets), 0)
		return true
	}
	finite := buckets[:len(buckets)-1]
	if len(l.learned) != len(finite) {
		l.learned, l.timed = edgesOf(buckets), 0
	}
	total := buckets[len(finite)].Count
	l.timed += total
	for j := range l.learned {
		if l.learned[j].at != finite[j].UpperEdge {
			l.learned = nil
			return false
		}
		l.learned[j].slower += total - finite[j].Count
	}
	if l.timed >= fewestTimed {
		l.choose(l.learned, l.timed)
	}
	return false
}

func edgesOf(buckets []Bucket) []pastEdge {
	edges := make([]pastEdge, len(buckets)-1)
	for j := range edges {
		edges[j].at = buckets[j].UpperEdge
	}
	return edges
}

// weighed weighs what is pooled.
func (l *latency) weighed(stage Stage) {
	if !l.weigh(stage, l.upper, l.criteria.allowed) {
		return
	}
	for j := range l.shares {
		share := &l.shares[j]
		if basis, needed := l.basis(stage, j); needed && basis.limit > 0 {
			share.look(basis, share.stage.candidate, share.spread.largest)
		}
	}
}

// basis says by what an edge is to be found safe, and whether it has to be.
//
//   - With a threshold that is the edge at or below it, by comparison and by the rate; where all edges are above, the first one, by comparison.
//   - Without one, and nothing to compare with, latency has nothing to say.
//   - Else these are the edges that between 1% and 99% of the incumbent's requests exceed, by comparison, and the first one that fewer
//     exceed, by both: hardly a request tells something beyond it, and all of them are slower than the edges before.
func (l *latency) basis(stage Stage, j int) (basis, bool) {
	compare := hasPeer(stage)
	switch {
	case l.criteria.threshold > 0 && l.lower >= 0:
		return basis{compare: compare, limit: l.criteria.allowed}, j == l.lower
	case l.criteria.threshold > 0:
		return basis{compare: compare}, j == 0 && compare
	case !compare:
		return basis{}, false
	}
	exceed, before := l.exceed(j), j-1
	for before >= 0 && l.edges[before].gone {
		before--
	}
	switch {
	case l.edges[j].gone, exceed >= 1-tail:
		return basis{}, false
	case exceed >= tail:
		return basis{compare: true}, true
	default:
		return basis{compare: true, limit: tailLimit}, before < 0 || l.exceed(before) >= tail
	}
}

// exceed is the share of the incumbent's requests that took longer than an edge, before the rollout and in it.
func (l *latency) exceed(j int) float64 {
	incumbent := l.shares[j].whole.incumbent
	total := l.timed + incumbent.Total
	if total <= 0 {
		return 0
	}
	return (l.edges[j].slower + incumbent.Bad) / total
}

// weakest is the edge with the least evidence of those that have to be safe, and its evidence. It is -1 when there is none.
func (l *latency) weakest(stage Stage) (int, float64) {
	least, found := -1, math.Inf(1)
	for j := range l.shares {
		basis, needed := l.basis(stage, j)
		if !needed {
			continue
		}
		if evidence := l.shares[j].found(basis); evidence < found {
			least, found = j, evidence
		}
	}
	return least, found
}

// mute says that latency has nothing to say in a stage.
func (l *latency) mute(stage Stage) bool {
	return l.criteria.threshold <= 0 && !hasPeer(stage)
}
