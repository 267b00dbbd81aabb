package cli_test

import "testing"

func TestStatus_KnowsAVersionThatWasRolledBackBeforeItLooked(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	makeRollout(t, namespace, "checkout", resting("checkout"))
	recorded(t, namespace, "badrev", "Ada", "error rate 5%", "{}")
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	me.run(t, "status", "--for=promoted", "--commit=bababab").want(t, 3, "badrev (commit babababa) was rolled back: error rate 5%")
	me.run(t, "status", "--commit=c0ffee0").want(t, 1, "commit c0ffee0 is not under way yet")
	me.run(t, "status", "--for=promoted", "--revision=bad").want(t, 2, "--revision bad is too short")
	me.run(t, "status", "--for=promoted", "--commit=c0ffee0", "--timeout=1s", "-o", "name").want(t, 5, "rollout.weighlock.dev/checkout", "is not promoted after 1s")
}
