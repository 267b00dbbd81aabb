package slack

import (
	"context"
	"regexp"
	"slices"

	slackapi "github.com/slack-go/slack"

	"github.com/weighlock/weighlock/notifier"
)

// sink tells of events in a channel: in the thread of the rollout that they are about, where the channel follows it.
type sink struct {
	app      *App
	name, id string
}

// Sink makes the sink of a channel, by the name that the configuration has for it.
func (a *App) Sink(name, channel string) notifier.Sink { return &sink{a, name, channel} }

// Deliver says one line, once.
func (s *sink) Deliver(ctx context.Context, event notifier.Event) error {
	pace := s.app.pace.of(s.id)
	pace.Lock()
	defer pace.Unlock()
	to, err := s.place(ctx, event)
	if err != nil {
		return explain(err)
	}
	_, err = s.app.post(ctx, to, event.ID, line(event, to.thread == ""), false)
	return explain(err)
}

// place is where an event is told.
func (s *sink) place(ctx context.Context, event notifier.Event) (place, error) {
	to := place{channel: s.id}
	rollout := event.Rollout
	if rollout == nil || rollout.Status.Attempt == 0 {
		return to, nil
	}
	follows := slices.ContainsFunc(s.app.o.Channels(rollout), func(c Channel) bool { return c.Sink == s.name && c.ID == s.id })
	if !follows {
		return to, nil
	}
	// What happened is told of a rollout that is over by now, too.
	thread, err := s.app.current(ctx, rollout, Channel{Sink: s.name, ID: s.id}, rollout.Status.Candidate != nil)
	if err != nil {
		return to, err
	}
	if thread != nil && thread.Attempt == rollout.Status.Attempt {
		to.thread = thread.Timestamp
	}
	return to, nil
}

// memberNames are members of Slack as decisions name them, in a text.
var memberNames = regexp.MustCompile(`slack:([UW][A-Z0-9]+)`)

// line is an event as a message. In the channel itself it names what it is about.
func line(event notifier.Event, alone bool) message {
	sign := "•"
	if event.Warning {
		sign = ":warning:"
	}
	text := sign + " "
	if alone {
		text += "*" + said(event.Key()) + "* "
	}
	text += "*" + said(event.Reason) + "* " + memberNames.ReplaceAllString(said(event.Message), "<@$1>")
	return message{
		plain:  notifier.Cut(escape(event.Title()+": "+event.Message), mostPlain),
		blocks: []slackapi.Block{section(text)},
	}
}
