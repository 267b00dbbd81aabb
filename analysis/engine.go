package analysis

import (
	"math"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// Engine weighs the candidate of one rollout, block by block. It is one test for the whole rollout: however often one looks,
// the stated error rates hold. It is not safe for concurrent use.
//
//   - Fail: the evidence E that the candidate is worse reaches 1/alpha = 100. E is the mean over the metrics of their own evidence, with weights
//     that are fixed at the start; a mean of e-values is one, whatever their dependence. A metric without data counts 1.
//   - Pass: each metric is found safe in the stage, E is not above 1, there are enough requests for the SLO, and the candidate gets the
//     share of requests that was asked for.
//   - Inconclusive: else.
//
// What it was given is not kept, but summed up: two Engines that are given the same come to the same verdict.
type Engine struct {
	criteria *Criteria
	errors   family
	latency  *latency // nil where it is not judged
	ratios   []family
	bounds   []bound

	stage   Stage
	entered bool
	split   split
	seen    Measurement
	// blocks that were taken, and strange ones that no counter could have said.
	blocks, strange int
	// log of E.
	log float64
	// failed is the verdict that stays.
	failed *Verdict
	// events is scratch space.
	events []tracks
}

// NewEngine makes an Engine that has seen nothing but the incumbent's past.
func NewEngine(criteria *Criteria, past Past) *Engine {
	e := &Engine{criteria: criteria, ratios: make([]family, len(criteria.ratios)), bounds: make([]bound, len(criteria.Thresholds)), events: make([]tracks, 1)}
	weight := func(dryRun bool) float64 {
		if dryRun {
			return 0
		}
		return 1 / float64(criteria.deciding())
	}
	e.errors = newProportion(criteria.errors, weight(criteria.errors.dryRun), past.errors)
	if criteria.Latency {
		e.latency = newLatency(criteria.latency, past, weight(criteria.latency.dryRun))
	}
	for i, ratio := range criteria.ratios {
		var known spread
		if i < len(past.ratios) {
			known = past.ratios[i]
		}
		e.ratios[i] = newProportion(ratio, weight(ratio.dryRun), known)
	}
	return e
}

// newProportion makes a family of one share.
func newProportion(criteria proportionCriteria, weight float64, past spread) family {
	f := newFamily(criteria.name, criteria.dryRun, weight, prior{asked: criteria.margin, margin: criteria.margin, spread: past, likely: likelyErrors})
	if criteria.ignored > 0 {
		f.floor = floor{criteria.ignored, eprocess.NewLates(likelyErrors[:]...)}
	}
	return f
}

// deciding is how many metrics share E.
func (c *Criteria) deciding() int {
	n := 0
	if !c.errors.dryRun {
		n++
	}
	if c.Latency && !c.latency.dryRun {
		n++
	}
	for i := range c.ratios {
		if !c.ratios[i].dryRun {
			n++
		}
	}
	return n
}

// Stage is the traffic of a step, as far as a test must know it.
type Stage struct {
	// Share of the users' requests, or of their copies, that is asked for the candidate, from 0 to 1.
	Share float64
	// Random says that chance alone decides which requests the candidate gets: not where some are chosen by what they are.
	Random bool
	// Mirrored says that the candidate gets copies.
	Mirrored bool
}

// hasPeer says that the incumbent gets requests of the same kind at the same time.
func hasPeer(stage Stage) bool {
	return stage.Random && (stage.Share < 1 || stage.Mirrored)
}

// Enter begins a stage: blocks are not pooled over it, and whether the candidate is safe is asked anew. What speaks against it stays.
func (e *Engine) Enter(stage Stage) {
	if e.entered {
		e.weigh(true)
	}
	stage.Share = min(1, max(0, stage.Share))
	if math.IsNaN(stage.Share) {
		stage.Share = 0
	}
	e.stage, e.entered, e.split = stage, true, split{}
	e.seen = Measurement{Mirrored: stage.Mirrored}
	e.errors.enter()
	for i := range e.ratios {
		e.ratios[i].enter()
	}
	if e.latency != nil {
		e.latency.enter()
	}
	for i := range e.bounds {
		e.bounds[i].good = 0
	}
}

// Add weighs a block. Warm says that latency counts: no pod of the candidate got ready just before. The block is not kept.
// One that straddles the begin of its stream is left out: an incident that begins with the change of weight would look like harm in it.
// So is one that no counter could have said.
func (e *Engine) Add(block *Block, warm bool) {
	if !e.entered || block.Straddles {
		return
	}
	if !block.Candidate.sane() || !block.Incumbent.sane() {
		e.strange++
		return
	}
	e.blocks++
	e.see(block)
	e.split.add(block.Candidate.Requests, block.Incumbent.Requests)
	if e.failed != nil {
		return
	}
	e.events[0] = tracks{math.Round(block.Candidate.Errors), math.Round(block.Incumbent.Errors)}
	ready := e.errors.add(e.stage, tracks{math.Round(block.Candidate.Requests), math.Round(block.Incumbent.Requests)}, e.events, block.Paired)
	e.errors.ready = e.errors.ready || ready
	if e.latency != nil {
		e.latency.ready = e.latency.take(e.stage, block, warm) || e.latency.ready
	}
	for i := range min(len(e.ratios), len(block.Ratios)) {
		candidate, incumbent := block.Ratios[i].Candidate, block.Ratios[i].Incumbent
		if !candidate.sane() || !incumbent.sane() {
			e.strange++
			continue
		}
		e.events[0] = tracks{math.Round(candidate.Bad), math.Round(incumbent.Bad)}
		ready := e.ratios[i].add(e.stage, tracks{math.Round(candidate.Total), math.Round(incumbent.Total)}, e.events, block.Ratios[i].Paired)
		e.ratios[i].ready = e.ratios[i].ready || ready
	}
	e.weigh(false)
}

// weigh weighs what is pooled where there is enough of it, or all of it.
func (e *Engine) weigh(all bool) {
	if e.failed != nil {
		return
	}
	weighProportion := func(f *family, criteria *proportionCriteria) {
		if !all && !f.ready {
			return
		}
		index := -1
		if criteria.allowed > 0 {
			index = 0
		}
		f.weigh(e.stage, index, criteria.allowed)
		first := &f.shares[0]
		first.look(criteria.basis(e.stage), first.stage.candidate, first.spread.largest)
	}
	weighProportion(&e.errors, &e.criteria.errors)
	for i := range e.ratios {
		weighProportion(&e.ratios[i], &e.criteria.ratios[i])
	}
	if e.latency != nil && (all || e.latency.ready) {
		e.latency.weighed(e.stage)
	}
	e.sum()
}

// sum takes the mean over the metrics that decide, and keeps the verdict when it convicts.
func (e *Engine) sum() {
	deciding := e.criteria.deciding()
	if deciding == 0 {
		return
	}
	log := math.Inf(-1)
	for f := range e.families {
		if f.weight > 0 {
			log = eprocess.LogAddExp(log, math.Log(f.weight)+f.log)
		}
	}
	e.log = log
	if e.log >= math.Log(1/alpha) {
		e.convict(e.worst())
	}
}

// families yields those that weigh shares of bad events, in the order in which they are told.
func (e *Engine) families(yield func(*family) bool) {
	if !yield(&e.errors) {
		return
	}
	if e.latency != nil && !yield(&e.latency.family) {
		return
	}
	for i := range e.ratios {
		if !yield(&e.ratios[i]) {
			return
		}
	}
}

// worst is the deciding metric that speaks loudest against the candidate.
func (e *Engine) worst() *family {
	var worst *family
	for f := range e.families {
		if f.weight > 0 && (worst == nil || f.log > worst.log) {
			worst = f
		}
	}
	return worst
}

// basis says by what a share of bad events is to be found safe.
func (c *proportionCriteria) basis(stage Stage) basis {
	result := basis{compare: hasPeer(stage)}
	if c.allowed > 0 {
		result.limit = max(c.allowed, c.ignored) // what is ignored is no harm, even where the SLO is stricter
	}
	return result
}

// Observe takes a sample of a threshold metric, by its index in Criteria.Thresholds. One that is not newer than the last is left out.
func (e *Engine) Observe(threshold int, sample Sample) {
	if threshold < 0 || threshold >= len(e.bounds) || !e.entered || e.failed != nil {
		return
	}
	criteria := &e.criteria.Thresholds[threshold]
	if e.bounds[threshold].observe(criteria, sample) && !criteria.dryRun {
		e.convictBound(threshold)
	}
}
