// Package slackwebhook tells of events by an incoming webhook of Slack: plain messages, without threads or buttons. Mattermost and
// Rocket.Chat take the same ones.
package slackwebhook

import (
	"context"
	"fmt"
	"strings"

	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/post"
)

// Slack takes 3,000 characters in a text, as they are sent.
const (
	mostTitle   = 300
	mostMessage = 2600
	mostFacts   = 2900
)

type message struct {
	// Text is for notifications, and for what knows no blocks.
	Text   string  `json:"text"`
	Blocks []block `json:"blocks"`
}

type block struct {
	Type     string `json:"type"`
	Text     *text  `json:"text,omitempty"`
	Elements []text `json:"elements,omitempty"`
}

type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
	// Verbatim keeps Slack from making links and mentions of names.
	Verbatim bool `json:"verbatim"`
}

// Sink sends messages to one webhook.
type Sink struct {
	client *post.Client
	url    post.Secret
}

var _ notifier.Sink = &Sink{}

// New makes a sink.
func New(client *post.Client, url post.Secret) *Sink { return &Sink{client: client, url: url} }

// Deliver sends one event.
func (s *Sink) Deliver(ctx context.Context, event notifier.Event) error {
	title, said := inert(event.Title(), mostTitle), inert(notifier.Line(event.Message), mostMessage)
	mark := ""
	if event.Warning {
		mark = ":warning: "
	}
	made := message{
		Text:   mark + title + "\n" + said,
		Blocks: []block{{Type: "section", Text: &text{"mrkdwn", fmt.Sprintf("%s*%s*\n%s", mark, title, said), true}}},
	}
	var facts []string
	for _, fact := range event.Facts() {
		facts = append(facts, fact.Name+": "+fact.Value)
	}
	if len(facts) > 0 {
		made.Blocks = append(made.Blocks, block{Type: "context", Elements: []text{{"mrkdwn", inert(strings.Join(facts, " · "), mostFacts), true}}})
	}
	body, err := post.Encode(made)
	if err != nil {
		return err
	}
	return s.client.JSON(ctx, s.url, body, nil)
}
