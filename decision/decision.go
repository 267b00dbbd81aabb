// Package decision makes Decisions: what a person said of a rollout, as an object that the API server checks.
package decision

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
)

// Author is who decides, and through what.
type Author struct {
	// Actor is the name that the API server knows, or slack: and the member's id.
	Actor string
	// Groups by which an approval is to count.
	Groups []string
	// Person is the Kubernetes user that a member of Slack is; empty where that isn't known.
	Person string
	// Via is kubectl, slack or the like.
	Via string
}

// New makes a decision on the rollout that a Rollout's status tells of: on its candidate, and on its present step where the verb
// is about one. The object is owned by the Rollout, and goes with it.
func New(rollout *v1alpha1.Rollout, verb v1alpha1.DecisionVerb, by Author, reason string) *v1alpha1.Decision {
	d := &v1alpha1.Decision{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Decision"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace:    rollout.Namespace,
			GenerateName: naming.Join(rollout.Name, string(verb)) + "-",
			Labels:       map[string]string{v1alpha1.LabelRollout: naming.LabelValue(rollout.Name)},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout", Name: rollout.Name, UID: rollout.UID,
			}},
		},
		Spec: v1alpha1.DecisionSpec{
			Rollout: rollout.Name, Generation: rollout.Generation, Verb: verb, Reason: reason, Actor: by.Actor, Groups: by.Groups, Person: by.Person, Via: by.Via,
		},
	}
	if candidate := rollout.Status.Candidate; candidate != nil {
		d.Spec.Revision = candidate.Revision
	}
	if step := rollout.Status.Step; step != nil && (verb == v1alpha1.VerbApprove || verb == v1alpha1.VerbPromote) {
		d.Spec.Step = new(step.Index)
	}
	return d
}
