package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/weighlock/weighlock/analysis"
)

// Judge decides on a rollout while it goes on.
type Judge interface {
	// Enter tells it that a stage begins.
	Enter(stage Stage)
	// Weigh tells it of a block, and how long the stage has lasted at its end. Warm says that no pod of the candidate got ready just before.
	Weigh(block *analysis.Block, stage time.Duration, warm bool) Decision
}

// Decision is what a Judge wants.
type Decision int

// The decisions.
const (
	Wait Decision = iota
	Advance
	Rollback
)

// Stage is a step of a rollout.
type Stage struct {
	// Share of the users' requests, from 0 to 1, that the candidate gets.
	Share float64
	// Mirrored says that it gets copies of them. Chosen says that it gets requests that are chosen by what they are, which is not to be
	// compared; here they are of the same kind as others.
	Mirrored, Chosen bool
	// Hold is the least time in the stage, and Deadline the most; zero for none. After the deadline the rollout goes on without proof.
	Hold, Deadline time.Duration
	// Scrape is the time between two samples in the stage; zero for the World's.
	Scrape time.Duration
}

// Rollout is what is done with a candidate.
type Rollout struct {
	Stages []Stage
	// WarmUp is for how long after the beginning of a stage a candidate may be slow.
	WarmUp time.Duration
}

// Outcome is how a rollout ended.
type Outcome struct {
	// RolledBack says that the Judge wanted that; else the candidate was promoted.
	RolledBack bool
	// Stage is the index of the last stage.
	Stage int
	// Stages are the times spent in each stage that was entered, and Requests how many the candidate got in each.
	Stages   []time.Duration
	Requests []float64
	// Unproven is how many stages ended with their deadline.
	Unproven int
	// FromOnset is the time, and Exposed the number of the candidate's requests, since it began to differ; both are zero if it never did.
	FromOnset time.Duration
	Exposed   float64
}

// Length is how long the rollout took.
func (o Outcome) Length() time.Duration {
	var sum time.Duration
	for _, spent := range o.Stages {
		sum += spent
	}
	return sum
}

// Run takes a candidate through a rollout. Before it, past gets the incumbent's blocks of the time ago, if it isn't nil.
func Run(world World, rollout Rollout, r *rand.Rand, ago time.Duration, past func(*analysis.Block), judge func() Judge) Outcome {
	traffic := NewTraffic(world, r)
	if past != nil {
		for spent := time.Duration(0); spent < ago; spent += world.Scrape {
			past(traffic.Next())
		}
	}
	j := judge()
	var out Outcome
	for i, stage := range rollout.Stages {
		out.Stage = i
		traffic.Enter(stage)
		j.Enter(stage)
		decision, requests, exposed, timely := runStage(traffic, stage, rollout.WarmUp, j)
		out.Stages, out.Requests = append(out.Stages, traffic.Stage()), append(out.Requests, requests)
		out.FromOnset, out.Exposed = traffic.Onset(), out.Exposed+exposed
		if !timely {
			out.Unproven++
		}
		if decision == Rollback {
			out.RolledBack = true
			break
		}
	}
	return out
}

// runStage goes through one stage. Exposed are the candidate's requests while it differed, and timely says that the stage did not end
// with its deadline.
func runStage(traffic *Traffic, stage Stage, warmUp time.Duration, judge Judge) (decision Decision, requests, exposed float64, timely bool) {
	for {
		block := traffic.Next()
		if !block.Straddles {
			requests += block.Candidate.Requests
			if traffic.Onset() > 0 {
				exposed += block.Candidate.Requests
			}
		}
		spent := traffic.Stage()
		switch judge.Weigh(block, spent, spent-traffic.scrape >= warmUp) {
		case Rollback:
			return Rollback, requests, exposed, true
		case Advance:
			if spent >= stage.Hold {
				return Advance, requests, exposed, true
			}
		case Wait:
		}
		if stage.Deadline > 0 && spent >= stage.Deadline {
			return Advance, requests, exposed, false
		}
	}
}
