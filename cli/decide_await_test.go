package cli_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// isSetBack makes the status one whose candidate was set back.
func isSetBack(s *v1alpha1.RolloutStatus) {
	const message = "7c4bh2aaaa was set back: the mesh is deaf"
	s.State, s.WaitingFor, s.Step, s.Approval = v1alpha1.StateStalled, message, nil, nil
	s.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSetBack, Message: message, LastTransitionTime: metav1.Now(),
	}}
}

// affect makes the status that of after a decision.
func affect(t *testing.T, rollout *v1alpha1.Rollout, d *v1alpha1.DecisionSpec) {
	t.Helper()
	setStatus(t, rollout, func(s *v1alpha1.RolloutStatus) {
		voice := v1alpha1.Voice{Actor: d.Actor, At: metav1.Now()}
		switch d.Verb {
		case v1alpha1.VerbApprove:
			s.Approval.Count, s.Approval.Given = s.Approval.Count+1, append(s.Approval.Given, voice)
		case v1alpha1.VerbPromote:
			s.State = v1alpha1.StateProgressing
		case v1alpha1.VerbAbort:
			s.State, s.Candidate.Failed = v1alpha1.StateRolledBack, "aborted"
		case v1alpha1.VerbPause:
			s.State, s.Paused = v1alpha1.StatePaused, &voice
		case v1alpha1.VerbResume:
			s.State, s.Paused = v1alpha1.StateWaiting, nil
		case v1alpha1.VerbRetry:
			s.State, s.Candidate.Failed = v1alpha1.StateProgressing, ""
		}
	})
}

func TestDecide_RetriesWhatWasSetBack(t *testing.T) {
	namespace := newNamespace(t)
	r := waitingRollout(t, namespace, func(r *v1alpha1.Rollout) { isSetBack(&r.Status) })
	setStatus(t, r, func(s *v1alpha1.RolloutStatus) { s.ObservedGeneration = r.Generation })
	alice := as(t, namespace, "alice", "weighlock-promoter")
	alice.run(t, "status").want(t, 3, "7c4bh2aaaa was set back")
	alice.run(t, "get").want(t, 0, "kubectl weighlock retry checkout")
	alice.run(t, "retry", "--wait=false").says(t, 0, "checkout: asked to retry 7c4bh2aaaa\n", "")
}

// waitsForAnAnswer is a call that has made a decision, and that decision.
func waitsForAnAnswer(t *testing.T, namespace string, alice caller) (*called, *v1alpha1.Decision) {
	t.Helper()
	call := alice.start(t, "abort", "--timeout", "5m")
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if all := made(t, namespace); len(all) == 1 {
			return call, &all[0]
		}
	}
	t.Fatal("it makes no decision")
	return nil, nil
}

func TestDecide_SaysThatADecisionIsGone(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, nil)
	call, decision := waitsForAnAnswer(t, namespace, as(t, namespace, "alice", "weighlock-promoter"))
	if err := admin.Delete(t.Context(), decision); err != nil {
		t.Fatal(err)
	}
	call.wait(t)
	call.says(t, 1, "", fmt.Sprintf("error: decision %s was deleted before anything came of it: is Rollout %s/checkout there still?\n", decision.Name, namespace))
}

func TestDecide_SaysThatADecisionWentWhileItCouldNotSee(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, nil)
	connection, path := newLink(t, as(t, namespace, "alice", "weighlock-promoter").kubeconfig)
	call, decision := waitsForAnAnswer(t, namespace, caller{kubeconfig: path})
	connection.quiet()
	connection.cut()
	if err := admin.Delete(t.Context(), decision); err != nil {
		t.Fatal(err)
	}
	connection.mend()
	call.wait(t)
	call.want(t, 1, "was deleted before anything came of it")
}

func TestDecide_SaysThatADecisionStandsWhenItIsInterrupted(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, nil)
	call, decision := waitsForAnAnswer(t, namespace, as(t, namespace, "alice", "weighlock-promoter"))
	call.stop()
	call.wait(t)
	if said := call.errOut.String(); call.code != 130 || !strings.Contains(said, "decision "+decision.Name+" is made all the same") {
		t.Errorf("it ends with %d, and says %s", call.code, said)
	}
}

func TestDecide_WaitsAsLongAsItTakesWithoutATimeout(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, nil)
	call := as(t, namespace, "alice", "weighlock-promoter").start(t, "abort", "--timeout=0")
	select {
	case <-call.done:
		t.Fatalf("it ends with %d before there is an answer:\n%s", call.code, call.errOut.String())
	case <-time.After(time.Second):
	}
	settle(t, namespace, v1alpha1.DecisionApplied, "it is done")
	call.wait(t)
	call.says(t, 0, "checkout: it is done\n", "")
}

func TestDecide_RefusesATimeBelowZeroBeforeItDecides(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, nil)
	alice := as(t, namespace, "alice", "weighlock-promoter")
	for _, verb := range []string{"approve", "promote", "abort", "pause", "resume", "retry"} {
		alice.run(t, verb, "--timeout=-1s").says(t, 2, "", "error: --timeout -1s is below zero\nsee kubectl weighlock "+verb+" --help\n")
	}
	if all := made(t, namespace); len(all) != 0 {
		t.Errorf("made %d decisions", len(all))
	}
}
