package discord_test

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
	"github.com/weighlock/weighlock/notifier/discord"
	"github.com/weighlock/weighlock/notifier/post"
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
	sink := discord.New(post.New(nil, clock.RealClock{}), func() (string, error) { return server.URL, nil })
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

type message struct {
	Embeds []struct {
		Title, Description, Timestamp string
		Color                         int
		Fields                        []struct{ Name, Value string }
	}
	Mentions struct{ Parse []string } `json:"allowed_mentions"`
}

func received(t *testing.T, e notifier.Event) message {
	t.Helper()
	body := send(t, e)
	var got message
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	// Without the list, or with null, Discord takes all mentions.
	if !strings.Contains(body, `"allowed_mentions":{"parse":[]}`) || len(got.Embeds) != 1 {
		t.Fatalf("got %s", body)
	}
	return got
}

func TestDeliver_SendsAnEmbed(t *testing.T) {
	got := received(t, event("5% failed")).Embeds[0]
	if got.Title != "shop/checkout: RolledBack" || got.Description != "5% failed" || got.Timestamp != "2025-11-24T16:00:00Z" || got.Color == 0 {
		t.Errorf("got %+v", got)
	}
	if len(got.Fields) != 4 || got.Fields[1].Name != "Traffic" || got.Fields[1].Value != "25%" || got.Fields[3].Value != `Al \<ice\>` {
		t.Errorf("fields %+v", got.Fields)
	}
	calm := event("fine")
	calm.Warning = false
	if other := received(t, calm).Embeds[0]; other.Color == got.Color {
		t.Error("a warning looks like anything else")
	}
}

func TestDeliver_TakesNoMarkup(t *testing.T) {
	got := received(t, event("@everyone <@1> [x](https://e.com) **b** `c` ~~d~~ ||e|| _f_ # g \\")).Embeds[0].Description
	want := `\@everyone \<\@1\> \[x\]\(https://e.com\) \*\*b\*\* ` + "\\`c\\`" + ` \~\~d\~\~ \|\|e\|\| \_f\_ \# g \\`
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDeliver_KeepsWithinTheLimits(t *testing.T) {
	got := received(t, manyMetrics()).Embeds[0]
	length := func(text string) int { return len([]rune(text)) }
	all := length(got.Title) + length(got.Description)
	for _, f := range got.Fields {
		if length(f.Name) > 256 || length(f.Value) > 1024 || f.Name == "" || f.Value == "" {
			t.Errorf("a field of %d and %d characters", length(f.Name), length(f.Value))
		}
		all += length(f.Name) + length(f.Value)
	}
	if length(got.Title) > 256 || length(got.Description) > 4096 || len(got.Fields) > 25 || all > 6000 {
		t.Errorf("%d and %d characters, %d fields, %d in all", length(got.Title), length(got.Description), len(got.Fields), all)
	}
}

func TestDeliver_LetsNobodyForgeALine(t *testing.T) {
	e := event("5% failed\n:thumbsup: approved by Bob\r\n\u2028x")
	e.Rollout.Status.Candidate.Author = "Al\nApproved: by Bob"
	if body := send(t, e); !strings.Contains(body, "5% failed :thumbsup: approved by Bob") || !strings.Contains(body, "Al Approved: by Bob") {
		t.Errorf("got %s", body)
	}
}
