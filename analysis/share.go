package analysis

import (
	"math"
	"time"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// ShareGrace is how long after a mesh should have taken a route its proxies may still send by the one before.
const ShareGrace = 30 * time.Second

// ShareMargin is how far a share, from 0 to 1, may be off what was asked for, whatever the number of requests.
// A quarter of the smaller side comes on top: connections that are kept, and proxies that count rounds, don't split each
// request by a coin of its own.
const ShareMargin = 0.005

// shareEvidence is how strong the evidence against a portion must be: such a one is seen by chance once in a million
// steps at most.
const shareEvidence = 1e6

// Portion is a part of a number of requests.
type Portion struct {
	// Part of All, in requests.
	Part, All float64
}

// Share is the candidate's part of the users' requests; where it gets only copies, the part of them that was copied to it.
func (m Measurement) Share() Portion {
	if m.Mirrored {
		return Portion{Part: min(m.Candidate.Requests, m.Incumbent.Requests), All: m.Incumbent.Requests}
	}
	return Portion{Part: m.Candidate.Requests, All: m.Candidate.Requests + m.Incumbent.Requests}
}

// After is what was counted after an earlier measurement, without latencies. Counters don't go back, so nothing is
// below zero.
func (m Measurement) After(earlier Measurement) Measurement {
	less := func(now, then Counts) Counts {
		return Counts{Requests: max(0, now.Requests-then.Requests), Errors: max(0, now.Errors-then.Errors)}
	}
	return Measurement{
		Incumbent: less(m.Incumbent, earlier.Incumbent), Candidate: less(m.Candidate, earlier.Candidate),
		Mirrored: m.Mirrored, Since: earlier.Latest, Latest: m.Latest,
	}
}

// Of is the portion as a number from 0 to 1; false without requests.
func (p Portion) Of() (float64, bool) {
	if p.All <= 0 {
		return 0, false
	}
	return p.Part / p.All, true
}

// String tells the portion to people, such as "12.0% of 840 requests".
func (p Portion) String() string {
	of, _ := p.Of()
	return percent(of, 3) + " of " + number(p.All) + " requests"
}

// Above says that the portion is larger than was asked for, from 0 to 1, by more than chance and the margin.
func (p Portion) Above(asked float64) bool {
	edge := asked + margin(asked)
	of, known := p.Of()
	return known && of > edge && p.evidence(edge) > math.Log(shareEvidence)
}

// Below says likewise that the share is smaller.
func (p Portion) Below(asked float64) bool {
	edge := asked - margin(asked)
	of, known := p.Of()
	return known && of < edge && p.evidence(edge) > math.Log(shareEvidence)
}

// margin keeps the edges inside the open interval from 0 to 1, if asked isn't at the far end already.
func margin(asked float64) float64 {
	return ShareMargin + min(asked, 1-asked)/4
}

// evidence is the logarithm of the likelihood of the portion under all probabilities, mixed evenly, over that under one:
// however often one looks, it is seen above ln(1/alpha) with a probability of at most alpha. Over all probabilities beyond an edge it is
// largest at the edge.
func (p Portion) evidence(against float64) float64 {
	if against <= 0 || against >= 1 {
		return 0
	}
	return eprocess.LogShare(p.Part, p.All, against)
}
