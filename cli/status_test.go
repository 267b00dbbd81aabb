package cli_test

import (
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestStatus_KnowsAVersionThatWasRolledBackBeforeItLooked(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	makeRollout(t, namespace, "checkout", resting("checkout"))
	recorded(t, namespace, "badrev", "Ada", "error rate 5%", "{}")
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	me.run(t, "status", "--for=promoted", "--commit=bababab").want(t, 3, "badrev (commit babababa) was rolled back: error rate 5%")
	me.run(t, "status", "--commit=c0ffee0").want(t, 1, "commit c0ffee0 is not under way yet")
	me.run(t, "status", "--for=promoted", "--revision=bad").want(t, 2, "--revision bad is too short")
	late := me.waitsOver(t, "commit c0ffee0 is not under way yet", "status", "--for=promoted", "--commit=c0ffee0", "--timeout=1h", "-o", "name")
	late.want(t, 5, "rollout.weighlock.dev/checkout", "is not promoted after 1h0m0s")
}

// waitsOver calls the plugin with a timeout of an hour, which is over when the call has said something.
func (c caller) waitsOver(t *testing.T, words string, args ...string) *called {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Now())
	c.clock = clock
	call := c.start(t, args...)
	call.expect(t, words)
	clock.Step(time.Hour)
	call.wait(t)
	return call
}

func TestStatus_KnowsOfACommitThatBringsNoVersion(t *testing.T) {
	t.Parallel()
	namespace, elsewhere := newNamespace(t), newNamespace(t)
	const serves, docs = "c0ffee0123", "d0c5d0c5d0c5"
	source := &v1alpha1.GitSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: elsewhere, Name: "shop"},
		Spec:       v1alpha1.GitSourceSpec{URL: "https://git.example.com/shop.git", ServiceAccountName: "shop"},
	}
	if err := admin.Create(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	applied := func(commit string) {
		source.Status.LastApplied, source.Status.LastAttempted = &v1alpha1.CommitStatus{SHA: commit, Short: commit[:8]}, commit
		if err := admin.Status().Update(t.Context(), source); err != nil {
			t.Fatal(err)
		}
	}
	applied(serves)
	workload := makeWorkload(t, namespace)
	workload.Labels = map[string]string{v1alpha1.LabelSource: source.Name, v1alpha1.LabelSourceNamespace: elsewhere}
	workload.Annotations = map[string]string{v1alpha1.AnnotationCommit: serves}
	if err := admin.Update(t.Context(), workload); err != nil {
		t.Fatal(err)
	}
	status := resting("checkout")
	promoted(&status)
	makeRollout(t, namespace, "checkout", status)
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	call := me.start(t, "status", "--for=promoted", "--commit="+docs[:7])
	call.expect(t, "commit d0c5d0c is not under way yet; GitSource "+elsewhere+"/shop applied c0ffee01 last")
	applied(docs)
	call.wait(t)
	call.want(t, 0, "commit d0c5d0c changes nothing of checkout: newrev serves all traffic")

	// Who may not see the source is told as if there were none.
	viewer := as(t, namespace, "vera", "weighlock-viewer")
	viewer.waitsOver(t, "not under way yet\n", "status", "--for=promoted", "--commit="+docs[:7], "--timeout=1h").says(t, 5,
		"checkout: commit d0c5d0c is not under way yet\n", "error: checkout is not promoted after 1h0m0s: is Idle\n")
}

func TestStatus_WaitsForARolloutThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	makeRollout(t, namespace, "cart", resting("cart"))
	clock := clocktesting.NewFakeClock(time.Now())
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators), clock: clock}
	promotion := me.start(t, "status", "checkout", "--for=promoted", "--commit=c0ffee0", "--timeout=1h", "-o", "json")
	step := me.start(t, "status", "rollout/checkout", "--for=step=3", "--timeout=1h")
	late := me.start(t, "status", "checkout", "--for=promoted", "--commit=badc0de", "--timeout=1h")
	calls := []*called{promotion, step, late}
	for _, call := range calls {
		call.expect(t, "checkout: is not there yet in namespace "+namespace+", but cart\n")
	}
	clock.Step(40 * time.Minute)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	step.wait(t)
	step.want(t, 2, "has no step \"3\"")
	promotion.expect(t, "checkout: commit c0ffee0 is not under way yet")
	setStatus(t, r, promoted)
	promotion.wait(t)
	var printed v1alpha1.Rollout
	if err := json.Unmarshal([]byte(promotion.out.String()), &printed); err != nil || promotion.code != 0 || printed.Name != "checkout" {
		t.Errorf("it ends with %d, and prints %v\n%s", promotion.code, err, promotion.out.String())
	}
	// The time until the Rollout came is a part of all the time there is.
	late.expect(t, "commit badc0de is not under way yet")
	clock.Step(20 * time.Minute)
	late.wait(t)
	late.want(t, 5, "error: checkout is not promoted after 1h0m0s")
}

func TestStatus_SaysThatARolloutDidNotCome(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	const absent = "there is no Rollout checkout in namespace "
	notYet := "checkout: is not there yet in namespace " + namespace + "\n"
	me.waitsOver(t, notYet, "status", "checkout", "--for=promoted", "--timeout=1h").says(t, 5,
		notYet, "error: it is not promoted after 1h0m0s: "+absent+namespace+"\n")
	me.waitsOver(t, notYet, "status", "checkout", "--for=promoted", "--timeout=1h", "-o", "json").says(t, 5,
		"", notYet+"error: it is not promoted after 1h0m0s: "+absent+namespace+"\n")
	// Without a time there would be no end to a slip of the pen, and without a name there is nothing to wait for.
	me.run(t, "status", "checkout", "--for=promoted").says(t, 1, "", "error: "+absent+namespace+"\n")
	me.run(t, "status", "checkout").says(t, 1, "", "error: "+absent+namespace+"\n")
	me.run(t, "status", "--for=promoted", "--timeout=1m").want(t, 1, "there is no Rollout in namespace "+namespace)
	call := me.start(t, "status", "checkout", "--for=promoted", "--timeout=1m")
	call.expect(t, "is not there yet")
	call.stop()
	call.wait(t)
	call.want(t, 130)
}
