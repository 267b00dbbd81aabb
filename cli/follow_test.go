package cli_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestStatus_SaysHowItIsNow(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	me.run(t, "status").want(t, 0, "checkout: oldrev serves all traffic")
	setStatus(t, r, tried)
	me.run(t, "status").want(t, 0, "checkout: newrev is in step 1/2 pilot (5%), waits for a verdict")
	setStatus(t, r, asked)
	me.run(t, "status").want(t, 4, "newrev waits for a person: approval by 1 more")
	setStatus(t, r, failed)
	me.run(t, "status").want(t, 3, "newrev was rolled back: error rate 5% is worse")
	me.run(t, "status", "-o", "jsonpath={.status.state}").want(t, 3, "RolledBack")
}

func TestStatus_WaitsUntilItIsAsAsked(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	setStatus(t, r, tried)
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	promotion := me.start(t, "status", "checkout", "--for=promoted", "--wait-for-people")
	impatient := me.start(t, "status", "checkout", "--for=promoted")
	approval := me.start(t, "status", "checkout", "--for=approval")
	second := me.start(t, "status", "checkout", "--for=step=2")
	first := me.run(t, "status", "checkout", "--for=step=pilot")
	first.want(t, 0, "newrev is in step 1/2 pilot")
	for _, call := range []*called{promotion, impatient, approval, second} {
		call.expect(t, "is in step 1/2 pilot")
	}
	setStatus(t, r, asked)
	for call, code := range map[*called]int{impatient: 4, approval: 0, second: 0} {
		call.wait(t)
		call.want(t, code, "newrev")
	}
	promotion.expect(t, "step 2/2")
	setStatus(t, r, promoted)
	promotion.wait(t)
	promotion.want(t, 0, "newrev serves all traffic")
}

func TestStatus_EndsWhenItCannotBeReached(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	setStatus(t, r, tried)
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	call := me.start(t, "status", "checkout", "--for=promoted")
	call.expect(t, "is in step")
	setStatus(t, r, failed)
	call.wait(t)
	call.want(t, 3, "was rolled back")

	setStatus(t, r, tried)
	call = me.start(t, "status", "checkout", "--for=healthy")
	call.expect(t, "is in step")
	if err := admin.Delete(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	call.wait(t)
	call.want(t, 1, "it is deleted")
}

func TestStatus_EndsWhenTheTimeIsOver(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	setStatus(t, makeRollout(t, namespace, "checkout", resting("checkout")), tried)
	clock := clocktesting.NewFakeClock(time.Now())
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators), clock: clock}
	call := me.start(t, "status", "checkout", "--for=promoted", "--timeout", "10m")
	call.expect(t, "is in step")
	clock.Step(10*time.Minute - time.Second)
	select {
	case <-call.done:
		t.Fatalf("it ends before the time is over:\n%s", call.out.String())
	case <-time.After(200 * time.Millisecond):
	}
	clock.Step(time.Second)
	call.wait(t)
	call.want(t, 5, "checkout is not promoted after 10m0s: waits for a verdict")
}

func TestStatus_WaitsForTheVersionThatIsMeant(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	commit := me.start(t, "status", "checkout", "--for=promoted", "--commit", "c0ffee0")
	revision := me.start(t, "status", "checkout", "--for=promoted", "--revision", "newrev")
	commit.expect(t, "checkout: commit c0ffee0 is not under way yet")
	revision.expect(t, "checkout: revision newrev is not under way yet")
	setStatus(t, r, tried)
	for _, call := range []*called{commit, revision} {
		call.expect(t, "is in step 1/2")
	}
	setStatus(t, r, promoted)
	for _, call := range []*called{commit, revision} {
		call.wait(t)
		call.want(t, 0, "newrev serves all traffic")
	}
}

