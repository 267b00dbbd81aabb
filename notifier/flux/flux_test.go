package flux_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/flux"
)

func rolledBack() notifier.Event {
	return notifier.Event{
		ID: "abc-1", At: time.Unix(1_764_000_000, 0), Warning: true, Reason: "RolledBack", Message: "5% failed",
		Object: corev1.ObjectReference{APIVersion: "weighlock.dev/v1alpha1", Kind: "Rollout", Namespace: "shop", Name: "checkout", UID: "u1"},
		Rollout: &v1alpha1.Rollout{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"event.toolkit.fluxcd.io/cluster": "prod", "other": "x"}},
			Status:     v1alpha1.RolloutStatus{Candidate: &v1alpha1.RevisionStatus{Revision: "7d4b9", Commit: "main@sha1:012345"}},
		},
	}
}

// forward delivers an event to a receiver that answers with a code.
func forward(t *testing.T, event notifier.Event, code int) (got *eventv1.Event, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = &eventv1.Event{}
		if err := json.NewDecoder(r.Body).Decode(got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(code)
	}))
	defer server.Close()
	return got, newSink(t, server.URL).Deliver(t.Context(), event)
}

func newSink(t *testing.T, address string) *flux.Sink {
	t.Helper()
	sink, err := flux.New(address, runtime.NewScheme(), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func TestDeliver_SendsFluxsEvent(t *testing.T) {
	server := make(chan eventv1.Event, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got eventv1.Event
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		server <- got
	}))
	defer receiver.Close()
	if err := newSink(t, receiver.URL).Deliver(t.Context(), rolledBack()); err != nil {
		t.Fatal(err)
	}
	got := <-server
	if got.Severity != eventv1.EventSeverityError || got.Reason != "RolledBack" || got.Message != "5% failed" || got.ReportingController != "weighlock" ||
		got.InvolvedObject.Kind != "Rollout" || got.InvolvedObject.Name != "checkout" || got.InvolvedObject.Namespace != "shop" {
		t.Errorf("got %+v", got)
	}
	if !got.Timestamp.Time.Equal(rolledBack().At) {
		t.Errorf("the event is of %s: that is not when it happened", got.Timestamp)
	}
	want := map[string]string{
		"event.toolkit.fluxcd.io/cluster": "prod", "event.toolkit.fluxcd.io/rollout": "shop/checkout",
		"event.toolkit.fluxcd.io/candidate": "7d4b9", "event.toolkit.fluxcd.io/commit": "main@sha1:012345",
	}
	if diff := cmp.Diff(want, got.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

// Whoever may write a Rollout chooses its labels, and so the namespace whose Alerts take the event: its commits are not theirs to judge.
func TestDeliver_TellsUnderAnotherNamespaceOnlyWhatWeighlockKnows(t *testing.T) {
	for namespace, want := range map[string]map[string]string{
		"shop": {
			"event.toolkit.fluxcd.io/originRevision": "main@sha1:666", "event.toolkit.fluxcd.io/summary": "all is well",
			"event.toolkit.fluxcd.io/cluster": "prod", "event.toolkit.fluxcd.io/rollout": "shop/checkout",
			"event.toolkit.fluxcd.io/candidate": "7d4b9", "event.toolkit.fluxcd.io/commit": "main@sha1:012345",
		},
		"flux-system": {
			"event.toolkit.fluxcd.io/rollout": "shop/checkout", "event.toolkit.fluxcd.io/candidate": "7d4b9",
			"event.toolkit.fluxcd.io/candidateCommit": "main@sha1:012345",
		},
	} {
		for _, group := range []string{"kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"} {
			event := rolledBack()
			event.Rollout.Labels = map[string]string{group + "/name": "apps", group + "/namespace": namespace}
			event.Rollout.Annotations["event.toolkit.fluxcd.io/originRevision"] = "main@sha1:666"
			event.Rollout.Annotations["event.toolkit.fluxcd.io/summary"] = "all is well"
			got, err := forward(t, event, http.StatusAccepted)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Metadata); diff != "" {
				t.Errorf("%s in %s: metadata (-want +got):\n%s", group, namespace, diff)
			}
			bare := eventv1.Event{Metadata: map[string]string{}}
			for key, value := range got.Metadata {
				bare.Metadata[strings.TrimPrefix(key, eventv1.Group+"/")] = value // As notification-controller does.
			}
			if revision, has := bare.GetRevision(); has != (namespace == "shop") {
				t.Errorf("%s in %s: Flux takes %q for the revision", group, namespace, revision)
			}
		}
	}
}

// An Alert's eventSources can name kinds of Flux's only.
func TestDeliver_TellsOfARolloutUnderWhatAppliedIt(t *testing.T) {
	for kind, labels := range map[string]map[string]string{
		"Kustomization": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
		"HelmRelease":   {"helm.toolkit.fluxcd.io/name": "apps", "helm.toolkit.fluxcd.io/namespace": "flux-system"},
	} {
		t.Run(kind, func(t *testing.T) {
			event := rolledBack()
			event.Rollout.Labels = labels
			server := make(chan eventv1.Event, 1)
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				var got eventv1.Event
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
					t.Error(err)
				}
				server <- got
			}))
			defer receiver.Close()
			if err := newSink(t, receiver.URL).Deliver(t.Context(), event); err != nil {
				t.Fatal(err)
			}
			told := <-server
			if told.Message != "Rollout shop/checkout: 5% failed" {
				t.Errorf("the message is %q: it must say what it is about, whatever the labels say", told.Message)
			}
			got := told.InvolvedObject
			if got.Kind != kind || got.Name != "apps" || got.Namespace != "flux-system" || !strings.Contains(got.APIVersion, ".toolkit.fluxcd.io/v") {
				t.Errorf("told of %+v", got)
			}
		})
	}
}

