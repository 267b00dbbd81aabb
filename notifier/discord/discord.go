// Package discord tells of events in a channel of Discord, by its webhook.
package discord

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/post"
)

// Discord's limits are 256, 4,096, 256 and 1,024 characters, 25 fields and 6,000 characters in all; escaping makes at most two of one.
const (
	mostTitle   = 120
	mostMessage = 2000
	mostName    = 100
	mostValue   = 400
	mostFields  = 25
	mostInAll   = 6000
)

// Colours of the bar beside a message.
const (
	blue  = 0x3b82f6
	amber = 0xf59e0b
)

type message struct {
	Embeds []embed `json:"embeds"`
	// Mentions that are taken from the text: none.
	Mentions mentions `json:"allowed_mentions"`
}

type mentions struct {
	Parse []string `json:"parse"`
}

type embed struct {
	Title       string    `json:"title"`
	Description string    `json:"description"`
	Color       int       `json:"color"`
	Fields      []field   `json:"fields,omitempty"`
	Timestamp   time.Time `json:"timestamp"`
}

type field struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
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
	made := embed{
		Title: escape(event.Title(), mostTitle), Description: escape(notifier.Line(event.Message), mostMessage), Color: blue, Timestamp: event.At.UTC(),
	}
	if event.Warning {
		made.Color = amber
	}
	left := mostInAll - utf8.RuneCountInString(made.Title) - utf8.RuneCountInString(made.Description)
	for _, fact := range event.Facts() {
		f := field{Name: escape(fact.Name, mostName), Value: escape(fact.Value, mostValue), Inline: true}
		left -= utf8.RuneCountInString(f.Name) + utf8.RuneCountInString(f.Value)
		if left < 0 || len(made.Fields) == mostFields {
			break
		}
		made.Fields = append(made.Fields, f)
	}
	body, err := post.Encode(message{Embeds: []embed{made}, Mentions: mentions{Parse: []string{}}})
	if err != nil {
		return err
	}
	return s.client.JSON(ctx, s.url, body, nil)
}

// escape cuts a text, and keeps Discord from taking markup or links in it.
func escape(text string, most int) string {
	var made strings.Builder
	for _, r := range notifier.Cut(text, most) {
		if strings.ContainsRune("\\*_~`|>#[]()<@", r) {
			made.WriteByte('\\')
		}
		made.WriteRune(r)
	}
	return made.String()
}
