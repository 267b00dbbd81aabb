package rollout_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/workload"
)

func TestStatus_TellsWhatADecisionDidInTheSamePlan(t *testing.T) {
	t.Parallel()
	w := waiting(t, v1alpha1.Approval{})
	if s := rollout.PlanFor(w.snapshot(), w.now).Status; s.State != v1alpha1.StateWaiting || s.Approval.Count != 0 {
		t.Fatalf("before, it is %+v", s)
	}
	w.decide(v1alpha1.VerbApprove, "alice")
	p := w.step(100)
	if s := p.Status; s.State != v1alpha1.StateProgressing || s.Approval.Count != 1 || len(s.Approval.Given) != 1 || strings.Contains(s.WaitingFor, "approval") {
		t.Errorf("after approving it is %+v", s)
	}
	for _, gate := range p.Status.Gates {
		if gate.Name == rollout.GateApproval && !gate.Open {
			t.Errorf("after approving the gate says %s", gate.Message)
		}
	}
	if p.Reason == v1alpha1.ReasonApprovalNeeded || p.Stalled {
		t.Errorf("after approving it is %s: %s", p.Reason, p.Why)
	}

	w = waiting(t, v1alpha1.Approval{})
	w.decide(v1alpha1.VerbPause, "alice")
	if s := w.step(100).Status; s.State != v1alpha1.StatePaused || s.Paused == nil {
		t.Errorf("after pausing it is %+v", s)
	}
	w.decide(v1alpha1.VerbResume, "alice")
	if s := w.step(100).Status; s.State != v1alpha1.StateWaiting || s.Paused != nil || !strings.Contains(s.WaitingFor, "approval") {
		t.Errorf("after resuming it is %+v", s)
	}
	w.decide(v1alpha1.VerbPause, "alice")
	w.step(100)
	w.decide(v1alpha1.VerbPromote, "alice")
	if s := w.step(100).Status; s.State != v1alpha1.StateProgressing || s.Paused != nil || strings.Contains(s.WaitingFor, "approval") {
		t.Errorf("after promoting it is %+v", s)
	}
}

func TestStatus_TellsOfAnAbortAndARetryInTheSamePlan(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.decide(v1alpha1.VerbPause, "alice")
	w.step(100)
	w.decide(v1alpha1.VerbAbort, "alice")
	if s := w.step(100).Status; s.State != v1alpha1.StateRolledBack || s.Paused != nil || s.Candidate.Failed == "" || s.Step != nil || s.Traffic.Taken ||
		s.WaitingFor != "another version" {
		t.Errorf("after aborting it is %+v", s)
	}
	w.run(60)
	w.decide(v1alpha1.VerbRetry, "alice")
	if s := w.step(100).Status; s.State != v1alpha1.StateProgressing || s.Candidate == nil || s.Candidate.Revision != "b" || s.Candidate.Failed != "" {
		t.Errorf("after retrying it is %+v", s)
	}
}

func TestStatus_ForetellsNeitherAnEndNorAPromotion(t *testing.T) {
	t.Parallel()
	w := waiting(t, v1alpha1.Approval{})
	w.decide(v1alpha1.VerbPause, "alice")
	w.run(5)
	w.now = w.now.Add(10 * time.Minute)
	w.spec.Steps[0].Deadline, w.spec.Steps[0].OnDeadline = duration(10*time.Second), v1alpha1.DeadlineRollback
	w.generation++
	w.decide(v1alpha1.VerbResume, "alice")
	p := w.step(100)
	if s := p.Status; s.State != v1alpha1.StateProgressing || s.Paused != nil || p.Stalled || w.route.progress.Phase != rollout.PhaseStep {
		t.Errorf("it is told to be %s: %s, and it is at %s", s.State, p.Why, w.route.progress)
	}

	spec := approval(v1alpha1.Approval{})
	spec.Steps = []v1alpha1.Step{{Weight: new(int32(100)), Approval: &v1alpha1.Approval{}}}
	w = inStep(t, spec)
	w.run(30)
	w.decide(v1alpha1.VerbApprove, "alice")
	if p := w.step(100); p.Status.State != v1alpha1.StateProgressing || p.Why != "b goes on" || w.route.progress.Phase != rollout.PhaseStep {
		t.Errorf("it is told to be %s: %s, and it is at %s", p.Status.State, p.Why, w.route.progress)
	}
}

