package rollout_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/workload"
)

// neverReady is a world in which b starts, and can't get ready.
func neverReady() *world {
	w := adoptedWorld(approval(v1alpha1.Approval{}))
	w.broken["b"] = true
	w.commit("b")
	w.run(2)
	return w
}

func TestWord_IsOverOnceGitAsksForSomethingElse(t *testing.T) {
	t.Parallel()
	changes := map[string]func(*world){
		"back to the incumbent": func(w *world) { w.commit("a"); w.run(5) },
		"on to another":         func(w *world) { w.broken["c"] = true; w.commit("c"); w.run(2) },
		"while it is suspended": func(w *world) {
			w.spec.Suspend = true
			w.run(1)
			w.commit("c")
			w.run(2)
			w.spec.Suspend = false
		},
	}
	for name, change := range changes {
		w := neverReady()
		w.decide(v1alpha1.VerbPromote, "alice", full)
		w.run(1)
		change(w)
		w.broken["b"] = false
		w.commit("b")
		w.run(100)
		if p := w.route.progress; p.Phase != rollout.PhaseStep || p.Incumbent != "a" || len(w.violations) > 0 {
			t.Errorf("%s: a promotion of the attempt before takes b live: %s %v", name, p, w.violations)
		}

		w = neverReady()
		w.decide(v1alpha1.VerbPause, "alice")
		w.run(1)
		change(w)
		w.broken["b"] = false
		w.commit("b")
		w.run(30)
		if p := w.route.progress; p.Phase != rollout.PhaseStep {
			t.Errorf("%s: a pause of the attempt before keeps b: %s", name, p)
		}
	}
}

func TestPause_OutlivesThatTheCandidateStartsAnew(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(*world){
		"its copy was changed": func(w *world) { w.copies["b"].edited = true },
		"the incumbent is rescued from a match step": func(w *world) {
			w.pods = map[string]int32{"a": 2, "b": 1}
		},
	} {
		spec := canary()
		spec.Steps[0] = v1alpha1.Step{Match: acme()}
		w := inStep(t, spec)
		pause := w.decide(v1alpha1.VerbPause, "alice")
		w.run(5)
		happens(w)
		w.run(120)
		w.became(t, pause, v1alpha1.DecisionApplied, "b is paused by alice")
		if p := w.route.progress; p.Incumbent != "a" || p.Phase == rollout.PhaseStep || p.Paused == nil {
			t.Errorf("%s: it is at %s:\n%s", name, p, strings.Join(w.log, "\n"))
		}
	}
}

func TestPause_WhileTheWorkloadGoesToZeroIsTold(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.scale(0)
	pause := w.decide(v1alpha1.VerbPause, "alice")
	w.run(3)
	w.became(t, pause, v1alpha1.DecisionApplied, "b is paused by alice")
	if !slices.Contains(w.events, v1alpha1.ReasonPaused) || w.route.progress.Paused == nil {
		t.Errorf("it is at %s, and told %v", w.route.progress, w.events)
	}
}

func TestPause_KeepsAStepFromBeingLeftUnproven(t *testing.T) {
	t.Parallel()
	spec := canary()
	spec.Steps[0].Deadline, spec.Steps[0].OnDeadline = duration(30*time.Second), v1alpha1.DeadlineProceed
	w := inStep(t, spec)
	w.thin["b"] = true
	w.decide(v1alpha1.VerbPause, "alice")
	w.run(100)
	p := w.step(100)
	for _, gate := range p.Status.Gates {
		if gate.Name == rollout.GateAnalysis && gate.Open {
			t.Errorf("the deadline's clock stands still, and the gate says: %s", gate.Message)
		}
	}
	if !p.Again.IsZero() {
		t.Errorf("nothing comes by itself, and it looks again at %s", p.Again)
	}
}

func TestPause_OfAStepThatTheMeshHasNotTakenStopsNoClock(t *testing.T) {
	t.Parallel()
	w := adoptedWorld(canary())
	w.commit("b")
	for w.route.progress.Phase != rollout.PhaseStep {
		w.run(1)
	}
	w.mesh.deaf = w.now.Add(time.Minute)
	w.decide(v1alpha1.VerbPause, "alice")
	w.run(30)
	w.decide(v1alpha1.VerbResume, "alice")
	w.run(2)
	if p := w.route.progress; p.Paused != nil || p.Rested != 0 {
		t.Errorf("it is at %s", p)
	}
}

func TestPause_BeforeARouteWasWrittenAgainStopsNoClock(t *testing.T) {
	t.Parallel()
	spec := canary()
	spec.Steps[0].Hold = duration(time.Hour)
	w := inStep(t, spec)
	w.decide(v1alpha1.VerbPause, "alice")
	w.run(30)
	w.decide(v1alpha1.VerbResume, "alice")
	w.run(2)
	if w.route.progress.Rested < 25*time.Second {
		t.Fatalf("it is at %s", w.route.progress)
	}
	w.route.traffic.Weight++
	w.run(2)
	if p := w.route.progress; p.Rested != 0 {
		t.Errorf("the step's clock began anew, and it is at %s", p)
	}
}

