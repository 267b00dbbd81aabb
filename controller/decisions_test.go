package controller_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/controller"
	"github.com/weighlock/weighlock/decision"
	"github.com/weighlock/weighlock/rollout"
)

var decisions = schema.GroupKind{Group: "weighlock.dev", Kind: "Decision"}

// decided are the lab's decisions, by name.
func (l *lab) decided() map[string]*v1alpha1.Decision { return held[v1alpha1.Decision](l, decisions) }

// waiting is a lab whose first step waits for people.
func waiting(t *testing.T, quorum int32) *lab {
	t.Helper()
	l := newLab(t, scenario{spec: func(spec *v1alpha1.RolloutSpec) { spec.Steps[0].Approval = &v1alpha1.Approval{Quorum: quorum} }})
	l.running = l.start(t, "weighlock", 0)
	l.play(t, scenario{events: []occasion{commit(idle, "v2")}, until: waits("approval")})
	return l
}

// byHand is a decision as somebody writes it into a file.
func (l *lab) byHand(name string, change func(*v1alpha1.DecisionSpec)) *v1alpha1.Decision {
	d := &v1alpha1.Decision{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: l.namespace},
		Spec: v1alpha1.DecisionSpec{
			Rollout: "shop", Verb: v1alpha1.VerbApprove, Revision: l.progress().Candidate, Step: new(int32(0)), Actor: administrator, Reason: "tried it",
		},
	}
	if change != nil {
		change(&d.Spec)
	}
	return d
}

func TestDecision_MadeByHandBecomesTheRollouts(t *testing.T) {
	t.Parallel()
	l := waiting(t, 2)
	since := l.seen().Status.Step.Since.Time
	owned := decision.New(l.seen(), v1alpha1.VerbPause, decision.Author{Actor: administrator, Via: "test"}, "")
	owned.GenerateName, owned.Name = "", "owned"
	before := l.running.writes
	l.create(t, owned)
	l.rest(t)
	if writes := l.running.writes - before; writes != 3 {
		t.Errorf("a decision takes %d writes, want the route, its outcome and the Rollout's status: %s", writes, l.tail(6))
	}
	l.create(t, l.byHand("by-hand", nil))
	l.rest(t)
	d := l.decided()["by-hand"]
	if d.Status.Outcome != v1alpha1.DecisionApplied || d.Status.At == nil || !strings.Contains(d.Status.Message, "approved by admin through api: tried it") {
		t.Errorf("its outcome is %+v", d.Status)
	}
	isOurs := slices.ContainsFunc(d.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == l.seen().UID })
	if !isOurs || d.Labels[v1alpha1.LabelRollout] != "shop" {
		t.Errorf("it is not the Rollout's: %+v, %v", d.OwnerReferences, d.Labels)
	}
	if !l.progress().Approvals[0].At.Equal(d.CreationTimestamp.Time) {
		t.Errorf("the route remembers %+v", l.progress().Approvals)
	}
	if given := l.seen().Status.Approval; given == nil || given.Count != 1 || given.Given[0].Actor != administrator {
		t.Errorf("the status tells %+v", given)
	}
	if now := l.seen().Status.Step.Since.Time; !now.Equal(since) {
		t.Errorf("the step began at %s, and at %s since it was approved", since, now)
	}
}

func TestDecision_OnWhatIsOverIsSuperseded(t *testing.T) {
	t.Parallel()
	l := waiting(t, 1)
	first := l.progress().Candidate
	for name, change := range map[string]func(*v1alpha1.DecisionSpec){
		"stale-revision": func(s *v1alpha1.DecisionSpec) { s.Revision = "another" },
		"stale-step":     func(s *v1alpha1.DecisionSpec) { s.Step = new(int32(1)) },
		"first":          nil,
		"second":         nil,
	} {
		l.create(t, l.byHand(name, change))
	}
	l.rest(t)
	for name, says := range map[string]string{
		"stale-revision": "the candidate is " + first, "stale-step": "step 2/2 is not reached yet", "second": "step 1/2 is approved by admin",
	} {
		if got := l.decided()[name].Status; got.Outcome != v1alpha1.DecisionSuperseded || !strings.Contains(got.Message, says) {
			t.Errorf("%s became %+v, want it superseded: %s", name, got, says)
		}
	}
	if got := l.decided()["first"].Status.Outcome; got != v1alpha1.DecisionApplied {
		t.Errorf("the first of two became %s", got)
	}
	l.play(t, scenario{until: runs("v2")})
	l.create(t, l.byHand("after-the-end", func(s *v1alpha1.DecisionSpec) { s.Revision, s.Verb = first, v1alpha1.VerbAbort }))
	l.rest(t)
	if got := l.decided()["after-the-end"].Status; got.Outcome != v1alpha1.DecisionSuperseded || !strings.Contains(got.Message, "its rollout is over") {
		t.Errorf("an abort after the end became %+v", got)
	}
}

