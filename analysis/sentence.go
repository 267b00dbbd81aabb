package analysis

import (
	"fmt"
	"math"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// String returns the rate and what it is of, such as "0.1% of 9,120".
func (t Tally) String() string {
	if t.Total <= 0 {
		return "nothing"
	}
	return percent(t.rate(), 2) + " of " + number(t.Total)
}

// evidence writes how many times likelier something is.
func evidence(value float64) string {
	switch {
	case value >= mostEvidence/2:
		return "beyond count"
	case value >= 10:
		return number(value)
	case value < 0.01:
		return "below 0.01"
	default:
		return fmt.Sprintf("%.2g", value)
	}
}

// words are how a metric is told of.
type words struct {
	// rate is what its share of bad events is called, and event what is counted.
	rate, event string
}

const request = "request"

func wordsOf(name string) words {
	if name == errorsName {
		return words{"error rate", request}
	}
	return words{name + " rate", "event"}
}

// beside says what the incumbent did.
func beside(incumbent Tally) string {
	if incumbent.Total <= 0 {
		return "incumbent: none to compare with"
	}
	return "incumbent: " + incumbent.String()
}

// plural counts things.
func plural(count float64, thing string) string {
	if math.Round(count) == 1 {
		return "1 " + thing
	}
	return number(count) + " " + thing + "s"
}

// needed says how many events are missing, and how long they take to come at the rate of those that were seen.
func (e *Engine) needed(missing, seen float64, event string) string {
	text := fmt.Sprintf("about %s more %ss are needed", number(missing), event)
	if math.Round(missing) == 1 {
		text = fmt.Sprintf("about 1 more %s is needed", event)
	}
	if event == request {
		seen = e.seen.Candidate.Requests // those that are not timed yet come as fast
	}
	if passed := e.seen.Latest.Sub(e.seen.Since).Seconds(); seen > 0 && passed > 0 {
		text += ", " + roughly(missing/seen*passed) + " at the present rate"
	}
	return text
}

// offSplit says that the candidate gets another share than was asked for.
func (e *Engine) offSplit() string {
	doubt := "is it scraped, and does the mesh follow its route?"
	if part, _ := e.split.portion.Of(); part > e.stage.Share {
		doubt = "does the mesh follow its route?"
	}
	return fmt.Sprintf("the candidate gets %s, and %s was asked for: %s", e.split.portion, percent(e.stage.Share, 4), doubt)
}

func (e *Engine) nothingSeen() string {
	switch {
	case e.seen.Incumbent.Requests <= 0:
		return "no requests of either track are counted yet (should that last: do they get any, and is the mesh scraped?)"
	case e.split.off(e.stage):
		return e.offSplit()
	default:
		return fmt.Sprintf("no requests of the candidate yet (incumbent: %s)", number(e.seen.Incumbent.Requests))
	}
}

// suspicion says what speaks against the candidate, but does not convict it.
func (e *Engine) suspicion() string {
	return fmt.Sprintf("%s: evidence %s, %d convicts, and a Pass needs at most 1", e.accusation(e.worst(), "may be"), evidence(evidenceOf(e.log)), int(1/alpha))
}

// proportion tells of a share of bad events.
func (e *Engine) proportion(f *family, criteria *proportionCriteria) MetricVerdict {
	share, words, basis := &f.shares[0], wordsOf(f.name), criteria.basis(e.stage)
	found := share.found(basis)
	verdict := MetricVerdict{Name: f.name, DryRun: f.dryRun, Outcome: v1alpha1.OutcomeInconclusive, Progress: progress(found)}
	candidate, incumbent := share.stage.candidate, share.stage.incumbent
	verdict.Candidate, verdict.Incumbent = share.stage.measured()
	switch {
	case f.dryRun && f.failed:
		verdict.Outcome, verdict.Progress = v1alpha1.OutcomeFail, 0
		verdict.Message = e.wouldConvict(f)
	case candidate.Total <= 0:
		verdict.Message = fmt.Sprintf("%s: no %ss of the candidate yet", f.name, words.event)
	case basis.none():
		verdict.Message = fmt.Sprintf("%s %s %ss: there is nothing to compare it with in this step", words.rate, candidate, words.event)
	case found >= safeLog:
		verdict.Outcome = v1alpha1.OutcomePass
		how := fmt.Sprintf("keeps the SLO of %s%% (%s)", criteria.slo, beside(incumbent))
		if share.best >= safeLog || basis.limit <= 0 {
			how = fmt.Sprintf("is no worse than the incumbent's %s", incumbent)
		}
		verdict.Message = fmt.Sprintf("%s %s %ss %s", words.rate, candidate, words.event, how)
	default:
		verdict.Message = fmt.Sprintf("%s %s %ss (%s): %s", words.rate, candidate, words.event, beside(incumbent),
			e.missing(outlook(basis, &share.safety, candidate, share.spread.largest), candidate.Total, words.event))
	}
	return verdict
}

// missing says what is needed to find something safe, by how many times as many events would do.
func (e *Engine) missing(times, seen float64, event string) string {
	if math.IsInf(times, 1) {
		return fmt.Sprintf("not found safe, and at these rates more %ss won't do", event)
	}
	more := max(1, math.Ceil(max(1, seen)*times-seen))
	if event == request {
		more = max(more, math.Ceil(e.fewestRequests()-seen))
	}
	return e.needed(more, seen, event)
}

// accusation says by what a metric convicts: the candidate is worse, or may be.
func (e *Engine) accusation(f *family, is string) string {
	if e.latency != nil && f == &e.latency.family {
		return e.slowness(is)
	}
	share, words := &f.shares[0], wordsOf(f.name)
	if criteria := e.criteriaOf(f); f.lastAlone && share.alone.rate() > criteria.allowed {
		return fmt.Sprintf("%s %s of %s %s more than the %s that the SLO of %s%% allows", words.rate,
			besides(share.alone.rate(), criteria.allowed), plural(share.alone.Total, words.event), is, percent(criteria.allowed, 9), criteria.slo)
	}
	candidate, incumbent := share.telling()
	return fmt.Sprintf("%s %s of %s %s worse than the incumbent's %s", words.rate, besides(candidate.rate(), incumbent.rate()),
		plural(candidate.Total, words.event), is, incumbent)
}

// telling are the tallies of the whole rollout; or of the step, where only they show that the candidate is worse, since the rollout had its
// trouble at other shares.
func (s *share) telling() (candidate, incumbent Tally) {
	if s.whole.candidate.rate() <= s.whole.incumbent.rate() && s.stage.candidate.rate() > s.stage.incumbent.rate() {
		return s.stage.candidate, s.stage.incumbent
	}
	return s.whole.candidate, s.whole.incumbent
}

// wouldConvict tells of a metric that decides nothing.
func (e *Engine) wouldConvict(f *family) string {
	return fmt.Sprintf("%s: evidence up to %s, %d would convict", e.accusation(f, "is"), evidence(evidenceOf(f.highest)), int(1/alpha))
}

func (e *Engine) criteriaOf(f *family) *proportionCriteria {
	for i := range e.ratios {
		if f == &e.ratios[i] {
			return &e.criteria.ratios[i]
		}
	}
	return &e.criteria.errors
}

// besides writes a rate with as many digits as tell it from another: "1% is worse than 1%" would puzzle people.
func besides(rate, other float64) string {
	const most = 9
	for digits := 2; digits < most; digits++ {
		if text := percent(rate, digits); text != percent(other, digits) {
			return text
		}
	}
	return percent(rate, most)
}

// verdict tells of a threshold metric.
func (b *bound) verdict(criteria *Threshold) MetricVerdict {
	verdict := MetricVerdict{Name: criteria.name, DryRun: criteria.dryRun, Outcome: v1alpha1.OutcomeInconclusive, Candidate: b.measured()}
	last := b.last.Value
	if b.failed {
		last = b.culprit
	}
	value, limit := fmt.Sprintf("%s is %.4g", criteria.name, last), criteria.limit(last)
	switch {
	case b.failed:
		verdict.Outcome = v1alpha1.OutcomeFail
		verdict.Message = fmt.Sprintf("%s, %s, %s in a row", value, limit, plural(float64(criteria.times), "time"))
	case !b.seen:
		verdict.Message = criteria.name + " has no value yet: does its query yield one?"
	case b.good+b.bad == 0:
		verdict.Message = criteria.name + " has no value in this step yet"
	case b.bad > 0:
		verdict.Message = fmt.Sprintf("%s, %s, %d of %d times in a row that convict", value, limit, b.bad, criteria.times)
	case b.good >= criteria.times:
		verdict.Outcome, verdict.Progress = v1alpha1.OutcomePass, 1
		verdict.Message = fmt.Sprintf("%s, %s, %s in a row", value, limit, plural(float64(b.good), "time"))
	default:
		verdict.Progress = float64(b.good) / float64(criteria.times)
		verdict.Message = fmt.Sprintf("%s, %s, %d of %d times in a row that are needed", value, limit, b.good, criteria.times)
	}
	return verdict
}

// limit says how a value stands to the bounds.
func (t *Threshold) limit(value float64) string {
	switch {
	case t.min != nil && value < *t.min:
		return fmt.Sprintf("below %.4g", *t.min)
	case t.max != nil && value > *t.max:
		return fmt.Sprintf("above %.4g", *t.max)
	case t.min != nil && t.max != nil:
		return fmt.Sprintf("from %.4g to %.4g", *t.min, *t.max)
	case t.min != nil:
		return fmt.Sprintf("at least %.4g", *t.min)
	default:
		return fmt.Sprintf("at most %.4g", *t.max)
	}
}
