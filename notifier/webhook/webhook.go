// Package webhook tells of events as CloudEvents 1.0 in JSON, signed where a secret is set.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/post"
)

const (
	// HeaderSignature holds when the request was signed, in seconds since 1970, and its signature: t=1764000000,v1=5257a8...
	HeaderSignature = "Weighlock-Signature"
	// ContentType of a CloudEvent in structured mode.
	ContentType = "application/cloudevents+json; charset=utf-8"
)

// CloudEvent is the envelope, as https://github.com/cloudevents/spec has it.
type CloudEvent struct {
	SpecVersion string `json:"specversion"`
	// ID names the event: a delivery that is repeated has the same.
	ID string `json:"id"`
	// Source is the object: /apis/weighlock.dev/v1alpha1/namespaces/shop/rollouts/checkout.
	Source string `json:"source"`
	// Type is dev.weighlock.rollout. and the reason in small letters, or dev.weighlock.gitsource. and the reason.
	Type string `json:"type"`
	// Subject is the namespace and name: shop/checkout.
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            Data      `json:"data"`
}

// Data is what happened. Fields that aren't known are left out.
type Data struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	Warning   bool   `json:"warning"`
	// Rollout is there when the object is one.
	Rollout *Rollout `json:"rollout,omitempty"`
}

// Rollout is where a rollout stood when that happened.
type Rollout struct {
	State     v1alpha1.State           `json:"state,omitempty"`
	Attempt   int64                    `json:"attempt,omitempty"`
	Incumbent *v1alpha1.RevisionStatus `json:"incumbent,omitempty"`
	Candidate *v1alpha1.RevisionStatus `json:"candidate,omitempty"`
	Step      *v1alpha1.StepStatus     `json:"step,omitempty"`
	Traffic   *v1alpha1.TrafficStatus  `json:"traffic,omitempty"`
	Verdict   *v1alpha1.VerdictStatus  `json:"verdict,omitempty"`
	Approval  *v1alpha1.ApprovalStatus `json:"approval,omitempty"`
	Paused    *v1alpha1.Voice          `json:"paused,omitempty"`
}

// Options of a webhook.
type Options struct {
	Client *post.Client
	Clock  clock.PassiveClock
	URL    post.Secret
	// Secret signs requests; nil where they aren't signed.
	Secret post.Secret
	// Headers are sent with each request.
	Headers map[string]post.Secret
}

// Sink sends CloudEvents.
type Sink struct{ o Options }

var _ notifier.Sink = &Sink{}

// New makes a sink.
func New(o Options) *Sink { return &Sink{o: o} }

// Deliver sends one event.
func (s *Sink) Deliver(ctx context.Context, event notifier.Event) error {
	body, err := post.Encode(envelope(event))
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {ContentType}}
	for name, secret := range s.o.Headers {
		value, err := secret()
		if err != nil {
			return &notifier.AnswerError{Err: err}
		}
		if strings.ContainsAny(value, "\r\n\x00") {
			return &notifier.AnswerError{Err: fmt.Errorf("the secret of the header %s has more than one line", name)}
		}
		header.Set(name, value)
	}
	if s.o.Secret != nil {
		secret, err := s.o.Secret()
		if err != nil {
			return &notifier.AnswerError{Err: err}
		}
		header.Set(HeaderSignature, Sign([]byte(secret), s.o.Clock.Now(), body))
	}
	return s.o.Client.JSON(ctx, s.o.URL, body, header)
}

// Sign makes the value of HeaderSignature: the HMAC-SHA256, in hexadecimal, of the seconds since 1970, a dot and the body. Who takes
// requests compares it in constant time, and refuses those whose time is more than five minutes off.
func Sign(secret []byte, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func envelope(event notifier.Event) CloudEvent {
	kind := strings.ToLower(event.Object.Kind)
	made := CloudEvent{
		SpecVersion: "1.0", ID: event.ID, Time: event.At.UTC(), DataContentType: "application/json",
		Source:  fmt.Sprintf("/apis/%s/namespaces/%s/%ss/%s", event.Object.APIVersion, event.Object.Namespace, kind, event.Object.Name),
		Type:    "dev.weighlock." + kind + "." + strings.ToLower(event.Reason),
		Subject: event.Key(),
		Data: Data{
			Kind: event.Object.Kind, Namespace: event.Object.Namespace, Name: event.Object.Name, UID: string(event.Object.UID),
			Reason: event.Reason, Message: event.Message, Warning: event.Warning,
		},
	}
	if event.Rollout != nil {
		s := &event.Rollout.Status
		made.Data.Rollout = &Rollout{
			State: s.State, Attempt: s.Attempt, Incumbent: s.Incumbent, Candidate: s.Candidate, Step: s.Step, Traffic: s.Traffic,
			Verdict: s.Verdict, Approval: s.Approval, Paused: s.Paused,
		}
	}
	return made
}
