package cli_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// guard installs the admission policy and the roles that decisions are checked by, as they are shipped, and waits until they hold.
var guard = sync.OnceValue(func() error {
	ctx := context.Background()
	return errors.Join(server.Install(ctx, "rbac-users.yaml"), server.InstallDecisionCheck(ctx))
})

// as is a caller who has a ClusterRole of Weighlock's in a namespace; an empty one for none.
func as(t *testing.T, namespace, user, role string, groups ...string) caller {
	t.Helper()
	if err := guard(); err != nil {
		t.Fatal(err)
	}
	if role != "" {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: user + "-", Namespace: namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		}
		if err := admin.Create(t.Context(), binding); err != nil {
			t.Fatal(err)
		}
	}
	return caller{kubeconfig: kubeconfig(t, namespace, user, groups...)}
}

// waitingRollout is in its second step, which asks for approval.
func waitingRollout(t *testing.T, namespace string, edit func(*v1alpha1.Rollout)) *v1alpha1.Rollout {
	t.Helper()
	rollout := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: namespace},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Name: "checkout"}, Service: v1alpha1.ServiceReference{Name: "checkout", Port: 8080},
			Router: []v1alpha1.RouterSpec{{SMI: &v1alpha1.SMIRouter{}}},
			Steps: []v1alpha1.Step{
				{Name: "tenth", Weight: new(int32(10)), Hold: &metav1.Duration{Duration: time.Minute}},
				{Name: "half", Weight: new(int32(50)), Approval: &v1alpha1.Approval{}},
				{Weight: new(int32(90))},
			},
		},
	}
	status := v1alpha1.RolloutStatus{
		State: v1alpha1.StateWaiting, WaitingFor: "a person's approval", Attempt: 3,
		Incumbent: &v1alpha1.RevisionStatus{Revision: "5d9f2cbbbb", Track: "checkout", Commit: strings.Repeat("5", 40)},
		Candidate: &v1alpha1.RevisionStatus{Revision: "7c4bh2aaaa", Track: "checkout-7c4bh2aaaa", Commit: strings.Repeat("a1", 20)},
		Step:      &v1alpha1.StepStatus{Index: 1, Position: "2/3", Name: "half"},
		Approval:  &v1alpha1.ApprovalStatus{Quorum: 1},
	}
	rollout.Status = status
	if edit != nil {
		edit(rollout)
	}
	status = rollout.Status
	if err := admin.Create(t.Context(), rollout); err != nil {
		t.Fatal(err)
	}
	rollout.Status = status
	if err := admin.Status().Update(t.Context(), rollout); err != nil {
		t.Fatal(err)
	}
	return rollout
}

// settle stands in for the controller: it gives each decision of a namespace an outcome.
func settle(t *testing.T, namespace string, outcome v1alpha1.DecisionOutcome, message string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			all := &v1alpha1.DecisionList{}
			if err := admin.List(ctx, all, client.InNamespace(namespace)); err != nil {
				return
			}
			for i := range all.Items {
				if d := &all.Items[i]; d.Status.Outcome == "" {
					d.Status = v1alpha1.DecisionStatus{Outcome: outcome, Message: message}
					if err := admin.Status().Update(ctx, d); err != nil && ctx.Err() == nil {
						t.Errorf("settling a decision: %v", err)
					}
					if outcome == v1alpha1.DecisionApplied {
						// As late as the controller's own may be.
						time.Sleep(100 * time.Millisecond)
						affect(t, &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: d.Spec.Rollout}}, &d.Spec)
					}
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
}

