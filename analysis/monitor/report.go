package monitor

import (
	"math"
	"strings"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

const (
	// A share has moved if it did by a point, and by more than chance would: beyond 3.29 standard errors lies
	// one in a thousand.
	shareMoved     = 0.01
	standardErrors = 3.29

	// Evidence is news when it is another quarter of the way to a verdict.
	quarters = 4
	// convicts is the evidence that does.
	convicts = 100
)

// report is what the controller was told last.
type report struct {
	said    bool
	stage   string
	outcome v1alpha1.Outcome
	outage  bool
	share   float64
	shared  bool
	// metrics are the outcomes of each.
	metrics string
	// least and evidence are how far the verdict is to a Pass and to a Fail, in quarters.
	least, evidence int
}

// update says whether an answer has news, and takes it as told then.
func (r *report) update(answer Answer) bool {
	now := reportOf(answer)
	moved := r.shared && now.shared && r.moved(answer.Measurement, now.share)
	if now.shared == r.shared && !moved {
		now.share = r.share
	}
	if now.stage == r.stage { // what goes to and fro is no news
		now.least, now.evidence = max(now.least, r.least), max(now.evidence, r.evidence)
	}
	if now == *r {
		return false
	}
	*r = now
	return true
}

func reportOf(answer Answer) report {
	now := report{said: true, stage: answer.Stage, outcome: answer.Verdict.Outcome, outage: answer.Err != nil, least: quarters}
	now.share, now.shared = answer.Measurement.Share().Of()
	var outcomes strings.Builder
	for _, metric := range answer.Verdict.Metrics {
		outcomes.WriteString(string(metric.Outcome[:min(1, len(metric.Outcome))]))
		if !metric.DryRun {
			now.least = min(now.least, int(quarters*metric.Progress))
		}
	}
	now.metrics = outcomes.String()
	if answer.Verdict.Evidence > 1 {
		now.evidence = int(quarters * min(1, math.Log(answer.Verdict.Evidence)/math.Log(convicts)))
	}
	return now
}

func (r *report) moved(measurement analysis.Measurement, share float64) bool {
	by := math.Abs(share - r.share)
	of := measurement.Share()
	// Two more of each, so that the first few requests, all of one track, don't look certain.
	likely := (of.Part + 2) / (of.All + 4)
	chance := standardErrors * math.Sqrt(likely*(1-likely)/of.All)
	return by >= shareMoved && by > chance
}
