package rollout_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

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
	if p.Status.Approval == nil || p.Status.Approval.Count != 1 {
		t.Errorf("its outcome is told, and the status does not count it: %+v", p.Status.Approval)
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
		"another spec":       {actor: "alice", change: []func(*rollout.Decision){func(d *rollout.Decision) { d.Generation = 1 }}, outcome: v1alpha1.DecisionSuperseded, says: "the Rollout's spec was changed since"},
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

func TestApprove_WaitsUntilTheSpecIsKnownThatWasLookedAt(t *testing.T) {
	t.Parallel()
	newer := func(d *rollout.Decision) { d.Generation = 3 }
	w := waiting(t, v1alpha1.Approval{Quorum: 2})
	name := w.decide(v1alpha1.VerbApprove, "alice", newer)
	p := w.step(100)
	if outcome, settled := w.outcomes[name]; settled || p.Again.After(w.now.Add(5*time.Second)) {
		t.Fatalf("the Rollout is not in the cache yet, and it is %v; it looks again at %s", outcome, p.Again)
	}
	w.generation = 3
	w.run(2)
	w.became(t, name, v1alpha1.DecisionApplied, "(1 of 2)")

	w = waiting(t, v1alpha1.Approval{})
	name = w.decide(v1alpha1.VerbApprove, "alice", newer)
	w.run(70)
	w.became(t, name, v1alpha1.DecisionSuperseded, "the Rollout's spec was changed since")
}

func TestApprove_IsSupersededWhenItHasExpiredAlready(t *testing.T) {
	t.Parallel()
	w := waiting(t, v1alpha1.Approval{Expires: duration(30 * time.Second)})
	name := w.decide(v1alpha1.VerbApprove, "alice")
	w.now = w.now.Add(time.Minute) // Weighlock is down
	w.run(2)
	w.became(t, name, v1alpha1.DecisionSuperseded, "it is older than 30s, which is how long an approval of step 1/2 counts (expires)")
}

func TestApprove_IsSupersededOnceThereAreEnough(t *testing.T) {
	t.Parallel()
	w := waiting(t, v1alpha1.Approval{})
	w.spec.Steps[0].Hold = duration(time.Hour)
	first, second := w.decide(v1alpha1.VerbApprove, "alice"), w.decide(v1alpha1.VerbApprove, "bob")
	w.run(2)
	w.became(t, first, v1alpha1.DecisionApplied, "(1 of 1)")
	w.became(t, second, v1alpha1.DecisionSuperseded, "step 1/2 has all approvals that it asks for: 1 of 1")
}

// Progress is an annotation, and annotations have a limit.
func TestApprove_RemembersNoMoreThanAnAnnotationHolds(t *testing.T) {
	t.Parallel()
	w := waiting(t, v1alpha1.Approval{Quorum: 10})
	w.spec.Steps[0].Hold = duration(time.Hour)
	reason := strings.Repeat("ä", 1024)
	for i := range 200 {
		actor := fmt.Sprintf("%d-%s", i, strings.Repeat("ö", 500))
		if i%2 == 0 {
			actor = "slack:" + actor
		}
		w.decide(v1alpha1.VerbApprove, actor, func(d *rollout.Decision) { d.Reason = reason })
	}
	w.run(5)
	progress := w.route.progress
	if len(progress.Approvals) == 0 || len(progress.String()) > 64<<10 {
		t.Errorf("%d approvals take %d bytes", len(progress.Approvals), len(progress.String()))
	}
	if got := progress.Approvals[0].Reason; !strings.HasPrefix(got, "ääää") || !strings.HasSuffix(got, "ä…") {
		t.Errorf("it remembers the reason as %q", got)
	}
	if p := w.step(100); len(p.Why) > 32<<10 {
		t.Errorf("why has %d bytes", len(p.Why))
	}
}

func TestApprove_TellsWhereUsersAndMembersDoNotAddUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		approvers []v1alpha1.Approver
		told      bool
	}{
		"a user and a member":  {[]v1alpha1.Approver{user("alice"), user("slack:U1")}, true},
		"two users":            {[]v1alpha1.Approver{user("alice"), user("bob"), user("slack:U1")}, false},
		"a group of any size":  {[]v1alpha1.Approver{group("leads"), user("slack:U1")}, false},
		"everybody who may it": {nil, false},
	} {
		w := waiting(t, v1alpha1.Approval{Quorum: 2, Approvers: c.approvers})
		if p := w.step(100); strings.Contains(p.Status.WaitingFor, "members of Slack count apart") != c.told {
			t.Errorf("%s: it waits for %s", name, p.Status.WaitingFor)
		}
	}
}
