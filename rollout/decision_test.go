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

func TestApprove_OpensTheGateOfItsStep(t *testing.T) {
	t.Parallel()
	w := waiting(t, v1alpha1.Approval{})
	taken := w.route.written
	name := w.decide(v1alpha1.VerbApprove, "alice", func(d *rollout.Decision) { d.Reason = "looks good" })
	p := w.step(100)
	w.became(t, name, v1alpha1.DecisionApplied, "step 1/2 of b is approved by alice through kubectl: looks good (1 of 1)")
	if !w.route.written.Equal(taken) {
		t.Error("an approval restarts the step's clock")
	}
	if p.Status.Approval == nil || p.Status.Approval.Count != 0 {
		t.Errorf("it counts before it is remembered: %+v", p.Status.Approval)
	}
	w.run(5)
	if w.route.progress.Step != 1 || len(w.route.progress.Approvals) > 0 {
		t.Errorf("it is at %s", w.route.progress)
	}
}

func TestApprove_IsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	gate := v1alpha1.Approval{Approvers: []v1alpha1.Approver{user("alice"), group("leads"), user("slack:U1")}}
	for name, c := range map[string]struct {
		actor   string
		change  []func(*rollout.Decision)
		gate    *v1alpha1.Approval
		outcome v1alpha1.DecisionOutcome
		says    string
	}{
		"another revision":   {actor: "alice", change: []func(*rollout.Decision){about("z")}, outcome: v1alpha1.DecisionSuperseded, says: "the candidate is b by now, and not z"},
		"the incumbent":      {actor: "alice", change: []func(*rollout.Decision){about("a")}, outcome: v1alpha1.DecisionSuperseded, says: "a is the incumbent already"},
		"a step ahead":       {actor: "alice", change: []func(*rollout.Decision){of(1)}, outcome: v1alpha1.DecisionSuperseded, says: "step 2/2 is not reached yet: it is in step 1/2"},
		"no approver":        {actor: "bob", outcome: v1alpha1.DecisionRejected, says: "bob is none of the approvers of step 1/2: user alice, group leads, user slack:U1"},
		"another group":      {actor: "bob", change: []func(*rollout.Decision){as("", "devs")}, outcome: v1alpha1.DecisionRejected, says: "bob is none of the approvers"},
		"another spec":       {actor: "alice", change: []func(*rollout.Decision){func(d *rollout.Decision) { d.Generation = 2 }}, outcome: v1alpha1.DecisionSuperseded, says: "the Rollout's spec was changed since"},
		"a group":            {actor: "bob", change: []func(*rollout.Decision){as("", "leads")}, outcome: v1alpha1.DecisionApplied, says: "approved by bob"},
		"a member":           {actor: "slack:U1", outcome: v1alpha1.DecisionApplied, says: "approved by slack:U1"},
		"a member's person":  {actor: "slack:U2", change: []func(*rollout.Decision){as("alice")}, outcome: v1alpha1.DecisionApplied, says: "approved by slack:U2 (alice)"},
		"no gate":            {actor: "alice", gate: &v1alpha1.Approval{}, outcome: v1alpha1.DecisionRejected, says: "step 1/2 asks for no approval"},
		"an empty user name": {actor: "", change: []func(*rollout.Decision){as("")}, outcome: v1alpha1.DecisionRejected, says: "is none of the approvers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := waiting(t, gate)
			if c.gate != nil {
				w.spec.Steps[0].Approval, w.spec.Steps[0].Hold = nil, duration(time.Hour)
			}
			decision := w.decide(v1alpha1.VerbApprove, c.actor, c.change...)
			w.step(100)
			w.became(t, decision, c.outcome, c.says)
		})
	}
}

func TestApprove_CountsPeopleAndNotApprovals(t *testing.T) {
	t.Parallel()
	type said struct{ actor, person string }
	for name, c := range map[string]struct {
		said []said
		want int32
	}{
		"one twice":                   {[]said{{"alice", ""}, {"alice", ""}}, 1},
		"two":                         {[]said{{"alice", ""}, {"bob", ""}}, 2},
		"a user and a member unknown": {[]said{{"alice", ""}, {"slack:U1", ""}}, 1},
		"a user and herself":          {[]said{{"alice", ""}, {"slack:U1", "alice"}}, 1},
		"a user and another":          {[]said{{"alice", ""}, {"slack:U1", "bob"}}, 2},
		"two members":                 {[]said{{"slack:U1", ""}, {"slack:U2", ""}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := waiting(t, v1alpha1.Approval{Quorum: 3})
			for _, s := range c.said {
				w.decide(v1alpha1.VerbApprove, s.actor, as(s.person))
			}
			w.run(2)
			p := w.step(100)
			if p.Status.Approval.Count != c.want || p.Status.Approval.Quorum != 3 {
				t.Errorf("%d of %d approvals count, want %d", p.Status.Approval.Count, p.Status.Approval.Quorum, c.want)
			}
		})
	}
}

func TestApprove_EndsWhenItExpires_OrTheSpecChanges(t *testing.T) {
	t.Parallel()
	w := waiting(t, v1alpha1.Approval{Quorum: 2, Expires: duration(30 * time.Second)})
	w.decide(v1alpha1.VerbApprove, "alice")
	w.run(20)
	if p := w.step(100); p.Status.Approval.Count != 1 || p.Again.IsZero() {
		t.Fatalf("%d approvals count, and it looks again at %s", p.Status.Approval.Count, p.Again)
	}
	w.run(20)
	if p := w.step(100); p.Status.Approval.Count != 0 {
		t.Errorf("an approval counts that has expired")
	}
	again := w.decide(v1alpha1.VerbApprove, "alice")
	w.run(2)
	w.became(t, again, v1alpha1.DecisionApplied, "(1 of 2)")
	edited := w.snapshot()
	edited.Generation++
	if p := rollout.PlanFor(edited, w.now); p.Status.Approval.Count != 0 {
		t.Errorf("an approval of another spec counts")
	}
}

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
