package forecast

import (
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
)

// judge goes by the engine where analysis has a say, and by nothing elsewhere.
type judge struct {
	plan   *plan
	engine *simulation.Engine
	stage  int
}

func (p *plan) judge(run int) simulation.Judge {
	j := &judge{plan: p, stage: -1}
	if p.criteria != nil {
		j.engine = simulation.NewEngine(analysis.NewEngine(p.criteria, p.past[run%pasts]))
	}
	return j
}

// Enter begins a stage.
func (j *judge) Enter(stage simulation.Stage) {
	j.stage++
	if j.plan.weighed[j.stage] {
		j.engine.Enter(stage)
	}
}

// Weigh passes a stage that is not weighed at once: its hold keeps it.
func (j *judge) Weigh(block *analysis.Block, stage time.Duration, warm bool) simulation.Decision {
	if !j.plan.weighed[j.stage] {
		return simulation.Advance
	}
	return j.engine.Weigh(block, stage, warm)
}
