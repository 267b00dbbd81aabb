package eprocess

import "math"

// Late is an e-process that need not have begun at the beginning: a mixture of the products of factors over the block that
// they start in, so that what begins late is not drowned by the healthy time before it. With f_t the factor of block t, pi_1 = 1/2 and
// pi_t = 1/(2t(t-1)):
//
//	A_t = f_t (A_{t-1} + pi_t),   M_t = A_t + 1/(2t)
//
// where 1/(2t) is the weight of those that are still to start, so that all weights sum up to 1. Mixing over the start is
// Shiryaev's and Roberts's detection of a change, with weights that keep it a test: Shin, Ramdas and Rinaldo, "E-detectors",
// New England Journal of Statistics in Data Science 2023.
//
// A factor of 1 tells nothing, and so no time passes: M_t would be the same either way, and is a supermartingale
// whatever the time that is kept by what was seen before. The zero value has seen nothing.
type Late struct {
	blocks  int64
	started float64
}

// Step takes the logarithm of the next block's factor. NaN is no evidence.
func (l *Late) Step(logFactor float64) {
	if logFactor == 0 || math.IsNaN(logFactor) {
		return
	}
	if l.blocks == 0 {
		l.started = math.Inf(-1)
	}
	l.blocks++
	l.started = step(l.started, startWeight(l.blocks), logFactor)
}

// Log returns ln M_t.
func (l *Late) Log() float64 {
	if l.blocks == 0 {
		return 0
	}
	return LogAddExp(l.started, waitingWeight(l.blocks))
}

// Lates is the weighted mean of several Late that take a factor each of every block.
type Lates struct {
	blocks int64
	// weights of each, and what of it has started times its weight, are logarithms.
	weights, started []float64
}

// NewLates makes the mean of Late that have seen nothing, with these weights. Only their proportions count; they must be
// positive.
func NewLates(weights ...float64) *Lates {
	n := len(weights)
	lates := &Lates{weights: make([]float64, n), started: make([]float64, n)}
	var sum float64
	for _, weight := range weights {
		sum += weight
	}
	for i, weight := range weights {
		lates.weights[i], lates.started[i] = math.Log(weight/sum), math.Inf(-1)
	}
	return lates
}

// Step takes the logarithms of the next block's factors, one for each. NaN is no evidence. No time passes when all are 0.
func (l *Lates) Step(logFactors []float64) {
	telling := false
	for _, logFactor := range logFactors {
		telling = telling || logFactor != 0 && !math.IsNaN(logFactor)
	}
	if !telling {
		return
	}
	l.blocks++
	weight := startWeight(l.blocks)
	for i, logFactor := range logFactors {
		if math.IsNaN(logFactor) {
			logFactor = 0
		}
		l.started[i] = step(l.started[i], weight+l.weights[i], logFactor)
	}
}

// Log returns the logarithm of the weighted mean of their M_t.
func (l *Lates) Log() float64 {
	if l.blocks == 0 || len(l.started) == 0 {
		return 0
	}
	return LogAddExp(LogSumExp(l.started...), waitingWeight(l.blocks))
}

// step returns ln(f (A + pi)) of the logarithms of A, pi and f.
func step(started, weight, logFactor float64) float64 {
	if math.IsInf(started, 1) {
		return started
	}
	return logFactor + LogAddExp(started, weight)
}

// startWeight returns ln pi_t.
func startWeight(t int64) float64 {
	if t == 1 {
		return -math.Ln2
	}
	at := float64(t)
	return -math.Log(2 * at * (at - 1))
}

// waitingWeight returns ln 1/(2t), the sum of pi over all blocks after t.
func waitingWeight(t int64) float64 {
	return -math.Log(2 * float64(t))
}
