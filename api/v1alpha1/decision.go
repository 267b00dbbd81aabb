package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Decision is what a person said of a rollout: who, when, through what and why. It can't be changed. Who may make
// one is a matter of RBAC: its verb on the Rollout that it is about (pause, for resume), which the
// ValidatingAdmissionPolicy weighlock-decisions checks, together with the actor.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Rollout",type=string,JSONPath=`.spec.rollout`
// +kubebuilder:printcolumn:name="Verb",type=string,JSONPath=`.spec.verb`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Step",type=integer,JSONPath=`.spec.step`
// +kubebuilder:printcolumn:name="Actor",type=string,JSONPath=`.spec.actor`
// +kubebuilder:printcolumn:name="Via",type=string,JSONPath=`.spec.via`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.outcome`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Decision struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what was decided. It can't be changed.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a decision can't be changed: make another"
	// +required
	Spec DecisionSpec `json:"spec"`

	// status is what became of it.
	// +optional
	Status DecisionStatus `json:"status,omitempty"`
}

// DecisionList is a list of Decisions.
//
// +kubebuilder:object:root=true
type DecisionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Decision `json:"items"`
}

// DecisionVerb is what is to be done.
//
// +kubebuilder:validation:Enum=promote;approve;abort;pause;resume;retry
type DecisionVerb string

// The verbs of decisions.
const (
	// VerbPromote goes on to the next step, whatever gates are closed, or with full to the promotion.
	VerbPromote DecisionVerb = "promote"
	// VerbApprove opens the approval gate of a step.
	VerbApprove DecisionVerb = "approve"
	// VerbAbort puts all traffic back, and marks the revision as failed.
	VerbAbort DecisionVerb = "abort"
	// VerbPause keeps a rollout where it is; it is rolled back nevertheless when the numbers are bad.
	VerbPause DecisionVerb = "pause"
	// VerbResume lets a paused rollout go on. It takes the permission to pause.
	VerbResume DecisionVerb = "resume"
	// VerbRetry tries a revision that failed, or was set back, once more from its first step.
	VerbRetry DecisionVerb = "retry"
)

// Permission is the RBAC verb on rollouts that a decision takes.
func (v DecisionVerb) Permission() string {
	if v == VerbResume {
		return string(VerbPause)
	}
	return string(v)
}

// DecisionSpec is what was decided, by whom and why.
//
// +kubebuilder:validation:XValidation:rule="has(self.step) || (self.verb != 'approve' && (self.verb != 'promote' || (has(self.full) && self.full)))",message="step is missing: a decision to approve or promote names the step that it is about, from 0 (or says full: true, to promote past all steps)"
// +kubebuilder:validation:XValidation:rule="!has(self.full) || !self.full || self.verb == 'promote'",message="full goes with the verb promote only: leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.person) || self.via == 'slack'",message="person is for decisions that are made through slack: leave it out"
type DecisionSpec struct {
	// rollout is the name of the Rollout, in the decision's namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Rollout string `json:"rollout"`

	// verb is what is to be done.
	// +required
	Verb DecisionVerb `json:"verb"`

	// revision that it is about, as status.candidate.revision of the Rollout tells it. A decision on another one than the present
	// is superseded.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Revision string `json:"revision"`

	// step that it is about, its index in spec.steps of the Rollout, from 0. A decision on another one than the present
	// is superseded.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=49
	// +optional
	Step *int32 `json:"step,omitempty"`

	// generation of the Rollout that was looked at (metadata.generation). An approval of another spec than the present is superseded. Where it
	// is left out, that isn't checked.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Generation int64 `json:"generation,omitempty"`

	// full promotes past all steps that are left, and not to the next one only.
	// +optional
	Full bool `json:"full,omitempty"`

	// reason tells why, for the record.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Reason string `json:"reason,omitempty"`

	// actor is who decided: the user that makes the object, by the name that the API server knows. Through Slack, slack: and the member's
	// id, which only Weighlock itself may write.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +required
	Actor string `json:"actor"`

	// groups of the actor by which an approval is to count, where a step's approvers are groups. The API server checks that the
	// actor is in them.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=512
	// +listType=set
	// +optional
	Groups []string `json:"groups,omitempty"`

	// person is the Kubernetes user that a member of Slack is, where Weighlock's configuration says so.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Person string `json:"person,omitempty"`

	// via is what the decision was made through, such as kubectl or slack.
	// +kubebuilder:validation:Pattern=`^[a-z][-a-z0-9]{0,62}$`
	// +kubebuilder:default=api
	// +optional
	Via string `json:"via,omitempty"`
}

// DecisionOutcome is what became of a decision.
//
// +kubebuilder:validation:Enum=Applied;Superseded;Rejected
type DecisionOutcome string

// The outcomes of decisions.
const (
	// DecisionApplied says that it took effect.
	DecisionApplied DecisionOutcome = "Applied"
	// DecisionSuperseded says that the rollout had moved on: to another revision, another step, or its end.
	DecisionSuperseded DecisionOutcome = "Superseded"
	// DecisionRejected says that it makes no sense, or that the actor isn't among those who may.
	DecisionRejected DecisionOutcome = "Rejected"
)

// DecisionStatus is what became of a decision. Without an outcome, it is waiting to be looked at.
type DecisionStatus struct {
	// outcome of the decision.
	// +optional
	Outcome DecisionOutcome `json:"outcome,omitempty"`

	// message says why, in a sentence.
	// +optional
	Message string `json:"message,omitempty"`

	// at is when that was found.
	// +optional
	At *metav1.Time `json:"at,omitempty"`
}
