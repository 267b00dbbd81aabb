package rollout_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

func TestRetry_TriesAFailedRevisionFromItsFirstStep(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.decide(v1alpha1.VerbAbort, "alice")
	w.run(60)
	other := w.decide(v1alpha1.VerbRetry, "alice", about("z"))
	name := w.decide(v1alpha1.VerbRetry, "alice")
	w.run(2)
	w.became(t, other, v1alpha1.DecisionSuperseded, "the workload asks for b, not for z")
	w.became(t, name, v1alpha1.DecisionApplied, "b starts from its first step")
	w.run(200)
	if p := w.route.progress; p.Incumbent != "b" || p.OnCopy || p.Attempt != 2 {
		t.Errorf("it is at %s", p)
	}
	again := w.decide(v1alpha1.VerbRetry, "alice")
	w.step(100)
	w.became(t, again, v1alpha1.DecisionSuperseded, "b has not failed")
}

func TestAttempt_IsAnotherForEachRollout(t *testing.T) {
	t.Parallel()
	w := adoptedWorld(canary())
	w.broken["b"] = true
	seen := func() int64 { return rollout.PlanFor(w.snapshot(), w.now).Status.Attempt }
	w.commit("b")
	w.run(2)
	if got := seen(); got != 1 {
		t.Errorf("the first rollout has the number %d while it starts", got)
	}
	w.commit("c")
	w.run(1)
	if got := seen(); got != 2 {
		t.Errorf("what supersedes it has the number %d", got)
	}
	w.run(1)
	w.commit("a")
	w.run(5)
	if got := seen(); got != 2 {
		t.Errorf("the number is %d after a revert", got)
	}
	w.commit("c")
	w.run(200)
	if p := w.route.progress; p.Attempt != 3 || p.Incumbent != "c" || p.Tried != "" {
		t.Errorf("it is at %s", p)
	}
}

func TestRetry_TriesARevisionThatWasSetBack(t *testing.T) {
	t.Parallel()
	spec := canary()
	spec.RouteDeadline = duration(time.Minute)
	w := inStep(t, spec)
	w.mesh.deaf = w.now.Add(2 * time.Minute)
	w.run(150)
	if w.route.progress.Phase != rollout.PhaseSetBack {
		t.Fatalf("it is at %s", w.route.progress)
	}
	w.decide(v1alpha1.VerbRetry, "alice")
	w.run(200)
	if w.route.progress.Incumbent != "b" {
		t.Errorf("it is at %s", w.route.progress)
	}
}

func TestRetry_DoesNotBlameTheCopyOfTheAttemptBefore(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(*testing.T) *world{
		"it never got ready": func(t *testing.T) *world {
			t.Helper()
			w := adoptedWorld(canary())
			w.broken["b"] = true
			w.commit("b")
			return w
		},
		"it broke in its first step": func(t *testing.T) *world {
			t.Helper()
			w := inStep(t, canary())
			w.broken["b"] = true
			return w
		},
	} {
		w := fails(t)
		for w.route.progress.Phase != rollout.PhaseRolledBack {
			w.run(1)
		}
		retry := w.decide(v1alpha1.VerbRetry, "alice")
		for w.copies["b"] != nil {
			w.run(1)
			if p := w.route.progress; p.Phase != rollout.PhaseServing {
				t.Fatalf("%s: it is at %s:\n%s", name, p, strings.Join(w.log, "\n"))
			}
		}
		w.broken["b"] = false
		w.run(200)
		w.became(t, retry, v1alpha1.DecisionApplied, "b starts from its first step")
		if p := w.route.progress; p.Incumbent != "b" || p.Attempt != 2 {
			t.Errorf("%s: it is at %s", name, p)
		}
	}
}

func TestRetry_IsRejectedWithoutPods(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.decide(v1alpha1.VerbAbort, "alice")
	w.run(50)
	w.scale(0)
	retry := w.decide(v1alpha1.VerbRetry, "bob")
	w.run(10)
	w.became(t, retry, v1alpha1.DecisionRejected, "the workload has no pods: scale it up first")
	w.scale(3)
	w.run(100)
	if p := w.route.progress; p.Incumbent != "a" {
		t.Errorf("a version that failed is the incumbent without a step: %s", p)
	}
}

func TestRetry_IsActedOnOnce(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	abort := w.decide(v1alpha1.VerbAbort, "alice")
	w.step(1) // killed after it moved the traffic
	retry := w.decide(v1alpha1.VerbRetry, "bob")
	w.run(200)
	w.became(t, abort, v1alpha1.DecisionApplied, "taken into account: abort by alice")
	w.became(t, retry, v1alpha1.DecisionApplied, "b starts from its first step")
	if p := w.route.progress; p.Incumbent != "b" {
		t.Errorf("it is at %s:\n%s", p, strings.Join(w.log, "\n"))
	}

	// A retry whose outcome was not told, before it failed once more.
	w = inStep(t, canary())
	w.decide(v1alpha1.VerbAbort, "alice")
	w.run(50)
	w.decide(v1alpha1.VerbRetry, "bob")
	w.route.progress.Decided = []string{w.decisions[0].UID}
	if p := w.step(100); p.Reason != v1alpha1.ReasonRolledBack {
		t.Errorf("it is retried unasked: %s: %s", p.Reason, p.Why)
	}
}

func TestRetry_IsNotLostWhenItIsKilled(t *testing.T) {
	t.Parallel()
	for survives := range 4 {
		w := inStep(t, canary())
		w.decide(v1alpha1.VerbAbort, "alice")
		w.run(60)
		retry := w.decide(v1alpha1.VerbRetry, "bob")
		w.step(survives)
		w.step(survives)
		w.run(200)
		w.became(t, retry, v1alpha1.DecisionApplied, "")
		if p := w.route.progress; p.Incumbent != "b" || p.Attempt != 2 || w.record["b"].Failed != "" {
			t.Errorf("killed after %d writes, it is at %s, and b failed: %s", survives, p, w.record["b"].Failed)
		}
	}
}

func TestAttempt_IsAnotherWhereTheSpecIsTriedAgainAfterASetBack(t *testing.T) {
	t.Parallel()
	spec := canary()
	spec.RouteDeadline = duration(time.Minute)
	w := inStep(t, spec)
	w.mesh.deaf = w.now.Add(2 * time.Minute)
	w.run(150)
	if p := w.route.progress; p.Phase != rollout.PhaseSetBack || p.Attempt != 1 {
		t.Fatalf("it is at %s", p)
	}
	w.generation++
	w.run(100)
	if p := w.route.progress; p.Incumbent != "b" || p.Attempt != 2 || len(w.violations) > 0 {
		t.Errorf("it is at %s, %v", p, w.violations)
	}
}
