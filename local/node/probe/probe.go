// Package probe decides, from the results of a container's probes, whether it
// has started, is ready and is alive, as a kubelet does, with one difference:
// until a container is first seen to have started or to be ready it is looked
// at every few milliseconds, so that a rollout is not kept waiting for the
// next period.
package probe

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// impatience is how often a container that was never ready is looked at.
const impatience = 50 * time.Millisecond

// Kind is which of a container's probes this is.
type Kind string

// The kinds of probe. A failed Startup or Liveness probe restarts the
// container; Liveness and Readiness wait for Startup.
const (
	Startup   Kind = "Startup"
	Readiness Kind = "Readiness"
	Liveness  Kind = "Liveness"
)

// Result is what is held to be true after the probes so far.
type Result string

// Results are Unknown before either threshold is reached.
const (
	Unknown Result = "Unknown"
	Success Result = "Success"
	Failure Result = "Failure"
)

// State is the state of one probe of one running container.
//
//	Unknown --successThreshold in a row--> Success
//	Unknown, Success --failureThreshold in a row--> Failure
//	Failure --successThreshold in a row--> Success (Readiness only; the others end the container)
type State struct {
	kind   Kind
	spec   corev1.Probe
	result Result
	// everSucceeded is whether the result was ever Success.
	everSucceeded bool
	next          time.Time
	// counted is when a failure was last counted.
	counted             time.Time
	successes, failures int32
}

// New returns the state of a probe of a container that can be probed from
// since on: its start, or for Readiness and Liveness the end of its Startup
// probe. The delay counts from the container's start.
func New(kind Kind, spec corev1.Probe, started, since time.Time) *State {
	spec.PeriodSeconds = atLeastOne(spec.PeriodSeconds, 10)
	spec.SuccessThreshold = atLeastOne(spec.SuccessThreshold, 1)
	spec.FailureThreshold = atLeastOne(spec.FailureThreshold, 3)
	spec.TimeoutSeconds = atLeastOne(spec.TimeoutSeconds, 1)
	begin := started.Add(time.Duration(spec.InitialDelaySeconds) * time.Second)
	if begin.Before(since) {
		begin = since
	}
	if kind == Liveness && begin.Equal(since) {
		// Nothing is gained by asking at once, and a program that has only
		// been started may not listen yet.
		begin = begin.Add(period(spec))
	}
	return &State{kind: kind, spec: spec, result: Unknown, next: begin}
}

// Result is what is held to be true.
func (s *State) Result() Result {
	return s.result
}

// Next is when to probe next.
func (s *State) Next() time.Time {
	return s.next
}

// Timeout is how long one probe may take.
func (s *State) Timeout() time.Duration {
	return time.Duration(s.spec.TimeoutSeconds) * time.Second
}

// Record takes the outcome of a probe made at now, and says whether the result
// has changed by it.
func (s *State) Record(ok bool, now time.Time) bool {
	before := s.result
	if ok {
		s.succeeded()
	} else {
		s.failed(now)
	}
	s.next = now.Add(period(s.spec))
	if s.impatient() {
		s.next = now.Add(impatience)
	}
	return s.result != before
}

func (s *State) succeeded() {
	s.successes++
	s.failures = 0
	if s.successes >= s.spec.SuccessThreshold {
		s.result = Success
		s.everSucceeded = true
	}
}

// failed counts one failure a period, or the impatient probes would use up
// what the threshold allows for.
func (s *State) failed(now time.Time) {
	s.successes = 0
	if s.impatient() && !s.counted.IsZero() && now.Sub(s.counted) < period(s.spec) {
		return
	}
	s.counted = now
	s.failures++
	if s.failures >= s.spec.FailureThreshold {
		s.result = Failure
	}
}

// impatient says whether the container's first success is still waited for.
// Where several in a row are asked for, only the first of them comes early.
func (s *State) impatient() bool {
	return s.kind != Liveness && !s.everSucceeded && s.successes == 0
}

func period(spec corev1.Probe) time.Duration {
	return time.Duration(spec.PeriodSeconds) * time.Second
}

func atLeastOne(n, otherwise int32) int32 {
	if n < 1 {
		return otherwise
	}
	return n
}