// made are the decisions of a namespace.
func made(t *testing.T, namespace string) []v1alpha1.Decision {
	t.Helper()
	all := &v1alpha1.DecisionList{}
	if err := admin.List(t.Context(), all, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	return all.Items
}

// says checks the end of a call: its code, and all that it said.
func (c *called) says(t *testing.T, code int, out, errOut string) {
	t.Helper()
	if c.code != code || c.out.String() != out || c.errOut.String() != errOut {
		t.Errorf("exit code %d, output\n%s\nand errors\n%s\nwant %d,\n%s\nand\n%s", c.code, c.out.String(), c.errOut.String(), code, out, errOut)
	}
}

func TestDecide_MakesTheDecisionInTheUsersNameAndTellsWhatBecameOfIt(t *testing.T) {
	revision, reason := "7c4bh2aaaa", "looks fine"
	for name, test := range map[string]struct {
		args []string
		want v1alpha1.DecisionSpec
	}{
		"approve":        {[]string{"approve"}, v1alpha1.DecisionSpec{Verb: v1alpha1.VerbApprove, Step: new(int32(1)), Groups: []string{"leads"}}},
		"promote":        {[]string{"promote"}, v1alpha1.DecisionSpec{Verb: v1alpha1.VerbPromote, Step: new(int32(1))}},
		"promote --full": {[]string{"promote", "--full"}, v1alpha1.DecisionSpec{Verb: v1alpha1.VerbPromote, Full: true}},
		"abort":          {[]string{"abort"}, v1alpha1.DecisionSpec{Verb: v1alpha1.VerbAbort}},
		"pause":          {[]string{"pause"}, v1alpha1.DecisionSpec{Verb: v1alpha1.VerbPause}},
		"resume":         {[]string{"resume"}, v1alpha1.DecisionSpec{Verb: v1alpha1.VerbResume}},
		"retry":          {[]string{"retry"}, v1alpha1.DecisionSpec{Verb: v1alpha1.VerbRetry}},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t)
			rollout := waitingRollout(t, namespace, func(r *v1alpha1.Rollout) {
				r.Spec.Steps[1].Approval = &v1alpha1.Approval{Approvers: []v1alpha1.Approver{{User: "zoe"}, {Group: "leads"}, {Group: "others"}}}
				if test.want.Verb == v1alpha1.VerbResume {
					r.Status.Paused = &v1alpha1.Voice{Actor: "bob", At: metav1.Now()}
				}
				if test.want.Verb == v1alpha1.VerbRetry {
					r.Status.Candidate.Failed = "the error rate rose"
				}
			})
			settle(t, namespace, v1alpha1.DecisionApplied, "it is done")
			alice := as(t, namespace, "alice", "weighlock-promoter", "leads", "everybody")
			alice.run(t, append(test.args, "checkout", "--reason", reason)...).says(t, 0, "checkout: it is done\n", "")
			all := made(t, namespace)
			if len(all) != 1 {
				t.Fatalf("made %d decisions", len(all))
			}
			test.want.Generation = rollout.Generation
			test.want.Rollout, test.want.Revision, test.want.Reason, test.want.Actor, test.want.Via = "checkout", revision, reason, "alice", "kubectl"
			if diff := cmp.Diff(test.want, all[0].Spec); diff != "" {
				t.Errorf("the decision differs (-want +got):\n%s", diff)
			}
			before := rollout.ResourceVersion
			if err := admin.Get(t.Context(), client.ObjectKeyFromObject(rollout), rollout); err != nil || rollout.ResourceVersion == before {
				t.Errorf("what is asked next is answered by the status of before: %v", err)
			}
			if owners := all[0].OwnerReferences; len(owners) != 1 || owners[0].UID != rollout.UID {
				t.Errorf("it is owned by %v", owners)
			}
		})
	}
}

func TestDecide_TellsWhoIsRefusedWhichVerbItTakes(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, func(r *v1alpha1.Rollout) { r.Status.Paused = &v1alpha1.Voice{Actor: "zoe", At: metav1.Now()} })
	for verb, permission := range map[string]string{"approve": "approve", "promote": "promote", "abort": "abort", "resume": "pause"} {
		sentence := fmt.Sprintf(`may not %s Rollout "checkout" in namespace "%s": that takes the verb "%s" on rollouts.weighlock.dev`, verb, namespace, permission)
		as(t, namespace, "bob", "weighlock-editor").run(t, verb).
			says(t, 1, "", "error: user \"bob\" "+sentence+", which the ClusterRole weighlock-promoter has\n")
		as(t, namespace, "dana", "weighlock-viewer").run(t, verb).
			says(t, 1, "", "error: user \"dana\" "+sentence+", and create on decisions.weighlock.dev, which the ClusterRole weighlock-promoter has\n")
		as(t, namespace, "bob", "weighlock-editor").run(t, verb, "--dry-run=server").
			says(t, 1, "", "error: user \"bob\" "+sentence+", which the ClusterRole weighlock-promoter has\n")
	}
	if all := made(t, namespace); len(all) != 0 {
		t.Errorf("made %d decisions", len(all))
	}
}

