package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/post"
	"github.com/weighlock/weighlock/notifier/webhook"
)

var at = time.Unix(1_764_000_000, 500_000_000)

func rolledBack() notifier.Event {
	return notifier.Event{
		ID: "abc-1", At: at, Warning: true, Reason: "RolledBack", Message: "5% failed",
		Object: corev1.ObjectReference{APIVersion: "weighlock.dev/v1alpha1", Kind: "Rollout", Namespace: "shop", Name: "checkout", UID: "u1"},
		Rollout: &v1alpha1.Rollout{Status: v1alpha1.RolloutStatus{
			State: v1alpha1.StateRolledBack, Attempt: 2, Candidate: &v1alpha1.RevisionStatus{Revision: "7d4b9", Ready: 1, Replicas: 1},
		}},
	}
}

// receive delivers an event to a server, and returns what that got.
func receive(t *testing.T, o webhook.Options, event notifier.Event) (header http.Header, body string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		read, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			t.Error(err)
		}
		header, body = r.Header, string(read)
	}))
	defer server.Close()
	o.Clock = clocktesting.NewFakePassiveClock(at.Add(time.Minute))
	o.Client = post.New(nil, o.Clock)
	o.URL = func() (string, error) { return server.URL, nil }
	err = webhook.New(o).Deliver(t.Context(), event)
	return header, body, err
}

func secret(text string) post.Secret { return func() (string, error) { return text, nil } }

func TestDeliver_SendsACloudEvent(t *testing.T) {
	header, body, err := receive(t, webhook.Options{Headers: map[string]post.Secret{"authorization": secret("Bearer x")}}, rolledBack())
	if err != nil {
		t.Fatal(err)
	}
	if header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" || header.Get("Authorization") != "Bearer x" || header.Get("Weighlock-Signature") != "" {
		t.Errorf("headers %v", header)
	}
	want := `{"specversion":"1.0","id":"abc-1","source":"/apis/weighlock.dev/v1alpha1/namespaces/shop/rollouts/checkout",` +
		`"type":"dev.weighlock.rollout.rolledback","subject":"shop/checkout","time":"2025-11-24T16:00:00.5Z","datacontenttype":"application/json",` +
		`"data":{"kind":"Rollout","namespace":"shop","name":"checkout","uid":"u1","reason":"RolledBack","message":"5% failed","warning":true,` +
		`"rollout":{"state":"RolledBack","attempt":2,"candidate":{"revision":"7d4b9","replicas":1,"ready":1}}}}`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestDeliver_SendsWhatIsNoRollout(t *testing.T) {
	event := rolledBack()
	event.Rollout, event.Object.Kind, event.Object.Name, event.Reason = nil, "GitSource", "git", "FetchFailed"
	_, body, err := receive(t, webhook.Options{}, event)
	if err != nil {
		t.Fatal(err)
	}
	var got webhook.CloudEvent
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != "dev.weighlock.gitsource.fetchfailed" || got.Data.Rollout != nil || got.Source != "/apis/weighlock.dev/v1alpha1/namespaces/shop/gitsources/git" {
		t.Errorf("got %+v", got)
	}
}

// What receivers do, as the guide tells them: written anew, so that it isn't the product's own code that is compared.
func TestDeliver_SignsTimeAndBody(t *testing.T) {
	header, body, err := receive(t, webhook.Options{Secret: secret("hush")}, rolledBack())
	if err != nil {
		t.Fatal(err)
	}
	signed, signature, found := strings.Cut(header.Get("Weighlock-Signature"), ",v1=")
	seconds, is := strings.CutPrefix(signed, "t=")
	if !found || !is || seconds != "1764000060" {
		t.Fatalf("the signature is %q: want the time of sending", header.Get("Weighlock-Signature"))
	}
	mac := hmac.New(sha256.New, []byte("hush"))
	mac.Write([]byte(seconds + "." + body))
	if want := hex.EncodeToString(mac.Sum(nil)); signature != want {
		t.Errorf("the signature is %q, want %q", signature, want)
	}
	if strings.Contains(body, "hush") {
		t.Error("the secret is in the body")
	}
}

func TestDeliver_SendsNothingWithoutItsSecrets(t *testing.T) {
	gone := func() (string, error) { return "", errors.New("reading a secret: it is empty") }
	for name, o := range map[string]webhook.Options{
		"no key":        {Secret: gone},
		"no header":     {Headers: map[string]post.Secret{"Authorization": gone}},
		"header breaks": {Headers: map[string]post.Secret{"Authorization": secret("hush\r\nX: y")}},
	} {
		t.Run(name, func(t *testing.T) {
			header, _, err := receive(t, o, rolledBack())
			var answer *notifier.AnswerError
			if !errors.As(err, &answer) || header != nil {
				t.Errorf("got %v, and the server %v: want nothing sent, and another try", err, header)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the secret is told: %v", err)
			}
		})
	}
}
