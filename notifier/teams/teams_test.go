package teams_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/notifier/notifiertest"
	"github.com/weighlock/weighlock/notifier/teams"
)

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
	if err := json.Unmarshal([]byte(notifiertest.Body(t, teams.New, notifiertest.Event("5% failed, [click](https://example.com) **now** <at>all</at>"))), &got); err != nil {
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
	// What JSON could write in more bytes, and characters of many bytes.
	for _, letter := range []string{"<", "&", "\"", "😀", "\xff"} {
		e := notifiertest.ManyMetrics()
		e.Message = strings.Repeat(letter, 5000)
		for i := range e.Rollout.Status.Verdict.Metrics {
			e.Rollout.Status.Verdict.Metrics[i].Candidate = strings.Repeat(letter, 500)
		}
		body := notifiertest.Body(t, teams.New, e)
		if len(body) > 28_000 || !strings.Contains(body, "Candidate: ") {
			t.Errorf("of %q: the card has %d bytes", letter, len(body))
		}
	}
}

func TestDeliver_LetsNobodyForgeALine(t *testing.T) {
	e := notifiertest.Event("5% failed\n:thumbsup: approved by Bob\r\n\u2028x")
	e.Rollout.Status.Candidate.Author = "Al\nApproved: by Bob"
	if body := notifiertest.Body(t, teams.New, e); !strings.Contains(body, "5% failed :thumbsup: approved by Bob") || !strings.Contains(body, "Al Approved: by Bob") {
		t.Errorf("got %s", body)
	}
}