func TestDecide_FailsWithTheSentenceOfWhatCameToNothing(t *testing.T) {
	for outcome, words := range map[v1alpha1.DecisionOutcome]string{
		v1alpha1.DecisionSuperseded: "error: too late to approve step 2/3 half of 7c4bh2aaaa: step 2/3 was left already\n",
		v1alpha1.DecisionRejected:   "error: can't approve step 2/3 half of 7c4bh2aaaa: step 2/3 was left already\n",
	} {
		namespace := newNamespace(t)
		waitingRollout(t, namespace, nil)
		settle(t, namespace, outcome, "step 2/3 was left already")
		as(t, namespace, "alice", "weighlock-promoter").run(t, "approve").says(t, 1, "", words)
	}
}

func TestDecide_SaysThatADecisionStandsWhenNobodyAnswers(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, nil)
	alice := as(t, namespace, "alice", "weighlock-promoter")
	call := alice.run(t, "abort", "--timeout", "300ms")
	all := made(t, namespace)
	if len(all) != 1 {
		t.Fatalf("made %d decisions", len(all))
	}
	call.says(t, 5, "", fmt.Sprintf("error: no answer from Weighlock in 300ms: decision %s stands and waits. See it with kubectl -n %s get decision %s, "+
		"and whether Weighlock runs with kubectl get pods -A -l app.kubernetes.io/name=weighlock\n", all[0].Name, namespace, all[0].Name))
	alice.run(t, "pause", "--wait=false").says(t, 0, "checkout: asked to pause 7c4bh2aaaa\n", "")
	alice.run(t, "promote", "--wait=false", "-o", "name").says(t, 0, "decision.weighlock.dev/"+newest(t, namespace, "promote")+"\n", "")
}

// newest is the name of the decision of a verb.
func newest(t *testing.T, namespace, verb string) string {
	t.Helper()
	for _, d := range made(t, namespace) {
		if string(d.Spec.Verb) == verb {
			return d.Name
		}
	}
	t.Fatalf("there is no decision to %s", verb)
	return ""
}

func TestDecide_KeepsNothingInADryRun(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, nil)
	alice := as(t, namespace, "alice", "weighlock-promoter")
	alice.run(t, "approve", "--dry-run=server").says(t, 0, "checkout: would approve step 2/3 half of 7c4bh2aaaa (server dry run)\n", "")
	// The API server isn't asked, so that it takes no permission.
	as(t, namespace, "dana", "weighlock-viewer").run(t, "promote", "--dry-run").says(t, 0, "checkout: would promote 7c4bh2aaaa past step 2/3 half (dry run)\n", "")
	alice.run(t, "promote", "--full", "--dry-run=client").says(t, 0, "checkout: would promote 7c4bh2aaaa past all steps (dry run)\n", "")
	shown := &v1alpha1.Decision{}
	call := alice.run(t, "abort", "--dry-run=server", "--reason", "wrong totals", "-o", "yaml")
	if err := yaml.UnmarshalStrict([]byte(call.out.String()), shown); err != nil || shown.Kind != "Decision" || shown.Spec.Reason != "wrong totals" || shown.Name == "" {
		t.Errorf("%v in\n%s", err, call.out.String())
	}
	if all := made(t, namespace); len(all) != 0 {
		t.Errorf("made %d decisions", len(all))
	}
}