func TestStatus_OfASetBackIsTheSameInItsPlanAndAfter(t *testing.T) {
	t.Parallel()
	spec := canary()
	spec.RouteDeadline = duration(time.Minute)
	w := inStep(t, spec)
	w.mesh.deaf = w.now.Add(2 * time.Minute)
	var at rollout.Plan
	for range 200 {
		if at = w.step(100); w.route.progress.Phase == rollout.PhaseSetBack {
			break
		}
		w.tick()
	}
	after := rollout.PlanFor(w.snapshot(), w.now)
	for when, p := range map[string]rollout.Plan{"in its plan": at, "after": after} {
		s := p.Status
		if p.Reason != v1alpha1.ReasonSetBack || !p.Stalled || s.State != v1alpha1.StateStalled || s.Step != nil || s.Traffic.Asked != "0%" ||
			s.Candidate == nil || s.Candidate.Revision != "b" || s.Candidate.Failed != "" {
			t.Errorf("%s it is %s: %+v", when, p.Reason, s)
		}
	}
}

func TestStatus_TellsOfNoPauseOfACandidateThatIsToLeave(t *testing.T) {
	t.Parallel()
	for what, leave := range map[string]func(*world){
		"git is back":     func(w *world) { w.commit("a") },
		"git goes on":     func(w *world) { w.commit("c") },
		"it is deleted":   func(w *world) { w.deleting = true },
		"it is suspended": nil,
	} {
		w := inStep(t, canary())
		w.decide(v1alpha1.VerbPause, "alice")
		w.run(3)
		w.coming = w.replicas // The incumbent has no ready pod, so that traffic stays for now.
		if leave == nil {
			w.spec.Suspend = true
			if p := w.step(100); p.Status.Paused == nil {
				t.Errorf("%s, and nobody is said to have paused it", what)
			}
			continue
		}
		leave(w)
		if p := w.step(100); p.Status.Paused != nil || w.route.progress.Phase != rollout.PhaseStep {
			t.Errorf("%s, and it is paused by %v: %s at %s", what, p.Status.Paused, p.Why, w.route.progress)
		}
	}
}

func TestStatus_CallsTheCandidateWhatIsTriedOrIsToBe(t *testing.T) {
	t.Parallel()
	of := func(w *world, change func(*rollout.Snapshot)) string {
		c := w.plan(change).Status.Candidate
		if c == nil {
			return ""
		}
		return strings.TrimSpace(c.Revision + " " + c.Failed)
	}
	aborted := func() *world {
		w := inStep(t, canary())
		w.decide(v1alpha1.VerbAbort, "alice", func(d *rollout.Decision) { d.Reason = "slow" })
		w.step(100)
		return w
	}
	const failed = "b aborted by alice through kubectl: slow"
	for name, c := range map[string]struct {
		world  func() *world
		change func(*rollout.Snapshot)
		want   string
	}{
		"at rest":                {world: func() *world { return adoptedWorld(canary()) }},
		"in a step":              {world: func() *world { return inStep(t, canary()) }, want: "b"},
		"rolled back":            {world: aborted, want: failed},
		"the next one starts":    {world: func() *world { w := aborted(); w.commit("c"); w.run(2); return w }, want: "c"},
		"the next one waits":     {world: func() *world { w := aborted(); w.spec.Suspend = true; w.commit("c"); w.run(2); return w }, want: "c"},
		"the workload is gone":   {world: aborted, change: func(s *rollout.Snapshot) { s.Workload = nil; s.Problem = &workload.Problem{Reason: "Gone"} }, want: failed},
		"git is back, not taken": {world: func() *world { w := aborted(); w.commit("a"); return w }, want: failed},
	} {
		if c.change == nil {
			c.change = func(*rollout.Snapshot) {}
		}
		if got := of(c.world(), c.change); got != c.want {
			t.Errorf("%s the candidate is %q, want %q", name, got, c.want)
		}
	}
}

