package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Step is a traffic state, and what must be true to leave it. It says the whole
// state: what it does not name is off.
//
// +kubebuilder:validation:XValidation:rule="has(self.weight) || has(self.shadow) || has(self.match) || has(self.replicas) || has(self.hold) || has(self.approval)",message="a step needs something to do: set weight, match, shadow, replicas, hold or approval"
// +kubebuilder:validation:XValidation:rule="!has(self.onDeadline) || has(self.deadline)",message="onDeadline needs a deadline: add one, or remove onDeadline"
// +kubebuilder:validation:XValidation:rule="!has(self.deadline) || !has(self.hold) || !(self.deadline + self.hold).matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self.deadline) > duration(self.hold)",message="deadline must be longer than hold: it counts from the same moment"
type Step struct {
	// name of the step, for people. Unique in the Rollout.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Name string `json:"name,omitempty"`

	// weight is the candidate's share of the users' requests, out of totalWeight.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	// +optional
	Weight *int32 `json:"weight,omitempty"`

	// match sends requests that any entry matches to the candidate, all of them.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	// +optional
	Match []RequestMatch `json:"match,omitempty"`

	// shadow is the percentage of the users' requests of which the candidate gets a copy.
	// Its replies to them are dropped.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	Shadow *int32 `json:"shadow,omitempty"`

	// replicas sizes the candidate: a number of pods, or a percentage of the workload's.
	// The default follows its share of the traffic.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:Pattern=`^([1-9][0-9]?|100)%$`
	// +kubebuilder:validation:XValidation:rule="type(self) != int || (self >= 1 && self <= 10000)",message="replicas is a number of pods of at least 1, or a percentage from 1% to 100%"
	// +optional
	Replicas *intstr.IntOrString `json:"replicas,omitempty"`

	// hold is the least time in the step, counted from when the mesh has taken its traffic.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s')",message="hold must be above zero, written like 90s, 5m or 1h30m"
	// +optional
	Hold *metav1.Duration `json:"hold,omitempty"`

	// deadline is the most time in the step, counted likewise. What happens then is
	// onDeadline.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s')",message="deadline must be above zero, written like 90s, 5m or 1h30m"
	// +optional
	Deadline *metav1.Duration `json:"deadline,omitempty"`

	// onDeadline is what happens when the deadline is over and a gate is still closed. The default is Pause.
	// +optional
	OnDeadline DeadlinePolicy `json:"onDeadline,omitempty"`

	// approval makes the step wait for a person.
	// +optional
	Approval *Approval `json:"approval,omitempty"`
}

// DeadlinePolicy is what happens when a step's deadline is over.
//
// +kubebuilder:validation:Enum=Pause;Rollback;Proceed
type DeadlinePolicy string

// The deadline policies. Proceed is recorded as unproven, and never passes a
// missing approval.
const (
	DeadlinePause    DeadlinePolicy = "Pause"
	DeadlineRollback DeadlinePolicy = "Rollback"
	DeadlineProceed  DeadlinePolicy = "Proceed"
)

// Approval is a gate that people open, by decisions to approve.
//
// +kubebuilder:validation:XValidation:rule="!has(self.approvers) || self.approvers.all(a, self.approvers.exists_one(b, a == b))",message="an approver is named twice: leave one out"
// +kubebuilder:validation:XValidation:rule="!has(self.quorum) || !has(self.approvers) || self.approvers.exists(a, has(a.group)) || self.quorum <= self.approvers.size()",message="quorum asks for more people than approvers names: lower it, or name more"
type Approval struct {
	// approvers are who may approve the step, besides having the permission to: any of these. Without them, everybody who has
	// the permission.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Approvers []Approver `json:"approvers,omitempty"`

	// quorum is how many different people must approve.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	// +optional
	Quorum int32 `json:"quorum,omitempty"`

	// expires is how long an approval counts. One that the step has outlived, because another gate stayed closed, must be given
	// again. The default is for ever.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s')",message="expires must be above zero, written like 30m or 24h"
	// +optional
	Expires *metav1.Duration `json:"expires,omitempty"`
}

// Approver is a user or a group that may approve.
//
// +kubebuilder:validation:XValidation:rule="has(self.user) != has(self.group)",message="an approver is either a user or a group: set one of them"
type Approver struct {
	// user is a name that the API server knows, or slack: and the id of a member, such as slack:U012AB3CD.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('slack:') || self.matches('^slack:[UW][A-Z0-9]+$')",message="a member of Slack is named by id, which begins with U or W, such as slack:U012AB3CD"
	// +optional
	User string `json:"user,omitempty"`

	// group is one that the API server knows, or slack: and the id of a user group, such as slack:S0614TZR7.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('slack:') || self.matches('^slack:S[A-Z0-9]+$')",message="a user group of Slack is named by id, which begins with S, such as slack:S0614TZR7"
	// +optional
	Group string `json:"group,omitempty"`
}

// RequestMatch matches a request by its headers; all of them must match.
type RequestMatch struct {
	// headers are ANDed. Each is named once.
	// +kubebuilder:validation:XValidation:rule="self.all(h, self.exists_one(g, g.name.lowerAscii() == h.name.lowerAscii()))",message="a header is named twice in one entry, and both would have to match: put them into entries of their own, or into one regex"
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	// +required
	Headers []HeaderMatch `json:"headers"`
}

// HeaderMatch matches one header of a request.
//
// +kubebuilder:validation:XValidation:rule="has(self.exact) != has(self.regex)",message="a header match needs exactly one of exact and regex"
type HeaderMatch struct {
	// name of the header, in any case.
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-A-Za-z0-9!#$%&*+.^_|~]+$')",message="a header's name holds letters, digits and any of -_.!#$%&*+^|~, such as x-tenant"
	// +required
	Name string `json:"name"`

	// exact is the whole value.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Exact string `json:"exact,omitempty"`

	// regex is an RE2 expression for the whole value.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="''.matches(self) in [true, false]",message="regex must be an RE2 expression"
	// +optional
	Regex string `json:"regex,omitempty"`
}
