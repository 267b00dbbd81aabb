package cli_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	me.run(t, "status", "--for=promoted", "--commit=c0ffee0", "--timeout=1s", "-o", "name").want(t, 5, "rollout.weighlock.dev/checkout", "is not promoted after 1s")
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
	viewer.run(t, "status", "--for=promoted", "--commit="+docs[:7], "--timeout=1s").says(t, 5, "checkout: commit d0c5d0c is not under way yet\n",
		"error: checkout is not promoted after 1s: is Idle\n")
}
