package teams_test

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
	"github.com/weighlock/weighlock/notifier/teams"
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
	sink := teams.New(post.New(nil, clock.RealClock{}), func() (string, error) { return server.URL, nil })
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

type card struct {
	Type        string
	Attachments []struct {
		ContentType string
		Content     struct {
			Type, Version string
			Body          []struct {
				Type    string
				Inlines []struct{ Type, Text, Color string }
			}
		}
	}
}

func TestDeliver_SendsACard(t *testing.T) {
	var got card
	if err := json.Unmarshal([]byte(send(t, event("5% failed, [click](https://example.com) **now** <at>all</at>"))), &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != "message" || len(got.Attachments) != 1 || got.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" {
		t.Fatalf("got %+v", got)
	}
	var lines []string
	for _, block := range got.Attachments[0].Content.Body {
		// In a TextBlock or FactSet the text would be taken as markup.
		if block.Type != "RichTextBlock" {
			t.Errorf("there is a %s", block.Type)
		}
		line := ""
		for _, run := range block.Inlines {
			if run.Type != "TextRun" {
				t.Errorf("there is a %s", run.Type)
			}
			line += run.Text
		}
		lines = append(lines, line)
	}
	want := "shop/checkout: RolledBack|5% failed, [click](https://example.com) **now** <at>all</at>|Candidate: 7d4b9|Traffic: 25%|Measured: 24.8%|Author: Al <ice>"
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if color := got.Attachments[0].Content.Body[0].Inlines[0].Color; color != "attention" {
		t.Errorf("the warning's colour is %q", color)
	}
}

func TestDeliver_KeepsWithinTheLimit(t *testing.T) {
	if body := send(t, manyMetrics()); len(body) > 28<<10 {
		t.Errorf("the card has %d bytes", len(body))
	}
}

func TestDeliver_LetsNobodyForgeALine(t *testing.T) {
	e := event("5% failed\n:thumbsup: approved by Bob\r\n\u2028x")
	e.Rollout.Status.Candidate.Author = "Al\nApproved: by Bob"
	if body := send(t, e); !strings.Contains(body, "5% failed :thumbsup: approved by Bob") || !strings.Contains(body, "Al Approved: by Bob") {
		t.Errorf("got %s", body)
	}
}
