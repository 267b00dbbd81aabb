package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GateStatus tells of one gate of the present step.
type GateStatus struct {
	// name of the gate: hold, analysis, share (of the requests, while it seems off) or approval.
	// +required
	Name string `json:"name"`

	// open says that it keeps nothing any more.
	// +required
	Open bool `json:"open"`

	// message tells what it waits for, or why it is open.
	// +optional
	Message string `json:"message,omitempty"`
}

// ApprovalStatus tells of an approval gate.
type ApprovalStatus struct {
	// quorum is how many people must approve.
	// +required
	Quorum int32 `json:"quorum"`

	// count is how many have.
	// +required
	Count int32 `json:"count"`

	// given are the approvals that count.
	// +listType=atomic
	// +optional
	Given []Voice `json:"given,omitempty"`
}

// Voice is what somebody said.
type Voice struct {
	// actor is who said it.
	// +required
	Actor string `json:"actor"`

	// via is what it was said through, such as kubectl or slack.
	// +optional
	Via string `json:"via,omitempty"`

	// reason that was given.
	// +optional
	Reason string `json:"reason,omitempty"`

	// at is when it was said.
	// +required
	At metav1.Time `json:"at"`
}

// Thread is where people are told of one rollout: a message of a chat, and what is said below it.
type Thread struct {
	// sink of Weighlock's configuration that tells.
	// +required
	Sink string `json:"sink"`

	// attempt is the rollout of which is told, and revision the one that it tries.
	// +required
	Attempt int64 `json:"attempt"`
	// +optional
	Revision string `json:"revision,omitempty"`

	// channel and timestamp name the message.
	// +required
	Channel string `json:"channel"`
	// +required
	Timestamp string `json:"timestamp"`

	// over says that the message tells the rollout's end, and changes no more.
	// +optional
	Over bool `json:"over,omitempty"`

	// prompt asks for a decision.
	// +optional
	Prompt *Prompt `json:"prompt,omitempty"`
}

// Prompt is a message that asks for a decision. Its buttons carry its id; all else is held here.
type Prompt struct {
	// id that the buttons carry.
	// +required
	ID string `json:"id"`

	// timestamp names the message, in the thread's channel. Empty until it is sent.
	// +optional
	Timestamp string `json:"timestamp,omitempty"`

	// revision and step that it asks about.
	// +required
	Revision string `json:"revision"`
	// +required
	Step int32 `json:"step"`

	// generation of the Rollout's spec that it asks about.
	// +optional
	Generation int64 `json:"generation,omitempty"`

	// closed says that it asks no more.
	// +optional
	Closed bool `json:"closed,omitempty"`
}
