package rollout_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

// approval is a canary whose first step waits for people.
func approval(gate v1alpha1.Approval) v1alpha1.RolloutSpec {
	spec := canary()
	spec.Steps[0].Approval = &gate
	return spec
}

func user(name string) v1alpha1.Approver { return v1alpha1.Approver{User: name} }

func group(name string) v1alpha1.Approver { return v1alpha1.Approver{Group: name} }

// waiting is a world in whose first step only the people are missing.
func waiting(t *testing.T, gate v1alpha1.Approval) *world {
	t.Helper()
	w := inStep(t, approval(gate))
	w.run(20)
	if w.route.progress.Step != 0 || w.route.progress.Phase != rollout.PhaseStep {
		t.Fatalf("it is at %s", w.route.progress)
	}
	return w
}

// became is what became of a decision, as far as it is told.
func (w *world) became(t *testing.T, name string, outcome v1alpha1.DecisionOutcome, says string) {
	t.Helper()
	got, settled := w.outcomes[name]
	if !settled {
		t.Fatalf("%s has no outcome:\n%s", name, strings.Join(w.log, "\n"))
	}
	if got.Outcome != outcome || !strings.Contains(got.Message, says) {
		t.Errorf("%s became %s: %s; want %s: %s", name, got.Outcome, got.Message, outcome, says)
	}
	if len(w.violations) > 0 {
		t.Fatal(w.violations[0])
	}
}

func of(step int32) func(*rollout.Decision) { return func(d *rollout.Decision) { d.Step = &step } }

func about(revision string) func(*rollout.Decision) {
	return func(d *rollout.Decision) { d.Revision = revision }
}

func as(person string, groups ...string) func(*rollout.Decision) {
	return func(d *rollout.Decision) { d.Person, d.Groups = person, groups }
}

func full(d *rollout.Decision) { d.Full = true }

func TestPromote_LeavesTheStepWhateverGateIsClosed(t *testing.T) {
	t.Parallel()
	w := inStep(t, approval(v1alpha1.Approval{}))
	w.spec.Steps[0].Hold = duration(time.Hour)
	w.thin["b"] = true
	name := w.decide(v1alpha1.VerbPromote, "alice")
	w.run(6)
	w.became(t, name, v1alpha1.DecisionApplied, "leaves step 1/2 whatever gate is closed")
	if p := w.route.progress; p.Step != 1 || !p.Unproven || p.Hastened != nil {
		t.Errorf("it is at %s, and should be unproven in the second step", p)
	}
	w.run(100)
	if w.route.progress.Step != 1 {
		t.Errorf("it goes on: %s", w.route.progress)
	}
}

func TestPromote_Full_GoesPastAllSteps(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*world{"in a step": inStep(t, approval(v1alpha1.Approval{})), "while it starts": adoptedWorld(approval(v1alpha1.Approval{}))} {
		w.commit("b")
		decision := w.decide(v1alpha1.VerbPromote, "alice", full)
		w.run(200)
		w.became(t, decision, v1alpha1.DecisionApplied, "goes past all steps that are left")
		if p := w.route.progress; p.Incumbent != "b" || p.OnCopy || p.Attempt != 1 {
			t.Errorf("%s: it is at %s", name, p)
		}
	}
}

func TestPromote_DoesNotPassABadVerdict(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.bad["b"] = true
	w.now = w.now.Add(10 * time.Second)
	w.decide(v1alpha1.VerbPromote, "alice", full)
	w.run(20)
	if p := w.route.progress; p.Phase != rollout.PhaseRolledBack || p.Reason != "5% errors" {
		t.Errorf("it is at %s", p)
	}
}

