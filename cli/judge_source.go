package cli

import (
	"fmt"
	"strings"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// unbrought rules on a commit of which no revision is known, by what its GitSource says. Once that has applied it as a whole, the
// workload stands as another commit left it, whose version is meant then: the one that was asked about is in the cluster with it.
func (j *judge) unbrought(r *v1alpha1.Rollout, kept memory, early ruling) ruling {
	left := kept.commit()
	here := left != "" && strings.HasPrefix(left, j.commit)
	switch {
	case j.commit == "":
		return early
	case here:
		j.brought = &kept.workload.Spec.Template
	case j.brought != nil && left != "" && !equality.Semantic.DeepEqual(j.brought, &kept.workload.Spec.Template):
		return final(ExitError, "%s was superseded by commit %s before it was tried", j.named(), left)
	case j.brought != nil && left != "":
		j.instead = j.named() + " brought the template that is of commit " + left + " by now"
		j.commit = left
		return j.look(r, kept.workload)
	case kept.applied != "" && left != "" && j.instead == "" && strings.HasPrefix(kept.applied, j.commit):
		j.instead = j.named() + " changes nothing of " + kept.workload.Name
		j.commit = left
		return j.look(r, kept.workload)
	}
	if kept.source == nil || j.instead != "" {
		return early
	}
	name := fmt.Sprintf("GitSource %s/%s", kept.source.Namespace, kept.source.Name)
	status, trouble := &kept.source.Status, failing(kept.source)
	switch {
	case trouble != "" && !here && strings.HasPrefix(status.LastAttempted, j.commit) && !j.early && j.what != "":
		return final(ExitError, "%s can't apply it: %s", name, trouble)
	case trouble != "":
		early.say += "; " + name + " says: " + trouble
	case !here && status.LastApplied != nil && !strings.HasPrefix(status.LastApplied.SHA, j.commit):
		early.say += "; " + name + " applied " + status.LastApplied.Short + " last"
	}
	return early
}

// throughout is the commit that a GitSource had applied as a whole at one time, where it tried nothing else until another; empty otherwise.
func throughout(before, after *v1alpha1.GitSource) string {
	if before == nil || after == nil || before.Status.LastApplied == nil || before.Status.LastApplied.SHA != after.Status.LastAttempted {
		return ""
	}
	return after.Status.LastAttempted
}

// failing is why a GitSource can't do what it is asked to; empty while it can, or is at it.
func failing(source *v1alpha1.GitSource) string {
	conditions := source.Status.Conditions
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	doing := meta.FindStatusCondition(conditions, v1alpha1.ConditionReconciling)
	retries := doing != nil && doing.Status == metav1.ConditionTrue && doing.Reason == fluxmeta.ProgressingWithRetryReason
	if ready == nil || ready.Status != metav1.ConditionFalse || !retries && !meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled) {
		return ""
	}
	return ready.Message
}