func TestPromote_EndsAPause(t *testing.T) {
	t.Parallel()
	w := waiting(t, v1alpha1.Approval{})
	w.decide(v1alpha1.VerbPause, "alice")
	w.run(40)
	w.decide(v1alpha1.VerbPromote, "bob")
	w.step(100)
	if p := w.route.progress; p.Paused != nil || p.Hastened == nil || p.Rested < 35*time.Second {
		t.Errorf("the deadline's clock stood still for 40s, and it is at %s", p)
	}
}

func TestPromote_Full_IsUnprovenWhereStepsAreSkipped(t *testing.T) {
	t.Parallel()
	held := func() v1alpha1.RolloutSpec {
		spec := canary()
		spec.Steps[0].Hold, spec.Steps[1].Hold = duration(time.Minute), duration(time.Minute)
		return spec
	}
	for name, c := range map[string]struct {
		w       *world
		seconds int
		want    bool
	}{
		"while it starts":             {w: adoptedWorld(held()), want: true},
		"in a step that has a Pass":   {w: inStep(t, held()), seconds: 30, want: true},
		"in the last, with a Pass":    {w: inStep(t, held()), seconds: 90},
		"in the last, without a Pass": {w: inStep(t, held()), seconds: 66, want: true},
		"without analysis": {w: inStep(t, func() v1alpha1.RolloutSpec {
			spec := held()
			spec.Analysis = nil
			return spec
		}())},
	} {
		c.w.commit("b")
		c.w.run(c.seconds)
		c.w.decide(v1alpha1.VerbPromote, "alice", full)
		c.w.run(100)
		p := c.w.step(100)
		if s := p.Status; s.Incumbent.Revision != "b" || s.Candidate != nil || s.Incumbent.Unproven != c.want {
			t.Errorf("%s: the incumbent is %+v, want unproven %t", name, s.Incumbent, c.want)
		}
	}
}

func TestPlanFor_RemembersThatTheIncumbentIsUnproven(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.decide(v1alpha1.VerbPromote, "alice", full)
	w.run(100)
	w.commit("c")
	w.run(8)
	p := w.step(100)
	if s := p.Status; s.Step == nil || !s.Incumbent.Unproven || s.Candidate.Unproven {
		t.Errorf("in a step of c, the incumbent is %+v and the candidate %+v", s.Incumbent, s.Candidate)
	}
	w.decide(v1alpha1.VerbAbort, "alice")
	w.run(60)
	if p = w.step(100); !p.Status.Incumbent.Unproven {
		t.Errorf("c was rolled back, and the incumbent is %+v", p.Status.Incumbent)
	}
}

func TestDecisions_AreKnownByMoreThanTheirNames(t *testing.T) {
	t.Parallel()
	named := func(d *rollout.Decision) { d.Name = "the-same" }
	w := inStep(t, canary())
	w.decide(v1alpha1.VerbPause, "alice", named)
	w.run(5)
	delete(w.outcomes, "the-same") // and the object
	resume := w.decide(v1alpha1.VerbResume, "alice", named)
	w.run(1)
	w.became(t, "the-same", v1alpha1.DecisionApplied, "b is resumed by alice")
	if w.route.progress.Paused != nil {
		t.Errorf("%s: it is at %s", resume, w.route.progress)
	}
}

func TestDecisions_ThatComeToNothingDoNotWaitForThoseThatAreRemembered(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	pause := w.decide(v1alpha1.VerbPause, "alice")
	twice := w.decide(v1alpha1.VerbPause, "bob")
	stale := w.decide(v1alpha1.VerbApprove, "alice", about("z"))
	p := w.plan(func(s *rollout.Snapshot) {
		s.Problem = &workload.Problem{Reason: "Trouble", Message: "something is wrong"}
		s.Route.Holds = func(rollout.Traffic) bool { return false }
	})
	var settled []string
	for _, action := range p.Actions {
		if a, is := action.(rollout.Settle); is {
			settled = append(settled, a.Decision.Name)
		}
	}
	if !slices.Equal(settled, []string{stale}) {
		t.Errorf("%v are settled, want %s only: %s and %s depend on what can't be remembered yet", settled, stale, pause, twice)
	}
}

func TestDecisions_BeforeTheWorkloadIsAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(canary())
	void := w.decide(v1alpha1.VerbAbort, "alice", func(d *rollout.Decision) { d.Void = "it was about another" })
	unchecked := w.decide(v1alpha1.VerbAbort, "alice", func(d *rollout.Decision) { d.Unchecked = "the policy is not there" })
	waits := w.decide(v1alpha1.VerbAbort, "alice")
	p := rollout.PlanFor(w.snapshot(), w.now)
	for _, action := range p.Actions {
		if a, is := action.(rollout.Settle); is {
			w.settle(a)
		}
	}
	w.became(t, void, v1alpha1.DecisionSuperseded, "it was about another")
	w.became(t, unchecked, v1alpha1.DecisionRejected, "the policy is not there")
	if outcome, settled := w.outcomes[waits]; settled {
		t.Errorf("%s", outcome)
	}
}
