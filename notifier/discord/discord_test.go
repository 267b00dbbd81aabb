package discord_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/discord"
	"github.com/weighlock/weighlock/notifier/notifiertest"
)

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
	body := notifiertest.Body(t, discord.New, e)
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
	got := received(t, notifiertest.Event("5% failed")).Embeds[0]
	if got.Title != "shop/checkout: RolledBack" || got.Description != "5% failed" || got.Timestamp != "2025-11-24T16:00:00Z" || got.Color == 0 {
		t.Errorf("got %+v", got)
	}
	if len(got.Fields) != 4 || got.Fields[1].Name != "Traffic" || got.Fields[1].Value != "25%" || got.Fields[3].Value != `Al \<ice\>` {
		t.Errorf("fields %+v", got.Fields)
	}
	calm := notifiertest.Event("fine")
	calm.Warning = false
	if other := received(t, calm).Embeds[0]; other.Color == got.Color {
		t.Error("a warning looks like anything else")
	}
}

func TestDeliver_TakesNoMarkup(t *testing.T) {
	got := received(t, notifiertest.Event("@everyone <@1> [x](https://e.com) **b** `c` ~~d~~ ||e|| _f_ # g \\")).Embeds[0].Description
	want := `\@everyone \<\@1\> \[x\]\(https://e.com\) \*\*b\*\* ` + "\\`c\\`" + ` \~\~d\~\~ \|\|e\|\| \_f\_ \# g \\`
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDeliver_KeepsWithinTheLimits(t *testing.T) {
	got := received(t, notifiertest.ManyMetrics()).Embeds[0]
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
	e := notifiertest.Event("5% failed\n:thumbsup: approved by Bob\r\n\u2028x")
	e.Rollout.Status.Candidate.Author = "Al\nApproved: by Bob"
	if body := notifiertest.Body(t, discord.New, e); !strings.Contains(body, "5% failed :thumbsup: approved by Bob") || !strings.Contains(body, "Al Approved: by Bob") {
		t.Errorf("got %s", body)
	}
}
