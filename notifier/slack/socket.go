package slack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	slackapi "github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

// The pauses between tries to connect.
const firstPause, longestPause = time.Second, time.Minute

// mostFrame is how long one message of a connection may be, in bytes.
const mostFrame = 1 << 20

// Socket takes what members click by a connection that the app opens (Socket Mode), until the context ends. It connects again when
// that is lost.
func (a *App) Socket(ctx context.Context) error {
	for pause := firstPause; ctx.Err() == nil; {
		pause = a.listen(ctx, pause)
	}
	return nil
}

// listen holds one connection, and pauses after it. It returns how long to pause after the next one.
func (a *App) listen(ctx context.Context, pause time.Duration) time.Duration {
	began := a.o.Clock.Now()
	err := a.connect(ctx)
	if ctx.Err() != nil {
		return pause
	}
	if a.o.Clock.Since(began) > longestPause {
		pause = firstPause
	}
	wait := max(pause, limited(err))
	a.o.Log.Info("the connection to Slack has ended; trying again", "after", wait, "err", fmt.Sprint(advised(err)))
	select {
	case <-ctx.Done():
	case <-a.o.Clock.After(wait):
	}
	return min(2*pause, longestPause)
}

// connect holds one connection.
func (a *App) connect(ctx context.Context) error {
	bot, err := a.o.BotToken()
	if err != nil {
		return fmt.Errorf("reading the bot token: %w", err)
	}
	app, err := a.o.AppToken()
	if err != nil {
		return fmt.Errorf("reading the app token: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// slack-go logs what it receives, and addresses that hold tickets.
	silent := log.New(io.Discard, "", 0)
	api := slackapi.New(bot, append(a.options(), slackapi.OptionAppLevelToken(app), slackapi.OptionLog(silent))...)
	connection := socketmode.New(api, socketmode.OptionLog(silent), socketmode.OptionReadLimit(mostFrame))
	ended := make(chan error, 1)
	go func() { ended <- connection.RunContext(ctx) }()
	for {
		select {
		case err := <-ended:
			return err
		case event := <-connection.Events:
			if err := a.take(ctx, connection, event); err != nil {
				return err
			}
		}
	}
}

// take takes one event of a connection.
func (a *App) take(ctx context.Context, connection *socketmode.Client, event socketmode.Event) error {
	switch event.Type {
	case socketmode.EventTypeConnected:
		a.o.Log.Info("connected to Slack")
		go a.learnHome(ctx) // It ends with the connection.
	case socketmode.EventTypeConnectionError:
		// slack-go would try again itself, with pauses of up to five minutes.
		if failed, is := event.Data.(*slackapi.ConnectionErrorEvent); is {
			return unconnected(failed.ErrorObj)
		}
		return errors.New("connecting to Slack: it failed")
	case socketmode.EventTypeInvalidAuth:
		return errors.New("slack doesn't take the app token: set slack.appToken to one with the scope connections:write")
	case socketmode.EventTypeInteractive:
		callback, is := event.Data.(slackapi.InteractionCallback)
		if !is || event.Request == nil {
			return nil
		}
		return a.hear(ctx, connection, event.Request.EnvelopeID, &callback)
	default:
		if event.Request != nil && event.Request.EnvelopeID != "" {
			return connection.AckCtx(ctx, event.Request.EnvelopeID, nil)
		}
	}
	return nil
}

// unconnected is why there is no connection, without the address: that holds a ticket.
func unconnected(err error) error {
	status, _ := errors.AsType[slackapi.StatusCodeError](err)
	if word(err) != "" || limited(err) > 0 || status.Code != 0 {
		return &callError{method: "apps.connections.open", err: err}
	}
	return errors.New("connecting to Slack: it can't be reached")
}

// hear takes a click, and answers. One that can't be worked on isn't acknowledged: so Slack says that it failed, and the member clicks
// again.
func (a *App) hear(ctx context.Context, connection *socketmode.Client, envelope string, callback *slackapi.InteractionCallback) error {
	c, unreadable := readCallback(callback)
	var answer any // Typed nils would be sent.
	switch {
	case errors.Is(unreadable, errNotOurs):
	case unreadable != nil:
		a.measures.clicks.WithLabelValues("unreadable").Inc()
	default:
		complaint := c.complaint()
		if complaint == nil && !a.begin(context.WithoutCancel(ctx), c) {
			a.measures.clicks.WithLabelValues("busy").Inc()
			if !c.asked {
				return nil
			}
			complaint = slackapi.NewErrorsViewSubmissionResponse(map[string]string{blockReason: "Weighlock is busy. Send it once more."})
		}
		if complaint != nil {
			answer = complaint
		}
	}
	if err := connection.AckCtx(ctx, envelope, answer); err != nil {
		return fmt.Errorf("answering Slack: %w", err)
	}
	return nil
}