func TestPause_KeepsTheRolloutWhereItIs(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.spec.Steps[0].Deadline, w.spec.Steps[0].OnDeadline = duration(30*time.Second), v1alpha1.DeadlineRollback
	pause := w.decide(v1alpha1.VerbPause, "alice", func(d *rollout.Decision) { d.Reason = "lunch" })
	w.run(100)
	w.became(t, pause, v1alpha1.DecisionApplied, "b is paused by alice through kubectl: lunch")
	p := w.step(100)
	if w.route.progress.Step != 0 || p.Status.State != v1alpha1.StatePaused || p.Reason != v1alpha1.ReasonPaused || p.Status.Paused == nil || p.Status.Paused.Actor != "alice" {
		t.Errorf("it is at %s: %s, %+v", w.route.progress, p.Why, p.Status.Paused)
	}
	twice := w.decide(v1alpha1.VerbPause, "bob")
	resume := w.decide(v1alpha1.VerbResume, "bob")
	w.run(2)
	w.became(t, twice, v1alpha1.DecisionSuperseded, "b is paused already, by alice")
	w.became(t, resume, v1alpha1.DecisionApplied, "b is resumed by bob")
	w.run(8)
	if w.route.progress.Step != 1 {
		t.Errorf("it does not go on: %s", w.route.progress)
	}
}

func TestPause_StopsTheDeadlinesClock(t *testing.T) {
	t.Parallel()
	spec := canary()
	spec.Steps[0].Deadline, spec.Steps[0].OnDeadline = duration(time.Minute), v1alpha1.DeadlineRollback
	w := inStep(t, spec)
	w.thin["b"] = true
	w.decide(v1alpha1.VerbPause, "alice")
	w.run(300)
	w.decide(v1alpha1.VerbResume, "alice")
	w.run(50)
	if w.route.progress.Phase != rollout.PhaseStep {
		t.Fatalf("it is at %s", w.route.progress)
	}
	w.run(20)
	if w.route.progress.Phase != rollout.PhaseRolledBack {
		t.Errorf("it is at %s", w.route.progress)
	}
}

func TestPause_OutlivesThatTheWorkloadIsScaledToZero(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*world{"in a step": inStep(t, canary()), "while it starts": adoptedWorld(canary())} {
		w.commit("b")
		w.step(100)
		w.decide(v1alpha1.VerbPause, "alice")
		w.run(20)
		w.scale(0)
		w.run(60)
		w.scale(3)
		w.run(60)
		if p := w.route.progress; p.Incumbent != "a" || p.Paused == nil || len(w.violations) > 0 {
			t.Errorf("%s: it is at %s, %v", name, p, w.violations)
		}
	}
}

func TestPause_KeepsABadCandidateFromNothing(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.decide(v1alpha1.VerbPause, "alice")
	w.bad["b"] = true
	w.run(20)
	if w.route.progress.Phase != rollout.PhaseRolledBack {
		t.Errorf("it is at %s", w.route.progress)
	}
}

func TestPause_WhileItStarts_KeepsTheFirstStepWaiting(t *testing.T) {
	t.Parallel()
	w := adoptedWorld(canary())
	w.commit("b")
	w.step(100)
	w.decide(v1alpha1.VerbPause, "alice")
	w.run(60)
	if w.route.progress.Phase != rollout.PhaseServing {
		t.Fatalf("it is at %s", w.route.progress)
	}
	w.commit("c")
	w.run(20)
	if w.route.progress.Candidate != "c" {
		t.Errorf("a pause of b holds c: %s", w.route.progress)
	}
}

func TestAbort_PutsAllTrafficBackAtOnce(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	name := w.decide(v1alpha1.VerbAbort, "alice", func(d *rollout.Decision) { d.Reason = "customers complain" })
	p := w.step(100)
	w.became(t, name, v1alpha1.DecisionApplied, "b is rolled back")
	if s := p.Status; s.Candidate == nil || !strings.Contains(s.Candidate.Failed, "customers complain") || s.Traffic.Asked != "0%" || s.Step != nil {
		t.Errorf("the status tells of the step that was left: %+v", s)
	}
	const reason = "aborted by alice through kubectl: customers complain"
	if _, first := p.Actions[0].(rollout.SetRoute); !first || w.route.progress.Phase != rollout.PhaseRolledBack || w.route.progress.Reason != reason || w.record["b"].Failed != reason {
		t.Errorf("it is at %s after %v", w.route.progress, p.Actions)
	}
}

func TestAbort_WhileItStarts_MarksTheRevision(t *testing.T) {
	t.Parallel()
	w := adoptedWorld(canary())
	w.commit("b")
	w.decide(v1alpha1.VerbAbort, "alice")
	w.run(100)
	if w.route.progress.Phase != rollout.PhaseRolledBack || w.record["b"].Failed == "" || len(w.copies) > 0 || w.route.progress.Attempt != 1 {
		t.Errorf("it is at %s", w.route.progress)
	}
	late := w.decide(v1alpha1.VerbAbort, "bob")
	w.step(100)
	w.became(t, late, v1alpha1.DecisionSuperseded, "b was rolled back already: aborted by alice")
}

func TestAbort_IsNotForgottenWhenGitGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	for survives := range 4 {
		w := adoptedWorld(canary())
		w.spec.Suspend = true // so that it never began, and isn't on record
		w.commit("b")
		w.run(2)
		w.decide(v1alpha1.VerbAbort, "alice")
		w.step(survives)
		aborted := w.route.progress.Phase == rollout.PhaseRolledBack
		w.commit("c")
		w.run(5)
		if failed := w.record["b"].Failed != ""; failed != aborted {
			t.Errorf("killed after %d writes: aborted is %t, and failed on record %t:\n%s", survives, aborted, failed, strings.Join(w.log, "\n"))
		}
	}
}

func TestAbort_AfterTheEnd_IsSuperseded(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.run(40)
	if !w.route.progress.OnCopy {
		t.Fatalf("it is at %s", w.route.progress)
	}
	late := w.decide(v1alpha1.VerbAbort, "alice")
	w.step(100)
	w.became(t, late, v1alpha1.DecisionSuperseded, "b is the incumbent already: its rollout is over")
}

func TestDecisions_AreRejectedWhereNothingChecksThem(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.decide(v1alpha1.VerbAbort, "alice")
	s := w.snapshot()
	s.Decisions[0].Unchecked = "the policy is not there"
	for _, action := range rollout.PlanFor(s, w.now).Actions {
		if settled, is := action.(rollout.Settle); is && settled.Outcome == v1alpha1.DecisionRejected && strings.Contains(settled.Message, s.Decisions[0].Unchecked) {
			return
		}
	}
	t.Error("it is not rejected")
}

func TestDecisions_OfAnotherRolloutAreSuperseded(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	name := w.decide(v1alpha1.VerbAbort, "alice", func(d *rollout.Decision) { d.Void = "it was about another" })
	w.step(100)
	w.became(t, name, v1alpha1.DecisionSuperseded, "it was about another")
}

func TestDecisions_OfASecondPersonDoNotUndoTheFirst(t *testing.T) {
	t.Parallel()
	w := waiting(t, v1alpha1.Approval{})
	abort := w.decide(v1alpha1.VerbAbort, "alice")
	approve := w.decide(v1alpha1.VerbApprove, "bob")
	w.run(5)
	w.became(t, abort, v1alpha1.DecisionApplied, "")
	w.became(t, approve, v1alpha1.DecisionSuperseded, "b was rolled back already: aborted by alice")
}

func TestDecisions_KeepTheirOrderOverACrash(t *testing.T) {
	t.Parallel()
	for survives := range 4 {
		w := inStep(t, canary())
		w.decide(v1alpha1.VerbResume, "alice")
		pause := w.decide(v1alpha1.VerbPause, "bob")
		w.step(survives)
		w.run(5)
		w.became(t, pause, v1alpha1.DecisionApplied, "")
		if w.route.progress.Paused == nil {
			t.Errorf("killed after %d writes, the resume ends the pause that came after it", survives)
		}

		w = inStep(t, canary())
		w.decide(v1alpha1.VerbPause, "alice")
		w.run(2)
		w.decide(v1alpha1.VerbPause, "bob")
		resume := w.decide(v1alpha1.VerbResume, "carol")
		w.step(survives)
		w.run(5)
		w.became(t, resume, v1alpha1.DecisionApplied, "")
		if w.route.progress.Paused != nil {
			t.Errorf("killed after %d writes, it is paused though the last word is resume", survives)
		}
	}
}

func TestAbort_WaitsForNoDecisionThatWaits(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.decide(v1alpha1.VerbPause, "alice")
	twice := w.decide(v1alpha1.VerbPause, "bob")
	abort := w.decide(v1alpha1.VerbAbort, "carol")
	w.step(100)
	w.became(t, abort, v1alpha1.DecisionApplied, "b is rolled back")
	w.step(100)
	w.became(t, twice, v1alpha1.DecisionSuperseded, "b was rolled back already")
}
