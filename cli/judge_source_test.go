package cli

import (
	"testing"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestStatus_AsksTheGitSourceOfACommitThatBringsNoVersion(t *testing.T) {
	t.Parallel()
	const serves, tried, docs = "3f1e0c9a77d1c2b5a9b8", "9a8b7c6d5e4f30211234", "d0c5d0c5d0c5d0c5d0c5"
	source := func(applied, attempted string, conditions ...metav1.Condition) *v1alpha1.GitSource {
		s := &v1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "git", Name: "shop"}}
		s.Status = v1alpha1.GitSourceStatus{LastApplied: &v1alpha1.CommitStatus{SHA: applied, Short: applied[:8]}, LastAttempted: attempted, Conditions: conditions}
		return s
	}
	refused := []metav1.Condition{
		condition("Ready", metav1.ConditionFalse, "BuildFailed", "commit d0c5d0c5: kustomization.yaml:3: no such file"),
		condition("Reconciling", metav1.ConditionTrue, fluxmeta.ProgressingWithRetryReason, "retrying"),
	}
	applying := []metav1.Condition{
		condition("Ready", metav1.ConditionFalse, "Syncing", "applying d0c5d0c5"), condition("Reconciling", metav1.ConditionTrue, "Syncing", "applying d0c5d0c5"),
	}
	stopped := []metav1.Condition{condition("Ready", metav1.ConditionFalse, "InvalidSpec", "no such branch"), condition("Stalled", metav1.ConditionTrue, "InvalidSpec", "no such branch")}
	const (
		early = "commit d0c5d0c is not under way yet"
		same  = "commit d0c5d0c changes nothing of checkout: "
	)
	promoted := goal{what: goalPromoted, commit: "d0c5d0c"}
	patient, asking, healthy := promoted, promoted, promoted
	patient.early, asking.what, healthy.what = true, "", goalHealthy
	for name, c := range map[string]struct {
		goal    goal
		rollout *v1alpha1.Rollout
		source  *v1alpha1.GitSource
		// now is the workload's commit.
		now   string
		final bool
		code  int
		say   string
	}{
		"applied, at rest":             {promoted, idle().rollout, source(docs, docs), serves, true, ExitReached, same + "7d9c4bxk2p serves all traffic"},
		"applied, asked just now":      {asking, idle().rollout, source(docs, docs), serves, true, ExitReached, same + "7d9c4bxk2p serves all traffic"},
		"applied, while one starts":    {promoted, starting().rollout, source(docs, docs), tried, false, 0, same + "b6m2hn8wqz waits for 2 ready pods of b6m2hn8wqz: 0 of 2"},
		"applied, the one there ails":  {promoted, rolledBack().rollout, source(docs, docs), tried, true, ExitRolledBack, same + "b6m2hn8wqz was rolled back: " + rolledBack().rollout.Status.Candidate.Failed},
		"applied, and it brings one":   {promoted, idle().rollout, source(docs, docs), docs, false, ExitError, early},
		"applied, one before it, too":  {promoted, idle().rollout, source(docs, docs), tried, false, ExitError, same + "commit " + tried + " is not under way yet"},
		"applied, workload not seen":   {promoted, idle().rollout, source(docs, docs), "", false, ExitError, early},
		"not yet":                      {promoted, idle().rollout, source(serves, serves), serves, false, ExitError, early + "; GitSource git/shop applied 3f1e0c9a last"},
		"being applied":                {promoted, idle().rollout, source(serves, docs, applying...), serves, false, ExitError, early + "; GitSource git/shop applied 3f1e0c9a last"},
		"another has begun since":      {promoted, idle().rollout, source(docs, tried), tried, false, ExitError, early},
		"in part, and it brings one":   {promoted, idle().rollout, source(serves, docs, refused...), docs, false, ExitError, early + "; GitSource git/shop says: " + refused[0].Message},
		"refused":                      {promoted, idle().rollout, source(serves, docs, refused...), serves, true, ExitError, "GitSource git/shop can't apply it: " + refused[0].Message},
		"refused, for now":             {patient, idle().rollout, source(serves, docs, refused...), serves, false, ExitError, early + "; GitSource git/shop says: " + refused[0].Message},
		"refused, asked just now":      {asking, idle().rollout, source(serves, docs, refused...), serves, false, ExitError, early + "; GitSource git/shop says: " + refused[0].Message},
		"another was refused":          {promoted, idle().rollout, source(serves, "0123456789", refused...), serves, false, ExitError, early + "; GitSource git/shop says: " + refused[0].Message},
		"the source is wrong":          {promoted, idle().rollout, source(serves, serves, stopped...), serves, false, ExitError, early + "; GitSource git/shop says: no such branch"},
		"no source":                    {promoted, idle().rollout, nil, serves, false, ExitError, early},
		"applied, then git went away":  {healthy, idle().rollout, source(docs, docs, refused...), serves, true, ExitReached, same + "7d9c4bxk2p serves all traffic"},
		"its revision is another's":    {goal{what: goalPromoted, commit: "d0c5d0c", revision: "b6m2"}, idle().rollout, source(docs, docs), serves, false, ExitError, "revision b6m2 of commit d0c5d0c changes nothing of checkout: revision b6m2 of commit " + serves + " is not under way yet"},
		"only the revision is unknown": {goal{what: goalPromoted, revision: "unknown"}, idle().rollout, source(docs, docs), serves, false, ExitError, "revision unknown is not under way yet"},
	} {
		j := &judge{goal: c.goal, kept: func() memory {
			return memory{source: c.source, applied: throughout(c.source, c.source), workload: of(c.now)}
		}}
		if got := j.rule(c.rollout, nil); got != (ruling{final: c.final, code: c.code, say: c.say}) {
			t.Errorf("%s: it says %+v", name, got)
		}
	}
}