func TestDecide_ActsOnlyOnWhatWasMeant(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, nil)
	alice := as(t, namespace, "alice", "weighlock-promoter")
	const would = "checkout: would approve step 2/3 half of 7c4bh2aaaa (dry run)\n"
	for _, flags := range [][]string{
		{"--revision", "7c4bh2aaaa"}, {"--revision", "7c4b"}, {"--commit", "a1a1a1a"}, {"--commit", strings.Repeat("a1", 20)}, {"--step", "half"}, {"--step", "2"},
	} {
		alice.run(t, append(flags, "approve", "--dry-run")...).says(t, 0, would, "")
	}
	for _, test := range []struct {
		flags []string
		code  int
		words string
	}{
		{[]string{"--revision", "5d9f2cbbbb"}, 1, "checkout: the candidate is 7c4bh2aaaa (commit a1a1a1a1), and not 5d9f2cbbbb"},
		{[]string{"--revision", "7c4"}, 2, "--revision 7c4 is too short to be sure: give 4 characters of it or more\nsee kubectl weighlock approve --help"},
		{[]string{"--revision", "a1a1a1a1"}, 1, "checkout: the candidate is 7c4bh2aaaa (commit a1a1a1a1), and not a1a1a1a1"},
		{[]string{"--commit", "a1a1a1"}, 2, "--commit a1a1a1 is too short to be sure: give 7 characters of it or more\nsee kubectl weighlock approve --help"},
		{[]string{"--commit", "b1a1a1a1"}, 1, "checkout: the candidate is 7c4bh2aaaa (commit a1a1a1a1), and not b1a1a1a1"},
		{[]string{"--step", "tenth"}, 1, "checkout: it is in step 2/3 half, and not in step 1/3 tenth"},
		{[]string{"--step", "third"}, 2, "checkout has no step \"third\": write its name, or its number from 1 to 3\nsee kubectl weighlock approve --help"},
		{[]string{"--step", "4"}, 2, "checkout has no step \"4\": write its name, or its number from 1 to 3\nsee kubectl weighlock approve --help"},
		{[]string{"--dry-run=maybe"}, 2, "--dry-run=maybe is unknown: it is none, client or server\nsee kubectl weighlock approve --help"},
		{[]string{"--reason", strings.Repeat("ä", 1025)}, 2, "--reason has 1025 characters: there may be at most 1024\nsee kubectl weighlock approve --help"},
		{[]string{"-o", "tree"}, 2, "--output tree is unknown: it is one of json, yaml, name, jsonpath=... and go-template=...\nsee kubectl weighlock approve --help"},
	} {
		alice.run(t, append([]string{"approve"}, test.flags...)...).says(t, test.code, "", "error: "+test.words+"\n")
	}
	alice.run(t, "promote", "--full", "--step", "half").says(t, 2, "", "error: --full is past all steps, --step is about one: leave one of them out\nsee kubectl weighlock promote --help\n")
	if all := made(t, namespace); len(all) != 0 {
		t.Errorf("made %d decisions", len(all))
	}
}