func TestStatus_NamesTheCommitOfAVersionThatWaitsToStart(t *testing.T) {
	t.Parallel()
	for what, wait := range map[string]func(*rollout.Snapshot){
		"suspended": func(s *rollout.Snapshot) { s.Spec.Suspend = true },
		"paused":    func(s *rollout.Snapshot) { s.Route.Progress.Paused = &rollout.Word{Revision: "b", Actor: "alice"} },
		"an obstacle": func(s *rollout.Snapshot) {
			s.Obstacle = &workload.Problem{Reason: "CannotRunTwice", Message: "it is one of a kind"}
		},
		"not there to read": func(s *rollout.Snapshot) {
			s.Problem = &workload.Problem{Reason: "ServiceNotFound", Message: "no Service"}
		},
	} {
		w := adoptedWorld(canary())
		w.commit("b")
		p := w.plan(func(s *rollout.Snapshot) {
			wait(s)
			s.Workload.Template.Commit, s.Workload.Template.Author = "new", "Bob"
		})
		if c := p.Status.Candidate; c == nil || c.Revision != "b" || c.Commit != "new" || c.Author != "Bob" {
			t.Errorf("%s: it is told to be %+v: %s", what, c, p.Why)
		}
	}
	w := adoptedWorld(canary())
	w.record["b"] = workload.Record{Template: workload.Template{Revision: "b", Commit: "old"}, Number: 1}
	w.commit("b")
	p := w.plan(func(s *rollout.Snapshot) { s.Spec.Suspend, s.Workload.Template.Commit = true, "new" })
	if c := p.Status.Candidate; c.Commit != "new" {
		t.Errorf("suspended, and known from before, it is told to be of %q", c.Commit)
	}
}

func TestStatus_NamesTheCommitThatBringsARevisionOnceMore(t *testing.T) {
	t.Parallel()
	w := adoptedWorld(canary())
	w.record["b"] = workload.Record{Template: workload.Template{Revision: "b", Commit: "old", Author: "Ada"}, Number: 1, Failed: "slow"}
	w.commit("b")
	revert := func(s *rollout.Snapshot) { s.Workload.Template.Commit, s.Workload.Template.Author = "new", "Bob" }
	p := w.plan(revert)
	if c := p.Status.Candidate; c.Commit != "new" || c.Author != "Bob" || c.Failed != "slow" {
		t.Errorf("it is of commit %s by %s, and failed: %q", c.Commit, c.Author, c.Failed)
	}
	if got := actions(p); len(got) != 2 || got[1] != "record b" {
		t.Errorf("it does %v", got)
	}

	// Its copy is there still, so that it enters its first step at once.
	w = inStep(t, canary())
	w.record["b"] = workload.Record{Template: workload.Template{Revision: "b", Commit: "old"}, Number: 1}
	w.commit("c")
	w.step(100)
	w.commit("b")
	w.now = w.now.Add(3 * time.Second)
	if got := actions(w.plan(revert)); len(got) == 0 || got[0] != "record b" || !strings.Contains(strings.Join(got, "; "), "(Step)") {
		t.Errorf("it does %v", got)
	}
	w.spec.Steps = nil
	w.copies["b"].replicas, w.copies["b"].ready = 3, 3
	if got := actions(w.plan(revert)); len(got) == 0 || got[0] != "record b" || !strings.Contains(strings.Join(got, "; "), "route all to b") {
		t.Errorf("without steps it does %v", got)
	}

	w = adoptedWorld(canary())
	w.record["a"] = workload.Record{Template: workload.Template{Revision: "a", Commit: "old"}, Number: 1}
	if c := w.plan(revert).Status.Incumbent; c.Commit != "new" || c.Author != "Bob" {
		t.Errorf("a commit that changes no template is not told of: %+v", c)
	}

	w = inStep(t, canary())
	w.record["b"] = workload.Record{Template: workload.Template{Revision: "b", Commit: "old"}, Number: 1}
	if c := w.plan(revert).Status.Candidate; c.Commit != "old" {
		t.Errorf("in a step it is of commit %s: who was asked was asked about another", c.Commit)
	}
}
