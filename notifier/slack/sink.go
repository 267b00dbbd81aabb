package slack

import (
	"context"
	"fmt"
	"slices"

	slackapi "github.com/slack-go/slack"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
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
	if err := pace.hold(ctx); err != nil {
		return err
	}
	defer pace.letGo()
	err := s.tell(ctx, event)
	s.complain(pace, err)
	return explain(err)
}

// tell says it where it belongs. The channel must be held.
func (s *sink) tell(ctx context.Context, event notifier.Event) error {
	to, err := s.place(ctx, event)
	if err != nil {
		return err
	}
	if event.Reason == v1alpha1.ReasonApprovalNeeded && to.thread != "" && s.asks(event.Rollout) {
		return nil // The prompt says so.
	}
	_, _, err = s.app.post(ctx, to, event.ID, line(event, to.thread == ""), false)
	if to.thread != "" && gone(err) {
		// Somebody has deleted the thread: the channel is told.
		to = place{channel: s.id}
		_, _, err = s.app.post(ctx, to, event.ID, line(event, true), false)
	}
	return err
}

// complain says in the log, once, what somebody has to mend before Slack takes events. The channel must be held.
func (s *sink) complain(p *pace, err error) {
	if err == nil {
		p.refused = ""
		return
	}
	if why := advised(err); mendable(err) && p.refused != why.Error() {
		p.refused = why.Error()
		s.app.o.Log.Error(why, "telling of events in Slack; it is tried again", "sink", s.name)
	}
}

// asks says that people are asked in the channel.
func (s *sink) asks(rollout *v1alpha1.Rollout) bool {
	return slices.ContainsFunc(s.app.channels(rollout), func(c Channel) bool { return c.Sink == s.name && c.ID == s.id && c.Approvals })
}

// place is where an event is told: in the thread of the attempt in which it happened, where the channel follows the Rollout.
func (s *sink) place(ctx context.Context, event notifier.Event) (place, error) {
	to := place{channel: s.id}
	if event.Rollout == nil || event.Rollout.Status.Attempt == 0 {
		return to, nil
	}
	rollout := event.Rollout.DeepCopy()
	follows := slices.ContainsFunc(s.app.channels(rollout), func(c Channel) bool { return c.Sink == s.name && c.ID == s.id })
	if !follows {
		return to, nil
	}
	// The event may have waited, and the Rollout gone on, or it may be newer than what caches show.
	now := &v1alpha1.Rollout{}
	err := s.app.o.Client.Get(ctx, client.ObjectKeyFromObject(rollout), now)
	if client.IgnoreNotFound(err) != nil {
		return to, fmt.Errorf("reading the Rollout: %w", err)
	}
	there := err == nil && now.UID == rollout.UID
	if there {
		rollout.Status.Threads = now.Status.Threads
	}
	thread, attempt := s.app.thread(rollout, s.name), rollout.Status.Attempt
	if thread != nil && thread.Attempt == attempt && thread.Channel == s.id {
		to.thread = thread.Timestamp
		return to, nil
	}
	passed := now.Status.Attempt > attempt || (thread != nil && thread.Attempt > attempt)
	if !there || passed || rollout.Status.Candidate == nil {
		return to, nil
	}
	// What happened is told of a rollout that is over by now, too.
	thread, err = s.app.current(ctx, rollout, Channel{Sink: s.name, ID: s.id}, true)
	if err != nil {
		return to, err
	}
	to.thread = thread.Timestamp
	return to, nil
}

// ofDecisions are the reasons of events that tell of a decision which was applied: in words of ours, up to who made it.
var ofDecisions = []string{
	v1alpha1.ReasonApproved, v1alpha1.ReasonPaused, v1alpha1.ReasonResumed, v1alpha1.ReasonHastened, v1alpha1.ReasonRetried, v1alpha1.ReasonRolledBack,
}

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
	what := said(event.Message)
	if event.Rollout != nil && slices.Contains(ofDecisions, event.Reason) {
		what = attributed(event.Message)
	}
	text += "*" + said(event.Reason) + "* " + what
	return message{
		plain:  notifier.Cut(escape(event.Title()+": "+event.Message), mostPlain),
		blocks: []slackapi.Block{section(text)},
	}
}
