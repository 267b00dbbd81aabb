package analysis

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Verdict is what analysis says, and why.
type Verdict struct {
	Outcome v1alpha1.Outcome
	// Message says in one sentence which metric, both tracks' numbers, requests seen, the evidence against what is needed, and for
	// Inconclusive how much is missing.
	Message string
	// Metrics tell of each metric: errors, latency, and those of the analysis in its order.
	Metrics []MetricVerdict
	// Evidence is E, by how much the data are likelier if the candidate is worse: 100 convicts. Blocks is how many were weighed.
	Evidence float64
	Blocks   int
}

// MetricVerdict is what analysis says of one metric.
type MetricVerdict struct {
	Name    string
	Outcome v1alpha1.Outcome
	// DryRun says that nothing is decided by it.
	DryRun  bool
	Message string
	// Progress is how far it is on the way to a Pass, from 0 to 1.
	Progress float64
	// Candidate and Incumbent are what was measured of both tracks in the present stage, such as 0.12% or p99 118 ms. It is empty where
	// nothing was. A threshold metric has one value, which is told as the candidate's.
	Candidate, Incumbent string
}

const (
	// mostEvidence is what evidence is said to be at most.
	mostEvidence = 1e12
	// rounding is by how much E may exceed 1 by rounding alone.
	rounding = 1e-9
)

// evidenceOf is what a log stands for.
func evidenceOf(log float64) float64 { return math.Exp(min(log, math.Log(mostEvidence))) }

// Verdict says what was found so far.
func (e *Engine) Verdict() Verdict {
	if e.failed != nil {
		verdict := *e.failed
		verdict.Metrics = slices.Clone(verdict.Metrics)
		return verdict
	}
	verdict := Verdict{Outcome: v1alpha1.OutcomeInconclusive, Metrics: e.metrics(), Evidence: evidenceOf(e.log), Blocks: e.blocks}
	if doubts := e.doubts(verdict.Metrics); len(doubts) > 0 {
		verdict.Message = strings.Join(doubts, "; ")
		return verdict
	}
	var found []string
	for _, metric := range verdict.Metrics {
		if metric.Outcome == v1alpha1.OutcomePass && !metric.DryRun {
			found = append(found, metric.Message)
		}
	}
	if len(found) == 0 {
		found = []string{fmt.Sprintf("%s requests were seen, and nothing is judged by them", number(e.seen.Candidate.Requests))}
	}
	verdict.Outcome, verdict.Message = v1alpha1.OutcomePass, strings.Join(found, "; ")+fmt.Sprintf("; evidence of harm %s, %d convicts", evidence(verdict.Evidence), int(1/alpha))
	return verdict
}

// doubts are what keeps the candidate from a Pass; nothing if it may have one.
func (e *Engine) doubts(metrics []MetricVerdict) []string {
	if e.seen.Candidate.Requests <= 0 {
		return e.withStrange([]string{e.nothingSeen()})
	}
	var doubts []string
	if e.split.off(e.stage) {
		doubts = append(doubts, e.offSplit())
	}
	suspect := ""
	if e.log > rounding {
		doubts, suspect = append(doubts, e.suspicion()), e.worst().name
	}
	for _, metric := range metrics {
		if metric.Outcome != v1alpha1.OutcomePass && !metric.DryRun && metric.Name != suspect && !e.mute(metric.Name) {
			doubts = append(doubts, metric.Message)
		}
	}
	if missing := math.Ceil(e.fewestRequests()) - e.seen.Candidate.Requests; missing > 0 && e.errorsSafe() {
		doubts = append(doubts, fmt.Sprintf("an SLO of %s%% can't be told from %s requests: %s", e.criteria.errors.slo, number(e.seen.Candidate.Requests),
			e.needed(missing, e.seen.Candidate.Requests, request)))
	}
	return e.withStrange(doubts)
}

// withStrange says when blocks keep being left out.
func (e *Engine) withStrange(doubts []string) []string {
	const many = 3
	strange := e.strange
	if e.latency != nil {
		strange += e.latency.strange
	}
	if strange < many || len(doubts) == 0 {
		return doubts
	}
	return append(doubts, fmt.Sprintf("%s were left out, since no counter can have said so", plural(float64(strange), "scrape")))
}

// fewestRequests is how many requests the SLO can be told from: fewer have no error by chance, even at a rate that misses it.
func (e *Engine) fewestRequests() float64 {
	criteria := &e.criteria.errors
	if criteria.allowed >= 1 {
		return 1
	}
	return max(1, e.errors.shares[0].spread.largest*math.Log(beta)/math.Log1p(-criteria.allowed))
}

func (e *Engine) errorsSafe() bool {
	return e.criteria.errors.dryRun || e.errors.shares[0].found(e.criteria.errors.basis(e.stage)) >= safeLog
}

// mute says that a metric has nothing to say in the stage.
func (e *Engine) mute(name string) bool {
	if name == latencyName {
		return e.latency != nil && e.latency.mute(e.stage)
	}
	for i := range e.criteria.ratios {
		if ratio := &e.criteria.ratios[i]; ratio.name == name {
			return ratio.basis(e.stage).none()
		}
	}
	return false
}

// metrics tells of each metric.
func (e *Engine) metrics() []MetricVerdict {
	verdicts := []MetricVerdict{e.proportion(&e.errors, &e.criteria.errors)}
	if e.latency != nil {
		verdicts = append(verdicts, e.durations())
	}
	for _, ref := range e.criteria.order {
		if ref.threshold {
			verdicts = append(verdicts, e.bounds[ref.index].verdict(&e.criteria.Thresholds[ref.index]))
		} else {
			verdicts = append(verdicts, e.proportion(&e.ratios[ref.index], &e.criteria.ratios[ref.index]))
		}
	}
	return verdicts
}

// convict keeps the verdict that the candidate is worse by a metric.
func (e *Engine) convict(f *family) {
	metrics := e.metrics()
	message := ""
	for i := range metrics {
		if metrics[i].Name == f.name {
			metrics[i].Outcome, metrics[i].Progress = v1alpha1.OutcomeFail, 0
			metrics[i].Message = fmt.Sprintf("%s: evidence %s, %d convicts", e.accusation(f, "is"), evidence(evidenceOf(e.log)), int(1/alpha))
			message = metrics[i].Message
		}
	}
	e.failed = &Verdict{Outcome: v1alpha1.OutcomeFail, Message: message, Metrics: metrics, Evidence: evidenceOf(e.log), Blocks: e.blocks}
}

// convictBound keeps the verdict that a threshold metric fails.
func (e *Engine) convictBound(index int) {
	metrics := e.metrics()
	for i := range metrics {
		if metrics[i].Name == e.criteria.Thresholds[index].name {
			e.failed = &Verdict{Outcome: v1alpha1.OutcomeFail, Message: metrics[i].Message, Metrics: metrics, Evidence: evidenceOf(e.log), Blocks: e.blocks}
		}
	}
}

// progress is how far the log of the evidence for a Pass is on its way.
func progress(log float64) float64 { return min(1, max(0, log/safeLog)) }
