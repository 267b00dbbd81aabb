package slack_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier/slack"
)

// clicked is what Slack sends when a member clicks a button.
type clicked struct {
	action, prompt, user, home, team, at string
}

func (c clicked) payload() string {
	text, err := json.Marshal(map[string]any{
		"type": "block_actions", "trigger_id": "1.2.3", "team": map[string]any{"id": c.team, "domain": "shop"},
		"user": map[string]any{"id": c.user, "team_id": c.home, "name": "somebody"}, "channel": map[string]any{"id": channel},
		"container": map[string]any{"type": "message", "channel_id": channel},
		"actions":   []any{map[string]any{"type": "button", "action_id": c.action, "block_id": "weighlock", "value": c.prompt, "action_ts": c.at}},
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// approve is a click by a member on the button Approve of the open prompt.
func (r *rig) approve(user string) clicked {
	r.t.Helper()
	return clicked{action: "weighlock-approve", prompt: r.thread().Prompt.ID, user: user, home: team, team: team, at: "1.1"}
}

// reason is what Slack sends when Alice has filled in why.
func (r *rig) reason(why string) string {
	r.t.Helper()
	text, err := json.Marshal(map[string]any{
		"type": "view_submission", "team": map[string]any{"id": team}, "user": map[string]any{"id": "U0ALICE", "team_id": team},
		"view": map[string]any{
			"id": "V0ABC", "type": "modal", "callback_id": "weighlock-abort", "private_metadata": r.held(),
			"state": map[string]any{"values": map[string]any{"reason": map[string]any{"reason": map[string]any{"type": "plain_text_input", "value": why}}}},
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// held is what the modal holds that opens when somebody clicks on Abort now.
func (r *rig) held() string {
	r.t.Helper()
	r.space.mu.Lock()
	n := len(r.space.views)
	r.space.mu.Unlock()
	c := r.approve("U0ALICE")
	c.action, c.at = "weighlock-abort", fmt.Sprintf("7.%d", n)
	r.click(c.payload())
	var view struct {
		View struct {
			Held string `json:"private_metadata"`
		}
	}
	r.eventually("a modal", func() bool {
		r.space.mu.Lock()
		defer r.space.mu.Unlock()
		return len(r.space.views) > n && json.Unmarshal(r.space.views[n], &view) == nil
	})
	return view.View.Held
}

// made waits for the decisions that a click made, and settles them.
func (r *rig) made(n int, outcome v1alpha1.DecisionOutcome, message string) []v1alpha1.Decision {
	r.t.Helper()
	r.eventually("a decision", func() bool { return len(r.decisions()) >= n })
	all := r.decisions()
	if len(all) != n {
		r.t.Fatalf("there are %d decisions, want %d", len(all), n)
	}
	for i := range all {
		if all[i].Status.Outcome == "" {
			settle(r.t, &all[i], outcome, message)
		}
	}
	return r.decisions()
}

// answered waits until a member was told something alone.
func (r *rig) answered(user, says string) {
	r.t.Helper()
	r.eventually(user+" to be told: "+says, func() bool {
		return slices.ContainsFunc(r.space.heard(), func(text string) bool { return strings.HasPrefix(text, user+": ") && strings.Contains(text, says) })
	})
}

// refused fails the test if the click made a decision, or its author was not told so.
func (r *rig) refused(user, says string) {
	r.t.Helper()
	r.answered(user, says)
	r.app.Wait()
	if n := len(r.decisions()); n != 0 {
		r.t.Errorf("there are %d decisions, want none", n)
	}
}

func TestClick_BecomesADecisionInThePersonsName(t *testing.T) {
	r := newRig(t)
	r.people["U0ALICE"] = "alice@example.com"
	r.becomes(asking)
	r.click(r.approve("U0ALICE").payload())
	d := r.made(1, v1alpha1.DecisionApplied, "step 2/2 is approved (1 of 1)")[0]
	want := v1alpha1.DecisionSpec{
		Rollout: "checkout", Verb: v1alpha1.VerbApprove, Revision: "newrev", Step: new(int32(1)), Generation: r.now().Generation,
		Actor: "slack:U0ALICE", Person: "alice@example.com", Via: "slack",
	}
	if got := d.Spec; !sameSpec(got, want) {
		t.Errorf("the decision is %+v, want %+v", got, want)
	}
	if len(d.OwnerReferences) != 1 || d.OwnerReferences[0].UID != r.rollout.UID {
		t.Errorf("the decision belongs to %+v, want the Rollout", d.OwnerReferences)
	}
	r.answered("U0ALICE", "Done: step 2/2 is approved")
}

func sameSpec(a, b v1alpha1.DecisionSpec) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

func TestClick_AbortAsksWhyAndSaysSo(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	why := r.reason(" too many errors ")
	if n := len(r.decisions()); n != 0 {
		t.Fatalf("there are %d decisions before anybody said why", n)
	}
	r.click(why)
	d := r.made(1, v1alpha1.DecisionApplied, "aborted")[0]
	if d.Spec.Verb != v1alpha1.VerbAbort || d.Spec.Reason != "too many errors" || d.Spec.Actor != "slack:U0ALICE" {
		t.Errorf("the decision is %+v, want an abort with the reason", d.Spec)
	}
	r.answered("U0ALICE", "Done: aborted")
}

func TestClick_AbortNeedsAReason(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	for _, why := range []string{"", "  \n", strings.Repeat("x", 1001)} {
		answer := r.send(signed(r.secret, r.reason(why)))
		if answer.Code != 200 || !strings.Contains(answer.Body.String(), `"response_action":"errors"`) {
			t.Errorf("a reason of %d characters is answered with %d %s, want the modal to ask again", len(why), answer.Code, answer.Body)
		}
	}
	r.app.Wait()
	if n := len(r.decisions()); n != 0 {
		t.Errorf("there are %d decisions, want none", n)
	}
}

func TestClick_AbortCountsThoughTheRolloutWentOnMeanwhile(t *testing.T) {
	approval := &v1alpha1.Approval{}
	r := newRig(t, v1alpha1.Step{Weight: new(int32(5)), Approval: approval}, v1alpha1.Step{Weight: new(int32(50)), Approval: approval})
	r.becomes(asking, func(s *v1alpha1.RolloutStatus) { s.Step.Index, s.Step.Position = 0, "1/2" })
	why := r.reason("broken")
	r.edit(func(rollout *v1alpha1.Rollout) { rollout.Spec.Steps[1].Weight = new(int32(60)) })
	r.becomes(asking)
	r.click(why)
	if d := r.made(1, v1alpha1.DecisionApplied, "aborted")[0]; d.Spec.Verb != v1alpha1.VerbAbort || d.Spec.Reason != "broken" {
		t.Errorf("the decision is %+v, want the abort", d.Spec)
	}
}

func TestClick_AbortOfWhatIsOverIsAnswered(t *testing.T) {
	for name, then := range map[string]func(*rig){
		"rolled back": func(r *rig) { r.becomes(rolledBack) },
		"promoted":    func(r *rig) { r.becomes(promoted) },
		"tried again": func(r *rig) { r.becomes(retried) },
		"gone": func(r *rig) {
			if err := admin.Delete(r.t.Context(), r.now()); err != nil {
				r.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.becomes(asking)
			why := r.reason("broken")
			then(r)
			r.click(why)
			r.refused("U0ALICE", "superseded")
		})
	}
}

func TestClick_ThatIsStaleIsAnsweredAndDoesNothing(t *testing.T) {
	approval := &v1alpha1.Approval{}
	for name, then := range map[string]func(*rig){
		"step left":   func(r *rig) { r.set(func(s *v1alpha1.RolloutStatus) { s.Step.Index = 0 }) },
		"rolled back": func(r *rig) { r.set(rolledBack) },
		"superseded":  func(r *rig) { r.set(superseded) },
		"tried again": func(r *rig) { r.set(asking, func(s *v1alpha1.RolloutStatus) { s.Attempt++ }) },
		"closed":      func(r *rig) { r.becomes(promoted) },
		"spec changed": func(r *rig) {
			r.edit(func(rollout *v1alpha1.Rollout) { rollout.Spec.Steps[1].Weight = new(int32(90)) })
		},
		"channel gone": func(r *rig) { r.channels = nil },
		"not asked there any more": func(r *rig) {
			r.channels = []slack.Channel{{Sink: "releases", ID: channel}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, v1alpha1.Step{Weight: new(int32(5)), Approval: approval}, v1alpha1.Step{Weight: new(int32(50)), Approval: approval})
			r.becomes(asking)
			c := r.approve("U0ALICE")
			then(r)
			r.click(c.payload())
			r.refused("U0ALICE", "superseded")
		})
	}
}

// edit changes the Rollout.
func (r *rig) edit(edit func(*v1alpha1.Rollout)) {
	r.t.Helper()
	now := r.now()
	edit(now)
	if err := admin.Update(r.t.Context(), now); err != nil {
		r.t.Fatal(err)
	}
}

func TestClick_OnAPromptOfNobodyIsAnswered(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	c := r.approve("U0ALICE")
	c.prompt = strings.Repeat("0", 32)
	r.click(c.payload())
	r.refused("U0ALICE", "superseded")
}

func TestClick_ThatComesTwiceCountsOnce(t *testing.T) {
	r := newRig(t)
	r.becomes(askingTwo)
	request := signed(r.secret, r.approve("U0ALICE").payload())
	r.send(request)
	r.made(1, v1alpha1.DecisionApplied, "approved (1 of 2)")
	r.start() // Without memory of the signature.
	r.send(request)
	r.answered("U0ALICE", "You have said so already. approved (1 of 2)")
	if n := len(r.decisions()); n != 1 {
		t.Errorf("there are %d decisions, want one", n)
	}
}

func TestClick_ByWhoHasApprovedIsAnswered(t *testing.T) {
	r := newRig(t)
	r.becomes(askingTwo)
	r.becomes(approvedBy("slack:U0ALICE"))
	r.click(r.approve("U0ALICE").payload())
	r.refused("U0ALICE", "You have approved it already: 1 of 2 approvals")
}

func TestClick_CountsAgainWhereTheOneBeforeIsVoid(t *testing.T) {
	r := newRig(t)
	r.becomes(askingTwo)
	first := r.approve("U0ALICE")
	r.click(first.payload())
	r.made(1, v1alpha1.DecisionApplied, "approved (1 of 2)")
	second := first
	second.at = "2.2"
	r.click(second.payload())
	r.made(2, v1alpha1.DecisionApplied, "approved (1 of 2)")
}

func TestClick_TwoPeopleAtOnceMakeTwoDecisions(t *testing.T) {
	r := newRig(t)
	r.users = []string{"U0ALICE", "U0BOB"}
	r.becomes(askingTwo)
	r.click(r.approve("U0ALICE").payload())
	r.click(r.approve("U0BOB").payload())
	all := r.made(2, v1alpha1.DecisionApplied, "approved")
	if all[0].Spec.Actor == all[1].Spec.Actor {
		t.Errorf("both decisions are by %s", all[0].Spec.Actor)
	}
}

func TestClick_CanNotBeBlockedByADecisionOfThatName(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	c := r.approve("U0ALICE")
	r.click(c.payload())
	name := r.made(1, v1alpha1.DecisionApplied, "approved")[0].Name
	mine := r.decisions()[0]
	if err := admin.Delete(t.Context(), &mine); err != nil {
		t.Fatal(err)
	}
	other := decided(r, v1alpha1.VerbPause, "mallory")
	if err := admin.Delete(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	other.Name, other.GenerateName, other.ResourceVersion, other.UID = name, "", "", ""
	asMallory(r, other)
	r.start()
	r.click(c.payload())
	r.eventually("Alice's decision", func() bool {
		return slices.ContainsFunc(r.decisions(), func(d v1alpha1.Decision) bool { return d.Spec.Actor == "slack:U0ALICE" })
	})
}

func TestClick_TellsWhatBecameOfIt(t *testing.T) {
	for outcome, says := range map[v1alpha1.DecisionOutcome]string{
		v1alpha1.DecisionSuperseded: "Superseded: too late", v1alpha1.DecisionRejected: "Rejected: too late",
	} {
		r := newRig(t)
		r.becomes(asking)
		r.click(r.approve("U0ALICE").payload())
		r.made(1, outcome, "too late")
		r.answered("U0ALICE", says)
	}
}

func TestClick_WithoutThePermissionToRelayIsRefusedByTheCluster(t *testing.T) {
	r := newRig(t)
	const impostor = "system:serviceaccount:other:weighlock"
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "test-no-relay"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: impostor}},
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "test-no-relay"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"weighlock.dev"}, Resources: []string{"rollouts", "rollouts/status", "decisions"}, Verbs: []string{"get", "list", "create", "patch"}},
	}}
	for _, o := range []client.Object{role, binding} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	theirs := as(t, impostor)
	r.options.Client, r.options.Live = indexed{theirs}, theirs
	r.start()
	r.becomes(asking)
	r.click(r.approve("U0ALICE").payload())
	r.refused("U0ALICE", "may not decide for a member of Slack")
}

func TestClick_SaysWhenSlackOrTheClusterFails(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	r.space.trouble("auth.test", trouble{status: 500})
	r.click(r.approve("U0ALICE").payload())
	r.refused("U0ALICE", "could not do that just now")
}

func TestClick_IsFinishedBeforeTheAppEnds(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	c := r.approve("U0ALICE")
	r.click(c.payload())
	r.app.Wait()
	if n := len(r.decisions()); n != 1 {
		t.Errorf("there are %d decisions once the app has ended, want one", n)
	}
	r.answered("U0ALICE", "Your decision stands")
	c.at = "2.2"
	if answer := r.send(signed(r.secret, c.payload())); answer.Code != 503 {
		t.Errorf("a click after the end is answered with %d, want 503", answer.Code)
	}
}
