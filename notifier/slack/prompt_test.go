package slack_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestSync_AsksEachStepAnew(t *testing.T) {
	approval := &v1alpha1.Approval{}
	r := newRig(t, v1alpha1.Step{Weight: new(int32(5)), Approval: approval}, v1alpha1.Step{Weight: new(int32(50)), Approval: approval})
	first := func(s *v1alpha1.RolloutStatus) { s.Step.Index, s.Step.Position = 0, "1/2" }
	r.becomes(asking, first)
	before := r.thread().Prompt
	r.becomes(asking)
	after := r.thread().Prompt
	all := r.space.all()
	if before.ID == after.ID || len(all) != 3 || strings.Contains(all[1].says(), "button") || !strings.Contains(all[2].says(), "button") {
		t.Errorf("want the first step's prompt closed and another one sent, got %+v", all)
	}
}

func TestSync_ClosesThePromptOfARolloutThatIsOver(t *testing.T) {
	for name, state := range map[string]func(*v1alpha1.RolloutStatus){
		"rolled back": rolledBack, "superseded": superseded, "retried": retried, "withdrawn": idle, "no longer asked": inStep,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.becomes(asking)
			r.becomes(state)
			if p := r.space.all()[1]; strings.Contains(p.says(), "button") || !strings.Contains(p.says(), "Nobody answered") {
				t.Errorf("the prompt still asks: %s", p.says())
			}
		})
	}
}

func TestSync_AsksWhateverTheStepIsCalled(t *testing.T) {
	r := newRig(t)
	r.becomes(asking, func(s *v1alpha1.RolloutStatus) { s.Step.Name = strings.Repeat("&", 63) })
	if all := r.space.all(); len(all) != 2 || !strings.Contains(all[1].says(), "weighlock-approve") {
		t.Errorf("want the message and the prompt with its buttons, got %+v", all)
	}
}

func TestSync_AsksInWordsWhereSlackDoesNotTakeTheForm(t *testing.T) {
	r := newRig(t)
	fake := r.stopped()
	r.becomes(inStep)
	r.space.trouble("chat.postMessage", trouble{word: "invalid_blocks"})
	r.set(asking)
	again := r.sync()
	all := r.space.all()
	if len(all) != 2 || strings.Contains(all[1].says(), "weighlock-abort") || !strings.Contains(all[1].says(), "kubectl weighlock approve") {
		t.Fatalf("want the question in words, got %s and %d messages", all[1].says(), len(all))
	}
	if again != time.Minute || !strings.Contains(all[0].Text, "In step 2/2") {
		t.Errorf("the form is tried again after %s, want a minute; and the rollout's message says %s", again, all[0].Text)
	}
	fake.Step(again)
	r.sync()
	if all := r.space.all(); len(all) != 2 || !strings.Contains(all[1].says(), "weighlock-abort") {
		t.Errorf("want the question with its buttons once Slack takes them, got %+v", all)
	}
}

func TestSync_OffersWhatSomebodyInSlackMayDo(t *testing.T) {
	carol, alice := v1alpha1.Approver{User: "carol"}, v1alpha1.Approver{User: "slack:U0ALICE"}
	for name, try := range map[string]struct {
		approvers      []v1alpha1.Approver
		configured     []string
		approve, abort bool
	}{
		"those configured":               {configured: []string{"U0ALICE"}, approve: true, abort: true},
		"nobody":                         {},
		"approvers of Slack":             {approvers: []v1alpha1.Approver{carol, alice}, approve: true, abort: true},
		"approvers of the cluster":       {approvers: []v1alpha1.Approver{carol}},
		"the same, and those configured": {approvers: []v1alpha1.Approver{carol}, configured: []string{"U0ALICE"}, abort: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, v1alpha1.Step{Weight: new(int32(5))}, v1alpha1.Step{Weight: new(int32(50)), Approval: &v1alpha1.Approval{Approvers: try.approvers}})
			r.users = try.configured
			r.becomes(asking)
			p := r.space.all()[1]
			if strings.Contains(p.says(), "weighlock-approve") != try.approve || strings.Contains(p.says(), "weighlock-abort") != try.abort {
				t.Errorf("want a button to approve %t, and to abort %t: %s", try.approve, try.abort, p.says())
			}
			if strings.Contains(p.says(), "kubectl weighlock approve") == try.approve {
				t.Errorf("it is to say how to approve where there is no button: %s", p.says())
			}
		})
	}
}

func TestSync_SaysInThePromptWhoAnswered(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	d := decided(r, v1alpha1.VerbApprove, "alice")
	settle(t, d, v1alpha1.DecisionApplied, "step 2/2 is approved")
	r.becomes(promoting)
	if p := r.space.all()[1]; !strings.Contains(p.says(), "approved by alice through kubectl: looks good") {
		t.Errorf("the prompt doesn't say who approved: %s", p.says())
	}
}

func TestSync_AsksAgainWhereThePromptWasDeleted(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	before := r.thread()
	r.space.remove(before.Prompt.Timestamp)
	r.becomes(two)
	if after := r.thread(); after.Timestamp != before.Timestamp || after.Prompt.Timestamp == before.Prompt.Timestamp || len(r.space.all()) != 2 {
		t.Errorf("the thread is %+v, want the prompt sent again", after)
	}
}

func TestSync_AsksNobodyWhereTheSinkIsForReading(t *testing.T) {
	r := newRig(t)
	r.channels[0].Approvals = false
	r.becomes(asking)
	if all := r.space.all(); len(all) != 1 || strings.Contains(all[0].says(), "button") {
		t.Errorf("want one message without buttons, got %+v", all)
	}
}
