package cli

import (
	"fmt"
	"strings"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// unbrought rules on a commit of which no revision is known, by what its GitSource says. Once that has applied it as a whole, the
// workload stands as another commit left it, whose version is meant then: the one that was asked about is in the cluster with it.
func (j *judge) unbrought(r *v1alpha1.Rollout, kept memory, early ruling) ruling {
	if j.commit == "" || j.instead != "" || kept.source == nil {
		return early
	}
	name := fmt.Sprintf("GitSource %s/%s", kept.source.Namespace, kept.source.Name)
	status, left := &kept.source.Status, kept.commit()
	last, trouble := status.LastApplied, failing(kept.source)
	switch {
	case last != nil && strings.HasPrefix(last.SHA, j.commit):
		if left == "" || strings.HasPrefix(left, j.commit) {
			return early
		}
		j.instead = j.named() + " changes nothing of " + kept.workload.Name
		j.commit = left
		return j.look(r, kept.workload)
	case trouble != "" && strings.HasPrefix(status.LastAttempted, j.commit) && !j.early && j.what != "":
		return final(ExitError, "%s can't apply it: %s", name, trouble)
	case trouble != "":
		early.say += "; " + name + " says: " + trouble
	case last != nil:
		early.say += "; " + name + " applied " + last.Short + " last"
	}
	return early
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
