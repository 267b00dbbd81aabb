// Package notifier is the port through which people and other systems are told of rollouts. Its adapters are below it.
package notifier

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Event is something that happened, as it is told.
type Event struct {
	// ID names the event: deliveries of the same event have the same.
	ID string
	// At is when it happened.
	At time.Time
	// Warning says that somebody should look.
	Warning bool
	// Reason is a word, as events of Kubernetes have it, such as StepEntered; Message a sentence.
	Reason, Message string
	// Object that it is about.
	Object corev1.ObjectReference
	// Rollout as it was when that happened, status included; nil where the object is another.
	Rollout *v1alpha1.Rollout
	// Annotations of the event.
	Annotations map[string]string
}

// Sink tells of events.
type Sink interface {
	// Deliver tells of one event. Where the error says so (PermanentError), it is not tried again; else it is, with pauses
	// that grow, or after as long as a RetryError says; after an AnswerError a few times only.
	Deliver(ctx context.Context, event Event) error
}

// PermanentError says that trying again is no use.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }
func (e *PermanentError) Unwrap() error { return e.Err }

// AnswerError says that the sink was there and refused the event, which may be the event's own fault, or pass.
type AnswerError struct{ Err error }

func (e *AnswerError) Error() string { return e.Err.Error() }
func (e *AnswerError) Unwrap() error { return e.Err }

// RetryError says how long to wait before the next try.
type RetryError struct {
	After time.Duration
	Err   error
}

func (e *RetryError) Error() string {
	return fmt.Sprintf("%s (to be tried again after %s)", e.Err, e.After)
}
func (e *RetryError) Unwrap() error { return e.Err }

// Key is the namespace and name of what the event is about.
func (e Event) Key() string { return e.Object.Namespace + "/" + e.Object.Name }