func TestDecision_IsRejectedWithoutThePolicyThatChecksIt(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
		l := waiting(t, 1)
		l.running.view.hidden[schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: kind}] = true
		l.create(t, l.byHand("unchecked", nil))
		l.rest(t)
		if got := l.decided()["unchecked"].Status; got.Outcome != v1alpha1.DecisionRejected || !strings.Contains(got.Message, "weighlock-decisions") {
			t.Errorf("without the %s it became %+v", kind, got)
		}
		if len(l.progress().Approvals) > 0 {
			t.Errorf("without the %s it counts", kind)
		}
	}
}

func TestRollout_TellsOnceThatItWaitsForPeople(t *testing.T) {
	t.Parallel()
	l := waiting(t, 2)
	l.create(t, l.byHand("first", nil))
	l.rest(t)
	told := 0
	for len(l.running.events) > 0 {
		if event := <-l.running.events; strings.Contains(event, "Normal ApprovalNeeded step 1/2") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("it is told %d times", told)
	}
}

func TestDecision_OnNoRolloutIsRejected(t *testing.T) {
	t.Parallel()
	l := waiting(t, 1)
	l.create(t, l.byHand("of-nothing", func(s *v1alpha1.DecisionSpec) { s.Rollout = "nothing" }))
	l.running.view.show(len(l.history.entries), nil)
	if _, err := l.running.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: l.namespace, Name: "nothing"}}); err != nil {
		t.Fatal(err)
	}
	if got := l.decided()["of-nothing"].Status; got.Outcome != v1alpha1.DecisionRejected || !strings.Contains(got.Message, "there is no Rollout nothing") {
		t.Errorf("it became %+v", got)
	}
}

func TestDecision_OfARolloutThatHadTheNameBeforeIsSuperseded(t *testing.T) {
	t.Parallel()
	l := waiting(t, 1)
	d := l.byHand("of-another", nil)
	d.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout", Name: "shop", UID: "another"}}
	l.create(t, d)
	l.rest(t)
	if len(l.progress().Approvals) > 0 || l.decided()["of-another"].Status.Outcome != v1alpha1.DecisionSuperseded {
		t.Errorf("it is acted on: %+v", l.decided()["of-another"].Status)
	}
}

func TestDecision_MadeBeforeThePolicyIsRejected(t *testing.T) {
	t.Parallel()
	l := waiting(t, 1)
	kind := schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"}
	policy := l.history.latest[kind][types.NamespacedName{Name: controller.DecisionPolicy}].DeepCopy()
	policy.SetCreationTimestamp(metav1.NewTime(time.Now().Add(time.Hour)))
	l.history.add(entry{kind: kind, name: types.NamespacedName{Name: controller.DecisionPolicy}, obj: policy, by: "user"})
	l.create(t, l.byHand("too-old", nil))
	l.rest(t)
	if got := l.decided()["too-old"].Status; got.Outcome != v1alpha1.DecisionRejected || !strings.Contains(got.Message, "older than") {
		t.Errorf("it became %+v", got)
	}
}

func TestDecisions_AnAbortIsHeardThroughAFlood(t *testing.T) {
	t.Parallel()
	l := waiting(t, 1)
	for i := range 40 {
		l.create(t, l.byHand(fmt.Sprintf("flood-%02d", i), func(s *v1alpha1.DecisionSpec) { s.Revision = "another" }))
	}
	l.create(t, l.byHand("zz-abort", func(s *v1alpha1.DecisionSpec) { s.Verb = v1alpha1.VerbAbort }))
	if _, err := l.running.reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.progress().Phase != rollout.PhaseRolledBack {
		t.Errorf("it is at %s", l.progress())
	}
	for range 5 {
		l.rest(t)
	}
	if left := l.decided(); len(left) != 20 || slices.ContainsFunc(slices.Collect(maps.Values(left)), func(d *v1alpha1.Decision) bool { return d.Status.Outcome == "" }) {
		t.Errorf("%d decisions are left", len(left))
	}
}

func TestDecisions_OlderThanTheLastTwentyAreDropped(t *testing.T) {
	t.Parallel()
	l := waiting(t, 1)
	for i := range 25 {
		l.create(t, l.byHand(fmt.Sprintf("decision-%02d", i), func(s *v1alpha1.DecisionSpec) { s.Revision = "another" }))
		l.rest(t)
	}
	l.rest(t)
	left := l.decided()
	if len(left) != 20 || left["decision-24"] == nil {
		t.Errorf("%d decisions are left, decision-24: %v", len(left), left["decision-24"] != nil)
	}
}
