package slackwebhook_test

import (
	"encoding/json"
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
	"github.com/weighlock/weighlock/notifier/slackwebhook"
)

func event(message string) notifier.Event {
	return notifier.Event{
		ID: "abc-1", At: time.Unix(1_764_000_000, 0), Warning: true, Reason: "RolledBack", Message: message,
		Object: corev1.ObjectReference{Kind: "Rollout", Namespace: "shop", Name: "checkout"},
		Rollout: &v1alpha1.Rollout{Status: v1alpha1.RolloutStatus{
			Candidate: &v1alpha1.RevisionStatus{Revision: "7d4b9", Author: "Al <ice>"}, Traffic: &v1alpha1.TrafficStatus{Asked: "25%", Measured: "24.8%"},
		}},
	}
}

// send delivers an event to a server, and returns the body that it got.
func send(t *testing.T, e notifier.Event) string {
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
	sink := slackwebhook.New(post.New(nil, clock.RealClock{}), func() (string, error) { return server.URL, nil })
	if err := sink.Deliver(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// manyMetrics is an event with more to tell than fits.
func manyMetrics() notifier.Event {
	e := event(strings.Repeat("<*é&", 5000))
	e.Rollout.Status.Verdict = &v1alpha1.VerdictStatus{}
	for i := range 60 {
		e.Rollout.Status.Verdict.Metrics = append(e.Rollout.Status.Verdict.Metrics,
			v1alpha1.MetricStatus{Name: fmt.Sprint("metric-", i), Candidate: strings.Repeat("*", 2000), Incumbent: "1"})
	}
	return e
}

type text struct {
	Type, Text string
	Verbatim   bool
}

type message struct {
	Text   string
	Blocks []struct {
		Type     string
		Text     text
		Elements []text
	}
}

func received(t *testing.T, e notifier.Event) message {
	t.Helper()
	var got message
	if err := json.Unmarshal([]byte(send(t, e)), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Blocks) != 2 || got.Blocks[0].Type != "section" || got.Blocks[1].Type != "context" || len(got.Blocks[1].Elements) != 1 {
		t.Fatalf("got %+v", got)
	}
	return got
}

func TestDeliver_SendsAMessage(t *testing.T) {
	got := received(t, event("5% failed"))
	if want := ":warning: *shop/checkout: RolledBack*\n5% failed"; got.Blocks[0].Text.Text != want {
		t.Errorf("got %q, want %q", got.Blocks[0].Text.Text, want)
	}
	if want := ":warning: shop/checkout: RolledBack\n5% failed"; got.Text != want {
		t.Errorf("for notifications: got %q, want %q", got.Text, want)
	}
	if want := "Candidate: 7d4b9 · Traffic: 25% · Measured: 24.8% · Author: Al &lt;ice&gt;"; got.Blocks[1].Elements[0].Text != want {
		t.Errorf("got %q, want %q", got.Blocks[1].Elements[0].Text, want)
	}
	calm := event("fine")
	calm.Warning, calm.Rollout = false, nil
	if body := send(t, calm); strings.Contains(body, ":warning:") || strings.Contains(body, "context") {
		t.Errorf("got %s", body)
	}
}

func TestDeliver_TakesNoMentions(t *testing.T) {
	got := received(t, event("<!channel> <https://e.com|x> &amp;"))
	if want := "&lt;!channel&gt; &lt;https://e.com|x&gt; &amp;amp;"; !strings.HasSuffix(got.Blocks[0].Text.Text, "\n"+want) || !strings.HasSuffix(got.Text, "\n"+want) {
		t.Errorf("got %+v", got)
	}
	if !got.Blocks[0].Text.Verbatim || !got.Blocks[1].Elements[0].Verbatim {
		t.Error("Slack makes links and mentions of names")
	}
}

func TestDeliver_KeepsWithinTheLimits(t *testing.T) {
	e := manyMetrics()
	e.Message = strings.Repeat("&", 9000)
	got := received(t, e)
	for _, text := range []string{got.Blocks[0].Text.Text, got.Blocks[1].Elements[0].Text, got.Text} {
		if n := len([]rune(text)); n > 3000 || n < 2000 || !strings.HasSuffix(text, "…") {
			t.Errorf("a text of %d characters: %s", n, text)
		}
	}
}

func TestDeliver_LetsNobodyForgeALine(t *testing.T) {
	e := event("5% failed\n:thumbsup: approved by Bob\r\n\u2028x")
	e.Rollout.Status.Candidate.Author = "Al\nApproved: by Bob"
	if body := send(t, e); !strings.Contains(body, "5% failed :thumbsup: approved by Bob") || !strings.Contains(body, "Al Approved: by Bob") {
		t.Errorf("got %s", body)
	}
}
