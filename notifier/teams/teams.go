// Package teams tells of events in Microsoft Teams, by a workflow that posts the Adaptive Cards it gets in a channel.
package teams

import (
	"context"

	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/post"
)

// Teams takes 28 kB. The title and the message, in characters of at most four bytes, leave room for facts, as many as fit.
const (
	mostBytes   = 28_000
	mostTitle   = 300
	mostMessage = 4000
	mostFact    = 500
	mostFacts   = 20
)

type message struct {
	Type        string       `json:"type"`
	Summary     string       `json:"summary"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	ContentType string `json:"contentType"`
	Content     card   `json:"content"`
}

type card struct {
	Schema  string `json:"$schema"`
	Type    string `json:"type"`
	Version string `json:"version"`
	// FallbackText is for clients that know no such version.
	FallbackText string      `json:"fallbackText"`
	Body         []paragraph `json:"body"`
	Teams        layout      `json:"msteams"`
}

type layout struct {
	Width string `json:"width"`
}

// paragraph is a RichTextBlock: its runs are shown as they are, where a TextBlock would take markup in them.
type paragraph struct {
	Type    string `json:"type"`
	Spacing string `json:"spacing,omitempty"`
	Inlines []run  `json:"inlines"`
}

type run struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Weight string `json:"weight,omitempty"`
	Size   string `json:"size,omitempty"`
	Color  string `json:"color,omitempty"`
	Subtle bool   `json:"isSubtle,omitempty"`
}

// Sink sends cards to one workflow.
type Sink struct {
	client *post.Client
	url    post.Secret
}

var _ notifier.Sink = &Sink{}

// New makes a sink.
func New(client *post.Client, url post.Secret) *Sink { return &Sink{client: client, url: url} }

// Deliver sends one event.
func (s *Sink) Deliver(ctx context.Context, event notifier.Event) error {
	title, said := notifier.Cut(event.Title(), mostTitle), notifier.Cut(notifier.Line(event.Message), mostMessage)
	color := "default"
	if event.Warning {
		color = "attention"
	}
	body := []paragraph{
		{Type: "RichTextBlock", Inlines: []run{{Type: "TextRun", Text: title, Weight: "bolder", Size: "medium", Color: color}}},
		{Type: "RichTextBlock", Inlines: []run{{Type: "TextRun", Text: said}}},
	}
	for i, fact := range event.Facts() {
		if i == mostFacts {
			break
		}
		body = append(body, paragraph{Type: "RichTextBlock", Spacing: "small", Inlines: []run{
			{Type: "TextRun", Text: notifier.Cut(fact.Name, mostFact) + ": ", Subtle: true},
			{Type: "TextRun", Text: notifier.Cut(fact.Value, mostFact)},
		}})
	}
	encoded, err := encode(title, body)
	for err == nil && len(encoded) > mostBytes && len(body) > 2 {
		body = body[:len(body)-1]
		encoded, err = encode(title, body)
	}
	if err != nil {
		return err
	}
	return s.client.JSON(ctx, s.url, encoded, nil)
}

func encode(title string, body []paragraph) ([]byte, error) {
	return post.Encode(message{Type: "message", Summary: title, Attachments: []attachment{{
		ContentType: "application/vnd.microsoft.card.adaptive",
		Content: card{
			Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
			FallbackText: title, Body: body, Teams: layout{Width: "Full"},
		},
	}}})
}
