package analysis

import (
	"fmt"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// durations tells of latency.
func (e *Engine) durations() MetricVerdict {
	l := e.latency
	verdict := MetricVerdict{Name: latencyName, DryRun: l.dryRun, Outcome: v1alpha1.OutcomeInconclusive}
	verdict.Candidate, verdict.Incumbent = l.measured()
	edge, found := l.weakest(e.stage)
	switch {
	case l.dryRun && l.failed:
		verdict.Outcome, verdict.Message = v1alpha1.OutcomeFail, e.wouldConvict(&l.family)
	case l.mute(e.stage):
		verdict.Message = "latency: there is nothing to compare it with in this step, and no threshold"
	case edge >= 0 && found >= safeLog:
		verdict.Outcome, verdict.Progress = v1alpha1.OutcomePass, 1
		verdict.Message = e.fastEnough(edge)
	default:
		verdict.Message = e.notFastYet(edge)
		if edge >= 0 {
			verdict.Progress = progress(found)
		}
	}
	return verdict
}

// quantileInStage and quantileInRollout say where the quantile that is looked at lies in both tracks.
func (l *latency) quantileInStage() string {
	return l.quantile(l.shown.candidate, l.shown.incumbent)
}

func (l *latency) quantileInRollout() string { return l.quantile(l.inRollout()) }

func (l *latency) quantile(candidate, incumbent Counts) string {
	q := 1 - l.criteria.allowed
	text := l.criteria.quantile + " " + quantileOf(candidate, q)
	if incumbent.timed() > 0 {
		text += "; incumbent: " + quantileOf(incumbent, q)
	}
	return text
}

// inRollout makes histograms of what was weighed at the edges in the whole rollout.
func (l *latency) inRollout() (candidate, incumbent Counts) {
	for j := range l.shares {
		seen := l.shares[j].whole
		if l.edges[j].gone {
			continue
		}
		candidate.Buckets = append(candidate.Buckets, Bucket{l.edges[j].at, seen.candidate.Total - seen.candidate.Bad})
		incumbent.Buckets = append(incumbent.Buckets, Bucket{l.edges[j].at, seen.incumbent.Total - seen.incumbent.Bad})
	}
	if len(candidate.Buckets) > 0 {
		last := l.shares[l.lastEdge()].whole
		candidate.Buckets = append(candidate.Buckets, Bucket{Unbounded, last.candidate.Total})
		incumbent.Buckets = append(incumbent.Buckets, Bucket{Unbounded, last.incumbent.Total})
	}
	return candidate, incumbent
}

// lastEdge is the index of the last edge that the histogram still has.
func (l *latency) lastEdge() int {
	for j := len(l.edges) - 1; j > 0; j-- {
		if !l.edges[j].gone {
			return j
		}
	}
	return 0
}

func quantileOf(counts Counts, q float64) string {
	value, ok := counts.Quantile(q)
	switch {
	case ok:
		return "about " + rounded(value).String()
	case counts.timed() > 0:
		return "beyond " + value.String()
	default:
		return "unknown"
	}
}

func (e *Engine) fastEnough(edge int) string {
	l := e.latency
	candidate := l.shares[edge].stage.candidate
	if l.criteria.threshold > 0 && l.shares[edge].best < safeLog {
		return fmt.Sprintf("latency of %s keeps the threshold of %s (%s)", plural(candidate.Total, request), l.criteria.threshold, l.quantileInStage())
	}
	return fmt.Sprintf("latency of %s is no worse than the incumbent's (%s)", plural(candidate.Total, request), l.quantileInStage())
}

func (e *Engine) notFastYet(edge int) string {
	l := e.latency
	switch {
	case len(l.shares) == 0 && l.cold:
		return e.warming()
	case len(l.shares) == 0:
		return e.noEdges()
	case l.criteria.threshold > 0 && l.lower < 0 && !hasPeer(e.stage):
		return fmt.Sprintf("latency: the threshold of %s is below the histogram's first edge (%s): what is faster can't be told apart",
			l.criteria.threshold, l.edges[0].at)
	case edge < 0:
		return "latency can't be told: requests are slower than the histogram's last edge, " + l.edges[len(l.edges)-1].at.String()
	}
	share := &l.shares[edge]
	candidate := share.stage.candidate
	if candidate.Total <= 0 {
		if l.cold {
			return e.warming()
		}
		return "latency: no requests of the candidate were timed yet"
	}
	basis, _ := l.basis(e.stage, edge)
	return fmt.Sprintf("latency (%s): %s", l.quantileInStage(),
		e.missing(outlook(basis, &share.safety, candidate, share.spread.largest), candidate.Total, request))
}

func (e *Engine) warming() string {
	return fmt.Sprintf("latency is weighed once the candidate's pods have been ready for %s", e.criteria.WarmUp)
}

func (e *Engine) noEdges() string {
	if e.seen.Candidate.timed() <= 0 && e.seen.Incumbent.timed() <= 0 {
		return "latency: no durations of requests were seen: is there a histogram?"
	}
	return fmt.Sprintf("latency: %s more of the incumbent are needed to know how it should be", plural(max(1, fewestTimed-e.latency.timed), request))
}

// slowness says at which edge latency convicts.
func (e *Engine) slowness(is string) string {
	l := e.latency
	if l.lastAlone && l.upper >= 0 && l.shares[l.upper].alone.rate() > l.criteria.allowed {
		share := &l.shares[l.upper]
		return fmt.Sprintf("%s of %s took longer than %s, which %s more than the %s that %s allows (%s)", besides(share.alone.rate(), l.criteria.allowed),
			plural(share.alone.Total, request), edgeOf(l.edges[l.upper].at, l.criteria.threshold), is, percent(l.criteria.allowed, 9), l.criteria.quantile, l.quantileInStage())
	}
	worst := 0
	for j := range l.shares {
		if l.shares[j].log > l.shares[worst].log {
			worst = j
		}
	}
	candidate, incumbent := l.shares[worst].telling()
	return fmt.Sprintf("%s of %s took longer than %s, which %s worse than the incumbent's %s (%s)", besides(candidate.rate(), incumbent.rate()),
		plural(candidate.Total, request), l.edges[worst].at, is, incumbent, l.quantileInRollout())
}

// edgeOf names an edge, and the threshold that it stands for.
func edgeOf(edge, threshold time.Duration) string {
	if edge == threshold {
		return edge.String()
	}
	return fmt.Sprintf("%s (the histogram's edge above %s)", edge, threshold)
}
