// Package notifiertest holds what the tests of chats' sinks have in common: an event to tell, and a server that takes it.
package notifiertest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/post"
)

// Event is a rollback with that message, of which a few facts are known.
func Event(message string) notifier.Event {
	return notifier.Event{
		ID: "abc-1", At: time.Unix(1_764_000_000, 0), Warning: true, Reason: "RolledBack", Message: message,
		Object: corev1.ObjectReference{Kind: "Rollout", Namespace: "shop", Name: "checkout"},
		Rollout: &v1alpha1.Rollout{Status: v1alpha1.RolloutStatus{
			Candidate: &v1alpha1.RevisionStatus{Revision: "7d4b9", Author: "Al <ice>"}, Traffic: &v1alpha1.TrafficStatus{Asked: "25%", Measured: "24.8%"},
		}},
	}
}

// ManyMetrics is an event with more to tell than fits.
func ManyMetrics() notifier.Event {
	e := Event(strings.Repeat("<*é&", 5000))
	e.Rollout.Status.Verdict = &v1alpha1.VerdictStatus{}
	for i := range 60 {
		e.Rollout.Status.Verdict.Metrics = append(e.Rollout.Status.Verdict.Metrics,
			v1alpha1.MetricStatus{Name: fmt.Sprint("metric-", i), Candidate: strings.Repeat("*", 2000), Incumbent: "1"})
	}
	return e
}

// Body delivers an event to a server, and returns the body that it got. NewSink makes the sink that posts to an address.
func Body[S notifier.Sink](t *testing.T, newSink func(*post.Client, post.Secret) S, e notifier.Event) string {
	t.Helper()
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		read, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			t.Error(err)
		}
		body = read
	}))
	defer server.Close()
	sink := newSink(post.New(nil, clock.RealClock{}), func() (string, error) { return server.URL, nil })
	if err := sink.Deliver(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return string(body)
}