func TestDeliver_SaysWhetherAnotherTryIsAnyUse(t *testing.T) {
	for code, want := range map[int]string{
		202: "delivered", 429: "delivered", // It had the same one a moment ago.
		400: "permanent", 401: "a few times", 403: "a few times", 404: "a few times", 500: "a few times", 503: "again",
	} {
		_, err := forward(t, rolledBack(), code)
		var permanent *notifier.PermanentError
		var answer *notifier.AnswerError
		got := "again"
		switch {
		case err == nil:
			got = "delivered"
		case errors.As(err, &permanent):
			got = "permanent"
		case errors.As(err, &answer):
			got = "a few times"
		}
		if got != want {
			t.Errorf("%d: got %q for %v, want %q", code, got, err, want)
		}
	}
}

// A redirect that makes a GET of the POST says nothing to anybody, though it may be answered with 200.
func TestDeliver_FollowsRedirectsThatRepeatTheEventOnly(t *testing.T) {
	for code, delivered := range map[int]bool{http.StatusMovedPermanently: false, http.StatusFound: false, http.StatusTemporaryRedirect: true} {
		var got eventv1.Event
		mux := http.NewServeMux()
		mux.Handle("/", http.RedirectHandler("/moved", code))
		mux.HandleFunc("/moved", func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
					t.Error(err)
				}
			}
		})
		server := httptest.NewServer(mux)
		err := newSink(t, server.URL).Deliver(t.Context(), rolledBack())
		server.Close()
		if (err == nil) != delivered || (got.Reason == "RolledBack") != delivered {
			t.Errorf("%d: got %v, and the receiver %q", code, err, got.Reason)
		}
	}
}

func TestDeliver_SaysThatNobodyIsThere(t *testing.T) {
	if err := newSink(t, "http://127.0.0.1:1/").Deliver(t.Context(), rolledBack()); err == nil || !strings.Contains(err.Error(), "calling 127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}

func TestDeliver_SaysThatNothingWasSent(t *testing.T) {
	event := rolledBack()
	event.Object.Name = ""
	if err := newSink(t, "http://127.0.0.1:1/").Deliver(t.Context(), event); err == nil || !strings.Contains(err.Error(), "wasn't sent") {
		t.Errorf("got %v", err)
	}
}

func TestDeliver_EndsWithTheContext(t *testing.T) {
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer server.Close()
	defer close(hold)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- newSink(t, server.URL).Deliver(ctx, rolledBack()) }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(time.Minute):
		t.Error("it doesn't end")
	}
}
