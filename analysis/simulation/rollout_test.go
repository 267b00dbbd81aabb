package simulation_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
)

// script is a judge that decides by how long a stage has lasted.
type script struct {
	shares []float64
	cold   int
	decide func(stage int, spent time.Duration) simulation.Decision
}

func (s *script) Enter(stage simulation.Stage) { s.shares = append(s.shares, stage.Share) }

func (s *script) Weigh(_ *analysis.Block, spent time.Duration, warm bool) simulation.Decision {
	if !warm {
		s.cold++
	}
	return s.decide(len(s.shares)-1, spent)
}

func run(world simulation.World, rollout simulation.Rollout, judge simulation.Judge, past func(*analysis.Block)) simulation.Outcome {
	return simulation.Run(world, rollout, rand.New(rand.NewPCG(1, 1)), time.Hour, past, func() simulation.Judge { return judge })
}

func TestRun_GoesThroughStagesAsTheJudgeWants(t *testing.T) {
	t.Parallel()
	rollout := simulation.Rollout{WarmUp: 30 * time.Second, Stages: []simulation.Stage{{Share: 0.1}, {Share: 0.2, Hold: 2 * time.Minute}, {Share: 0.5, Deadline: time.Minute}}}
	judge := &script{decide: func(stage int, _ time.Duration) simulation.Decision {
		if stage == 2 {
			return simulation.Wait
		}
		return simulation.Advance
	}}
	past := 0
	out := run(service(), rollout, judge, func(*analysis.Block) { past++ })
	if past != 240 {
		t.Errorf("the past has %d blocks, want those of an hour", past)
	}
	want := []time.Duration{15 * time.Second, 2 * time.Minute, time.Minute}
	for i, spent := range out.Stages {
		if spent != want[i] {
			t.Errorf("stage %d takes %s, want %s", i, spent, want[i])
		}
	}
	if out.RolledBack || out.Unproven != 1 || out.Length() != 195*time.Second || judge.cold != 1+2+2 {
		t.Errorf("the outcome is %+v, and %d blocks were cold", out, judge.cold)
	}
}

func TestRun_CountsFromWhereTheCandidateDiffers(t *testing.T) {
	t.Parallel()
	world := service()
	world.Candidate = simulation.Difference{Odds: 5, Stage: 1}
	judge := &script{decide: func(stage int, spent time.Duration) simulation.Decision {
		switch {
		case stage == 0 && spent >= time.Minute:
			return simulation.Advance
		case stage == 1 && spent >= 30*time.Second:
			return simulation.Rollback
		}
		return simulation.Wait
	}}
	out := run(world, simulation.Rollout{Stages: []simulation.Stage{{Share: 0.1}, {Share: 0.5}, {Share: 1}}}, judge, nil)
	if !out.RolledBack || out.Stage != 1 || out.FromOnset != 30*time.Second || out.Exposed != out.Requests[1] || len(judge.shares) != 2 {
		t.Errorf("the outcome is %+v after %v", out, judge.shares)
	}
}