func TestStatus_TakesACommitForNoOtherThatTookItsPlace(t *testing.T) {
	t.Parallel()
	const mine, revert = "d0c5d0c5d0c5d0c5d0c5", "3f1e0c9a77d1c2b5a9b8"
	const sized = "aaaabbbbccccddddeeee"
	now, image := mine, "shop/checkout:1.6.0"
	j := &judge{goal: goal{what: goalPromoted, commit: "d0c5d0c"}, kept: func() memory {
		w := of(now)
		w.Spec.Template.Spec.Containers[0].Image = image
		return memory{workload: w}
	}}
	if got := j.rule(idle().rollout, nil); got.final {
		t.Fatalf("before it is looked at, it says %+v", got)
	}
	other := *j
	now = sized
	const followed = "commit d0c5d0c brought the template that is of commit " + sized + " by now: commit " + sized + " is not under way yet"
	if got := other.rule(idle().rollout, nil); got.final || got.say != followed {
		t.Errorf("when another one changed the replicas, it says %+v", got)
	}
	now, image = revert, "shop/checkout:1.5.0"
	if got, say := j.rule(idle().rollout, nil), "commit d0c5d0c was superseded by commit "+revert+" before it was tried"; got != (ruling{final: true, code: ExitError, say: say}) {
		t.Errorf("it says %+v", got)
	}

	// A candidate that was seen is not the incumbent, whatever commit that is said to be of.
	j = &judge{goal: goal{what: goalPromoted, commit: "9a8b7c6d"}}
	if got := j.rule(starting().rollout, nil); got.final {
		t.Fatalf("while it starts, it says %+v", got)
	}
	back := idle().rollout
	back.Status.Incumbent.Commit = "9a8b7c6d5e4f30211234"
	if got := j.rule(back, nil); got.code != ExitRolledBack || !got.final {
		t.Errorf("when it was withdrawn, it says %+v", got)
	}
}

func TestThroughout_IsTheCommitThatNothingElseFollowedMeanwhile(t *testing.T) {
	t.Parallel()
	of := func(applied, attempted string) *v1alpha1.GitSource {
		s := &v1alpha1.GitSource{Status: v1alpha1.GitSourceStatus{LastAttempted: attempted}}
		if applied != "" {
			s.Status.LastApplied = &v1alpha1.CommitStatus{SHA: applied}
		}
		return s
	}
	for _, c := range []struct {
		before, after *v1alpha1.GitSource
		want          string
	}{
		{of("x", "x"), of("x", "x"), "x"},
		{of("x", "x"), of("x", "y"), ""},
		{of("w", "x"), of("x", "x"), ""},
		{of("x", "y"), of("x", "y"), ""},
		{of("", "x"), of("x", "x"), ""},
		{nil, of("x", "x"), ""},
		{of("x", "x"), nil, ""},
	} {
		if got := throughout(c.before, c.after); got != c.want {
			t.Errorf("from %+v to %+v it is %q, want %q", c.before, c.after, got, c.want)
		}
	}
}