func TestStatus_IsNotFooledByAVersionThatWeighlockHasNotSeen(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	workload := makeWorkload(t, namespace)
	// As the admission policy does in the write that changes the template.
	workload.Spec.Template.Spec.Containers[0].Image, workload.Spec.Paused = "shop/checkout:2", true
	if err := admin.Update(t.Context(), workload); err != nil {
		t.Fatal(err)
	}
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	call := me.start(t, "status", "checkout", "--for=promoted")
	call.expect(t, "a new version is there, and was not looked at yet")
	setStatus(t, r, tried)
	call.expect(t, "is in step 1/2")
	setStatus(t, r, failed)
	call.wait(t)
	call.want(t, 3)
}

func TestStatus_RefusesWhatItCannotWaitFor(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	makeRollout(t, namespace, "checkout", resting("checkout"))
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	// As when a script's variable isn't set.
	for _, flag := range []string{"--commit", "--revision", "--for"} {
		me.run(t, "status", "--for=promoted", flag+"=").want(t, 2, flag+" is empty")
	}
	me.run(t, "approve", "--revision=").want(t, 2, "--revision is empty")
	me.run(t, "status", "--for=promoted", "--commit=c0ff").want(t, 2, "--commit c0ff is too short")
	me.run(t, "status", "--for=happiness").want(t, 2, "--for=happiness is unknown", "promoted, healthy, approval or step=N")
	me.run(t, "status", "--for=step").want(t, 2, "--for=step is unknown")
	me.run(t, "status", "--for=step=3").want(t, 2, "has no step \"3\"")
	me.run(t, "status", "--timeout=1m").want(t, 2, "--timeout goes with --for")
	me.run(t, "status", "--for=promoted", "--timeout=-1m").want(t, 2, "below zero")
}

func TestWatch_PrintsALineForEachChange(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	get, list := me.start(t, "get", "checkout", "--watch"), me.start(t, "list", "--watch")
	states := me.start(t, "get", "checkout", "--watch", "-o", "jsonpath={.status.state};")
	follow := func(words string) {
		t.Helper()
		get.expect(t, words)
		list.expect(t, words)
	}
	follow("checkout: Idle")
	setStatus(t, r, tried)
	follow("checkout: Progressing, step 1/2 pilot (5%), candidate newrev: waits for a verdict")
	// What is measured changes all the time.
	setStatus(t, r, func(s *v1alpha1.RolloutStatus) { s.Traffic.Measured = "5.1%" })
	setStatus(t, r, asked)
	follow("checkout: Waiting, step 2/2")
	states.expect(t, "Idle;Progressing;")
	if n := strings.Count(get.out.String(), "Progressing"); n != 1 {
		t.Errorf("the same line is printed %d times:\n%s", n, get.out.String())
	}
	if err := admin.Delete(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	follow("checkout: deleted")
	get.wait(t)
	get.want(t, 0)
	if !regexp.MustCompile(`^\d\d:\d\d:\d\dZ  checkout: Idle\n`).MatchString(get.out.String()) {
		t.Errorf("the lines don't say when, in UTC:\n%s", get.out.String())
	}
	list.stop()
	list.wait(t)
	list.want(t, 130)
}

func TestWatch_PrintsObjectsThatOtherProgramsCanRead(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	calls := []*called{me.start(t, "get", "--watch", "-o", "yaml"), me.start(t, "list", "--watch", "-o", "yaml")}
	all := func(words string) {
		t.Helper()
		for _, call := range calls {
			call.expect(t, words)
		}
	}
	all("state: Idle\n")
	setStatus(t, r, tried)
	all("state: Progressing\n")
	if err := admin.Delete(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	calls[0].wait(t)
	calls[0].want(t, 0)
	for _, call := range calls {
		var states []string
		for document := range strings.SplitSeq(call.out.String(), "---\n") {
			read := &v1alpha1.Rollout{}
			if err := yaml.UnmarshalStrict([]byte(document), read); err != nil || read.Name != "checkout" {
				t.Errorf("%v in\n%s", err, document)
			}
			states = append(states, string(read.Status.State))
		}
		if got := strings.Join(states, ", "); got != "Idle, Progressing" {
			t.Errorf("the states are %s", got)
		}
	}
	if got := calls[0].errOut.String(); got != "checkout: deleted\n" {
		t.Errorf("of the end it says %q", got)
	}
}

func TestWatch_DoesNotTakeAnotherRolloutForTheOneThatIsGone(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	setStatus(t, r, tried)
	happened(t, r, time.Now(), corev1.EventTypeNormal, "Started", "newrev starts")
	connection, path := newLink(t, kubeconfig(t, namespace, "ada", administrators))
	me := caller{kubeconfig: path}
	get, status, logs := me.start(t, "get", "--watch"), me.start(t, "status", "--for=promoted"), me.start(t, "logs", "--follow")
	get.expect(t, "checkout: Progressing")
	status.expect(t, "is in step 1/2")
	logs.expect(t, "newrev starts")
	connection.cut()
	for _, call := range []*called{get, status, logs} {
		call.expect(t, "the API server can't be heard, trying again")
	}
	if err := admin.Delete(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	setStatus(t, makeRollout(t, namespace, "checkout", resting("checkout")), promoted)
	connection.mend()
	for call, code := range map[*called]int{get: 0, status: 1, logs: 0} {
		call.wait(t)
		call.want(t, code, "deleted")
	}
}

func TestLogs_DoWithoutWhatTheUserMayNotWatch(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	setStatus(t, makeRollout(t, namespace, "checkout", resting("checkout")), tried)
	grant(t, namespace, "rita", "get", "list", "watch")
	also(t, namespace, "rita", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"list"}})
	also(t, namespace, "rita", rbacv1.PolicyRule{APIGroups: []string{"weighlock.dev"}, Resources: []string{"decisions"}, Verbs: []string{"list", "watch"}})
	call := caller{kubeconfig: kubeconfig(t, namespace, "rita")}.start(t, "logs", "--follow")
	call.expect(t, "this is without events, which you may not list\n")
	call.stop()
	call.wait(t)
	call.want(t, 130)
}

// also lets a user do more, whom grant has let do something.
func also(t *testing.T, namespace, user string, rule rbacv1.PolicyRule) {
	t.Helper()
	role := &rbacv1.Role{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: user}, role); err != nil {
		t.Fatal(err)
	}
	role.Rules = append(role.Rules, rule)
	if err := admin.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
}

