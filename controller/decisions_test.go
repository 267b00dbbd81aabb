package controller_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	l.create(t, l.byHand("stale-revision", func(s *v1alpha1.DecisionSpec) { s.Revision = "another" }))
	l.create(t, l.byHand("stale-step", func(s *v1alpha1.DecisionSpec) { s.Step = new(int32(1)) }))
	l.create(t, l.byHand("first", nil))
	l.create(t, l.byHand("second", nil))
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

func TestDecision_OnNoRolloutIsRejectedAndRemovedLater(t *testing.T) {
	t.Parallel()
	l := waiting(t, 1)
	l.create(t, l.byHand("of-nothing", func(s *v1alpha1.DecisionSpec) { s.Rollout = "nothing" }))
	// Another controller has answered this one: its Rollout is there, and not to be seen from here.
	elsewhere := l.byHand("of-another-shard", func(s *v1alpha1.DecisionSpec) { s.Rollout = "nothing" })
	elsewhere.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout", Name: "nothing", UID: "there"}}
	l.create(t, elsewhere)
	elsewhere.Status = v1alpha1.DecisionStatus{Outcome: v1alpha1.DecisionApplied, At: &metav1.Time{Time: l.clock.Now()}}
	if err := quickClient.Status().Update(t.Context(), elsewhere); err != nil {
		t.Fatal(err)
	}
	l.noted(t, elsewhere)
	look := func() ctrl.Result {
		l.running.view.show(len(l.history.entries), nil)
		key := types.NamespacedName{Namespace: l.namespace, Name: "nothing"}
		result, err := l.running.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	look()
	if got := l.decided()["of-nothing"].Status; got.Outcome != v1alpha1.DecisionRejected || !strings.Contains(got.Message, "there is no Rollout nothing") {
		t.Errorf("it became %+v", got)
	}
	l.clock.Step(59 * time.Minute)
	again := look().RequeueAfter
	if again <= 0 || again > time.Minute || l.decided()["of-nothing"] == nil {
		t.Errorf("it is looked at again in %s, and there: %v", again, l.decided()["of-nothing"] != nil)
	}
	l.clock.Step(again)
	if again := look().RequeueAfter; again != 0 || l.decided()["of-nothing"] != nil || l.decided()["of-another-shard"] == nil {
		t.Errorf("it is looked at again in %s; left are %v", again, l.decided())
	}
}

func TestDecisions_OfOneSecondAreTakenAsTheyWereMade(t *testing.T) {
	t.Parallel()
	l := waiting(t, 1)
	l.create(t, l.byHand("zz-pause", func(s *v1alpha1.DecisionSpec) { s.Verb = v1alpha1.VerbPause }))
	l.create(t, l.byHand("aa-resume", func(s *v1alpha1.DecisionSpec) { s.Verb = v1alpha1.VerbResume }))
	l.rest(t)
	for name, d := range l.decided() {
		if d.Status.Outcome != v1alpha1.DecisionApplied {
			t.Errorf("%s became %+v", name, d.Status)
		}
	}
	if paused := l.seen().Status.Paused; paused != nil {
		t.Errorf("it was resumed last, and is paused: %+v", paused)
	}
}

// counting counts the Decisions that are read.
type counting struct {
	client.Reader
	reads int
}

func (c *counting) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if _, is := obj.(*v1alpha1.Decision); is {
		c.reads++
	}
	return c.Reader.Get(ctx, key, obj, opts...)
}

func TestDecision_OnARolloutThatIsNotAdoptedCostsNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, scenario{spec: func(spec *v1alpha1.RolloutSpec) { spec.Service.Name = "later" }})
	l.running = l.start(t, "weighlock", 0)
	live := &counting{Reader: quickClient}
	l.running.reconciler.Freshness = controller.NewFreshness(l.running.reconciler.Client, live)
	l.create(t, l.byHand("early", func(s *v1alpha1.DecisionSpec) { s.Revision, s.Verb, s.Step = "any", v1alpha1.VerbAbort, nil }))
	for range 5 {
		l.rest(t)
	}
	if status := l.seen().Status; status.State != v1alpha1.StateStalled {
		t.Fatalf("it is %s", status.State)
	}
	if outcome := l.decided()["early"].Status.Outcome; live.reads > 0 || outcome != "" {
		t.Errorf("it took %d reads, and its outcome is %q", live.reads, outcome)
	}
	l.create(t, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "later", Namespace: l.namespace},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "shop"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	})
	for range 5 {
		l.rest(t)
	}
	if got := l.decided()["early"].Status.Outcome; got != v1alpha1.DecisionSuperseded {
		t.Errorf("after the adoption it became %q", got)
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

func TestTrimDecision_KeepsOfSettledOnesOnlyWhoseTheyAre(t *testing.T) {
	made := func(outcome v1alpha1.DecisionOutcome) *v1alpha1.Decision {
		d := decision.New(&v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "uid"}}, v1alpha1.VerbPause, decision.Author{Actor: "alice"}, "a long story")
		d.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
		d.Status = v1alpha1.DecisionStatus{Outcome: outcome, At: &metav1.Time{Time: time.Unix(1, 0)}, Message: "a longer one"}
		if _, err := controller.TrimDecision(d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := made(""); d.Spec.Reason == "" || d.Spec.Actor == "" || d.ManagedFields != nil {
		t.Errorf("of one that is to be acted on it keeps %+v", d)
	}
	d := made(v1alpha1.DecisionApplied)
	if d.Spec.Rollout != "shop" || len(d.OwnerReferences) != 1 || d.Status.Outcome != v1alpha1.DecisionApplied || d.Status.At == nil {
		t.Errorf("of a settled one it loses too much: %+v", d)
	}
	if d.Spec.Reason+d.Spec.Actor+d.Status.Message != "" || d.ManagedFields != nil {
		t.Errorf("of a settled one it keeps too much: %+v", d)
	}
}
