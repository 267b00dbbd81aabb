package slackwebhook_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/notifiertest"
	"github.com/weighlock/weighlock/notifier/slackwebhook"
)

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
	if err := json.Unmarshal([]byte(notifiertest.Body(t, slackwebhook.New, e)), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Blocks) != 2 || got.Blocks[0].Type != "section" || got.Blocks[1].Type != "context" || len(got.Blocks[1].Elements) != 1 {
		t.Fatalf("got %+v", got)
	}
	return got
}

func TestDeliver_SendsAMessage(t *testing.T) {
	got := received(t, notifiertest.Event("5% failed"))
	if want := ":warning: *shop/checkout: RolledBack*\n5% failed"; got.Blocks[0].Text.Text != want {
		t.Errorf("got %q, want %q", got.Blocks[0].Text.Text, want)
	}
	if want := ":warning: shop/checkout: RolledBack\n5% failed"; got.Text != want {
		t.Errorf("for notifications: got %q, want %q", got.Text, want)
	}
	if want := "Candidate: 7d4b9 · Traffic: 25% · Measured: 24.8% · Author: Al &lt;ice&gt;"; got.Blocks[1].Elements[0].Text != want {
		t.Errorf("got %q, want %q", got.Blocks[1].Elements[0].Text, want)
	}
	calm := notifiertest.Event("fine")
	calm.Warning, calm.Rollout = false, nil
	if body := notifiertest.Body(t, slackwebhook.New, calm); strings.Contains(body, ":warning:") || strings.Contains(body, "context") {
		t.Errorf("got %s", body)
	}
}

func TestDeliver_TakesNoMentions(t *testing.T) {
	got := received(t, notifiertest.Event("<!channel> <https://e.com|x> &amp;"))
	if want := "&lt;!channel&gt; &lt;https://e.com|x&gt; &amp;amp;"; !strings.HasSuffix(got.Blocks[0].Text.Text, "\n"+want) || !strings.HasSuffix(got.Text, "\n"+want) {
		t.Errorf("got %+v", got)
	}
	if !got.Blocks[0].Text.Verbatim || !got.Blocks[1].Elements[0].Verbatim {
		t.Error("Slack makes links and mentions of names")
	}
}

func TestDeliver_TakesNoMarkup(t *testing.T) {
	for said, want := range map[string]string{
		// Mattermost and Rocket.Chat.
		"@channel, @all! .@here":                  "@\u200bchannel, @\u200ball! .@\u200bhere",
		"[approved](https://evil.example)":        "[approved]\u200b(https://evil.example)",
		"![sign](https://evil.example) [a][b] **": "![sign]\u200b(https://evil.example) [a]\u200b[b]\u200b ∗∗",
		"# Approved": "\u200b# Approved",
		// Slack, too.
		"> Approved": "\u200b&gt; Approved",
		"*shop/checkout: Promoted* ~no~ _yes_ __y__ `x`": "∗shop/checkout: Promoted∗ ∼no∼ ˍyesˍ ˍˍyˍˍ 'x'",
		":warning: :+1: :Warning: :a::b: ::x:":           "∶warning∶ ∶+1∶ ∶Warning∶ ∶a∶∶b∶ :∶x∶",
	} {
		got := received(t, notifiertest.Event(said))
		for _, text := range []string{got.Text, got.Blocks[0].Text.Text} {
			if _, line, _ := strings.Cut(text, "\n"); line != want {
				t.Errorf("%s: got %q, want %q", said, line, want)
			}
		}
	}
	e := notifiertest.Event("5% failed")
	e.Rollout.Status.Candidate.Author = "*Al* @all [x](https://evil.example)"
	if want, got := "Author: ∗Al∗ @\u200ball [x]\u200b(https://evil.example)", received(t, e).Blocks[1].Elements[0].Text; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDeliver_LeavesOrdinaryTextAsItIs(t *testing.T) {
	const said = "12:30:45 a_b, snake_case_name (ada@example.com): 4.6% of 1,422 [p99 - 1.5 s] #12; https://weighlock.example/x_y?a=b" +
		" https://ci.example:8080/~bob/a:b:c/d_(e)/_42*?x[0]=1 by system:serviceaccount:ci:deploy-bot.v2"
	got := received(t, notifiertest.Event(said))
	if _, line, _ := strings.Cut(strings.ReplaceAll(got.Text, "]\u200b", "]"), "\n"); line != said {
		t.Errorf("got %q, want %q", line, said)
	}
}

func TestDeliver_KeepsWithinTheLimits(t *testing.T) {
	e := notifiertest.ManyMetrics()
	e.Message = strings.Repeat("&", 9000)
	got := received(t, e)
	for _, text := range []string{got.Blocks[0].Text.Text, got.Blocks[1].Elements[0].Text, got.Text} {
		if n := len([]rune(text)); n > 3000 || n < 2000 || !strings.HasSuffix(text, "…") {
			t.Errorf("a text of %d characters: %s", n, text)
		}
	}
}

func TestDeliver_LetsNobodyForgeALine(t *testing.T) {
	e := notifiertest.Event("5% failed\n:thumbsup: approved by Bob\r\n\u2028x")
	e.Rollout.Status.Candidate.Author = "Al\nApproved: by Bob"
	if body := notifiertest.Body(t, slackwebhook.New, e); !strings.Contains(body, "5% failed ∶thumbsup∶ approved by Bob") || !strings.Contains(body, "Al Approved: by Bob") {
		t.Errorf("got %s", body)
	}
}
