package analysis

import (
	"math"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// splitFactor is by what factor the candidate's share of the requests may be off the weight that was asked for.
const splitFactor = 1.25

// split tests whether the candidate gets the share of requests that was asked for: a candidate that is black-holed, not
// scraped or over-served must not pass. It is a sequential multinomial test (Lindon and Malek, "Anytime-Valid Inference for Multinomial
// Count Data", NeurIPS 2022) with the even prior of Robbins. It goes by all requests of the stage, so a share that was off for a moment only is
// found to be good again.
type split struct {
	portion Portion
	// blocks of the stage. The first one may have been counted while the mesh was still taking its traffic.
	blocks int
}

// add takes the requests of a block.
func (s *split) add(candidate, incumbent float64) {
	s.blocks++
	if s.blocks == 1 {
		return
	}
	s.portion.Part += math.Round(candidate)
	s.portion.All += math.Round(candidate) + math.Round(incumbent)
}

// off says that the share can't be what was asked for.
func (s *split) off(stage Stage) bool {
	if !stage.Random || stage.Mirrored || s.portion.All <= 0 {
		return false
	}
	return eprocess.LogOutside(s.portion.Part, s.portion.All, stage.Share/splitFactor, min(1, stage.Share*splitFactor)) >= math.Log(1/splitAlpha)
}
