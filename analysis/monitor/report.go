package monitor

import (
	"math"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

const (
	outcomeFail         = v1alpha1.OutcomeFail
	outcomeInconclusive = v1alpha1.OutcomeInconclusive

	// A share has moved if it did by a point, and by more than chance would: beyond 3.29 standard errors lies
	// one in a thousand.
	shareMoved     = 0.01
	standardErrors = 3.29
)

// report is what the controller was told last.
type report struct {
	said    bool
	outcome v1alpha1.Outcome
	outage  bool
	share   float64
	shared  bool
}

// update says whether an answer has news, and takes it as told then.
func (r *report) update(answer Answer) bool {
	outage := answer.Err != nil
	share, shared := answer.Measurement.Share().Of()
	news := !r.said || answer.Verdict.Outcome != r.outcome || outage != r.outage ||
		shared != r.shared || (shared && r.moved(answer.Measurement, share))
	if news {
		*r = report{said: true, outcome: answer.Verdict.Outcome, outage: outage, share: share, shared: shared}
	}
	return news
}

func (r *report) moved(measurement analysis.Measurement, share float64) bool {
	by := math.Abs(share - r.share)
	of := measurement.Share()
	// Two more of each, so that the first few requests, all of one track, don't look certain.
	likely := (of.Part + 2) / (of.All + 4)
	chance := standardErrors * math.Sqrt(likely*(1-likely)/of.All)
	return by >= shareMoved && by > chance
}
