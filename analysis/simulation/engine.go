package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Past is for how long before a rollout the engine looks at the incumbent.
const Past = time.Hour

// Engine is a Judge that goes by Weighlock's verdicts.
type Engine struct {
	engine  *analysis.Engine
	verdict analysis.Verdict
}

// NewEngine makes a Judge of an engine.
func NewEngine(engine *analysis.Engine) *Engine { return &Engine{engine: engine} }

// Enter begins a stage.
func (e *Engine) Enter(stage Stage) {
	e.engine.Enter(analysis.Stage{Share: stage.Share, Random: !stage.Chosen, Mirrored: stage.Mirrored})
}

// Weigh has the engine weigh a block.
func (e *Engine) Weigh(block *analysis.Block, _ time.Duration, warm bool) Decision {
	e.engine.Add(block, warm)
	e.verdict = e.engine.Verdict()
	switch e.verdict.Outcome {
	case v1alpha1.OutcomeFail:
		return Rollback
	case v1alpha1.OutcomePass:
		return Advance
	default:
		return Wait
	}
}

// Verdict is the last one.
func (e *Engine) Verdict() analysis.Verdict { return e.verdict }

// RunEngine takes a candidate through a rollout that Weighlock judges, and returns its last verdict as well.
func RunEngine(world World, rollout Rollout, criteria *analysis.Criteria, r *rand.Rand) (Outcome, analysis.Verdict) {
	calibrator := analysis.NewCalibrator(criteria)
	var judge *Engine
	out := Run(world, rollout, r, Past, calibrator.Add, func() Judge {
		judge = NewEngine(analysis.NewEngine(criteria, calibrator.Past()))
		return judge
	})
	return out, judge.Verdict()
}
