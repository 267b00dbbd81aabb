package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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

// entered is an event as rollouts have them.
func entered() notifier.Event {
	const errorRate = "error rate 0% of 484 requests keeps the SLO of 99% (incumbent: 0% of 4,346)"
	return notifier.Event{
		ID: "3ugsf9r0v6p3b-37", At: at, Reason: "StepEntered", Message: "step 2/3: 25%; step 1/3 passed: " + errorRate + "; evidence of harm 0.8, 100 convicts",
		Object: corev1.ObjectReference{APIVersion: "weighlock.dev/v1alpha1", Kind: "Rollout", Namespace: "shop", Name: "checkout", UID: "24b87467-90ab-408c-aae0-7d20a51d2760"},
		Rollout: &v1alpha1.Rollout{Status: v1alpha1.RolloutStatus{
			State: v1alpha1.StateProgressing, Attempt: 7,
			Incumbent: &v1alpha1.RevisionStatus{
				Revision: "skvj84qxvq", Track: "checkout", Replicas: 3, Ready: 3,
				Commit: "7b950a57336606b548319c204de9a33c08405f23", Author: "Dana Developer <dana@example.com>",
			},
			Candidate: &v1alpha1.RevisionStatus{
				Revision: "2ns7dlms47", Track: "checkout-2ns7dlms47", Replicas: 1, Ready: 1,
				Commit: "9c50bfd76f78d48c7288d21583037f9881841ec5", Author: "Alice <alice@example.com>",
			},
			Step:    &v1alpha1.StepStatus{Index: 0, Position: "1/3", Name: "a-tenth"},
			Traffic: &v1alpha1.TrafficStatus{Asked: "10%", Measured: "9.7%", Taken: true},
			Verdict: &v1alpha1.VerdictStatus{
				Outcome: v1alpha1.OutcomePass, Message: errorRate + "; evidence of harm 0.8, 100 convicts",
				Metrics: []v1alpha1.MetricStatus{{Name: "errors", Outcome: v1alpha1.OutcomePass, Message: errorRate, Incumbent: "0%", Candidate: "0%"}},
			},
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
	header, body, err := receive(t, webhook.Options{Headers: map[string]post.Secret{"authorization": secret("Bearer x")}}, entered())
	if err != nil {
		t.Fatal(err)
	}
	if header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" || header.Get("Authorization") != "Bearer x" || header.Get("Weighlock-Signature") != "" {
		t.Errorf("headers %v", header)
	}
	var shown bytes.Buffer
	if err := json.Indent(&shown, []byte(body), "", "  "); err != nil {
		t.Fatal(err)
	}
	// The guide quotes it.
	want, err := os.ReadFile("testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), shown.String()+"\n"); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestDeliver_SendsWhatIsNoRollout(t *testing.T) {
	event := entered()
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
	header, body, err := receive(t, webhook.Options{Secret: secret("hush")}, entered())
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
			header, _, err := receive(t, o, entered())
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