func TestStatus_AsksForItsWorkloadOnly(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	workload := makeWorkload(t, namespace)
	workload.Spec.Template.Spec.Containers[0].Image, workload.Spec.Paused = "shop/checkout:2", true
	if err := admin.Update(t.Context(), workload); err != nil {
		t.Fatal(err)
	}
	grant(t, namespace, "rita", "get", "list", "watch")
	also(t, namespace, "rita", rbacv1.PolicyRule{
		APIGroups: []string{"apps"}, Resources: []string{"deployments"}, ResourceNames: []string{"checkout"}, Verbs: []string{"get", "list", "watch"},
	})
	call := caller{kubeconfig: kubeconfig(t, namespace, "rita")}.start(t, "status", "--for=promoted")
	call.expect(t, "a new version is there, and was not looked at yet")
	setStatus(t, r, failed)
	call.wait(t)
	call.want(t, 3)
}

func TestWatch_GoesOnAfterTheServerWasAway(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	connection, path := newLink(t, kubeconfig(t, namespace, "ada", administrators))
	me := caller{kubeconfig: path}
	watch, status := me.start(t, "get", "--watch"), me.start(t, "status", "--for=promoted", "--revision", "newrev")
	watch.expect(t, "checkout: Idle")
	status.expect(t, "is not under way yet")
	connection.cut()
	watch.expect(t, "the API server can't be heard, trying again")
	setStatus(t, r, tried)
	connection.mend()
	watch.expect(t, "the API server answers again")
	watch.expect(t, "checkout: Progressing")
	setStatus(t, r, promoted)
	status.wait(t)
	status.want(t, 0, "newrev serves all traffic")
}