func TestDecide_SaysBeforehandWhatWouldComeToNothing(t *testing.T) {
	idle := func(r *v1alpha1.Rollout) {
		r.Status.State, r.Status.Candidate, r.Status.Step, r.Status.Approval, r.Status.WaitingFor = v1alpha1.StateIdle, nil, nil, nil, ""
	}
	failed := func(r *v1alpha1.Rollout) {
		r.Status.State, r.Status.Candidate.Failed, r.Status.Step, r.Status.Approval = v1alpha1.StateRolledBack, "the error rate rose", nil, nil
	}
	starting := func(r *v1alpha1.Rollout) {
		r.Status.State, r.Status.Step, r.Status.Approval, r.Status.WaitingFor = v1alpha1.StateStarting, nil, nil, "pods to be ready"
	}
	first := func(r *v1alpha1.Rollout) {
		r.Status.Step, r.Status.Approval, r.Status.WaitingFor = &v1alpha1.StepStatus{Index: 0, Position: "1/3", Name: "tenth"}, nil, "hold, 20s more"
	}
	last := func(r *v1alpha1.Rollout) {
		r.Status.State, r.Status.Step, r.Status.Approval, r.Status.WaitingFor = v1alpha1.StateProgressing, &v1alpha1.StepStatus{Index: 2, Position: "3/3"}, nil, "a verdict"
	}
	setBack := func(r *v1alpha1.Rollout) { isSetBack(&r.Status) }
	paused := func(r *v1alpha1.Rollout) {
		r.Status.Paused = &v1alpha1.Voice{Actor: "bob", Via: "slack", Reason: "the sale", At: metav1.Now()}
	}
	deadline := func(r *v1alpha1.Rollout) { r.Status.State, r.Status.WaitingFor = v1alpha1.StatePaused, "a person" }
	mine := func(r *v1alpha1.Rollout) {
		r.Spec.Steps[1].Approval.Quorum = 2
		r.Status.Approval = &v1alpha1.ApprovalStatus{Quorum: 2, Count: 1, Given: []v1alpha1.Voice{{Actor: "alice", At: metav1.Now()}}}
	}
	others := func(r *v1alpha1.Rollout) {
		r.Spec.Steps[1].Approval.Approvers = []v1alpha1.Approver{{User: "zoe"}, {Group: "leads"}}
	}
	const rolledBack = "7c4bh2aaaa (commit a1a1a1a1) was rolled back: the error rate rose"
	const serving = "it is Idle, and 5d9f2cbbbb (commit 55555555) serves"
	for _, test := range []struct {
		state func(*v1alpha1.Rollout)
		verb  string
		words string
	}{
		{idle, "approve", "there is nothing to approve: " + serving},
		{idle, "abort", "there is nothing to abort: " + serving},
		{idle, "retry", "there is nothing to retry: " + serving},
		{idle, "pause", "there is nothing to pause: " + serving},
		{failed, "abort", "there is nothing to abort: " + rolledBack},
		{failed, "promote", "there is nothing to promote: " + rolledBack},
		{starting, "promote", "7c4bh2aaaa is not in its first step yet: it is Starting, waiting for pods to be ready (--full promotes past all steps)"},
		{starting, "approve", "nothing asks for approval yet, step 2/3 half will: it is Starting, waiting for pods to be ready"},
		{first, "approve", "nothing asks for approval yet, step 2/3 half will: it is Waiting in step 1/3 tenth, waiting for hold, 20s more"},
		{last, "approve", "nothing asks for approval: it is Progressing in step 3/3, waiting for a verdict"},
		{last, "retry", "there is nothing to retry: it is Progressing in step 3/3, waiting for a verdict"},
		{last, "resume", "it is not paused: it is Progressing in step 3/3, waiting for a verdict"},
		{deadline, "resume", "nobody paused it: it is Paused in step 2/3 half, waiting for a person. Promote it, or abort it"},
		{paused, "pause", "it is paused already, by bob through slack: the sale"},
		{setBack, "abort", "there is nothing to abort: 7c4bh2aaaa was set back: the mesh is deaf"},
		{setBack, "pause", "there is nothing to pause: 7c4bh2aaaa was set back: the mesh is deaf"},
		{mine, "approve", "step 2/3 half is approved by you already (1 of 2 approvals)"},
		{others, "approve", "alice is none of the approvers of step 2/3 half: user zoe, group leads"},
	} {
		t.Run(test.verb+": "+test.words, func(t *testing.T) {
			namespace := newNamespace(t)
			waitingRollout(t, namespace, test.state)
			as(t, namespace, "alice", "weighlock-promoter").run(t, test.verb).says(t, 1, "", "error: checkout: "+test.words+"\n")
			if all := made(t, namespace); len(all) != 0 {
				t.Errorf("made %d decisions", len(all))
			}
		})
	}
}

func TestDecide_CompletesSteps(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, nil)
	call := as(t, namespace, "alice", "weighlock-promoter").start(t, "__complete", "approve", "checkout", "--step", "")
	call.wait(t)
	if got := call.out.String(); !strings.Contains(got, "half\tstep 2/3, the present one\n3\tstep 3/3\n") {
		t.Errorf("it completes\n%s%s", got, call.errOut.String())
	}
}

// An event stands for what the controller told.
func happened(t *testing.T, rollout *v1alpha1.Rollout, at time.Time, kind, reason, message string) {
	t.Helper()
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: "checkout-", Namespace: rollout.Namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout", Namespace: rollout.Namespace, Name: rollout.Name, UID: rollout.UID},
		Type:           kind, Reason: reason, Message: message, FirstTimestamp: metav1.NewTime(at), LastTimestamp: metav1.NewTime(at), Count: 1,
	}
	if err := admin.Create(t.Context(), event); err != nil {
		t.Fatal(err)
	}
}
