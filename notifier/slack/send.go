package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	slackapi "github.com/slack-go/slack"
)

const (
	// eventType marks our messages: their metadata hold an id by which one is found again.
	eventType = "weighlock"
	// oldest is how far back a message is looked for, and pages how many pages of them.
	oldest, pages, pageSize = 25 * time.Hour, 5, 200
	// mostDoubts is how many messages of which Slack hasn't said whether it took them are remembered.
	mostDoubts = 1000
)

// place is where a message goes.
type place struct {
	channel string
	// thread is the message below which it goes; empty for the channel itself. Broadcast shows it in the channel, too.
	thread    string
	broadcast bool
}

// shown is what a message says.
type shown struct {
	content, state string
	at             time.Time
}

func (m message) content() string {
	blocks, err := json.Marshal(m.blocks)
	if err != nil {
		panic(err) // strings only
	}
	sum := sha256.Sum256(append(blocks, m.plain...))
	return hex.EncodeToString(sum[:])
}

// post sends a message once: where it may have been sent already, because look says so, or an earlier try ended without an answer, it
// is looked for first. The channel must be held.
func (a *App) post(ctx context.Context, to place, id string, m message, look bool) (timestamp string, found bool, err error) {
	if look || a.doubts(id) {
		timestamp, err = a.find(ctx, to, id)
		switch {
		case word(err) == "missing_scope":
			a.o.Log.Info("messages can't be looked for, so one may be sent twice after an outage", "err", advised(err).Error())
		case err != nil:
			return "", false, err
		case timestamp != "":
			a.doubt(id, false)
			return timestamp, true, nil
		}
	}
	options := append(m.options(id), slackapi.MsgOptionDisableLinkUnfurl(), slackapi.MsgOptionDisableMediaUnfurl())
	if to.thread != "" {
		options = append(options, slackapi.MsgOptionTS(to.thread))
	}
	if to.broadcast {
		options = append(options, slackapi.MsgOptionBroadcast())
	}
	err = a.call(ctx, methodPost, to.channel, func(ctx context.Context, api *slackapi.Client) error {
		_, timestamp, err = api.PostMessageContext(ctx, to.channel, options...)
		return err
	})
	if err == nil && timestamp == "" {
		err = &callError{method: methodPost, err: errNoAnswer}
	}
	a.doubt(id, err != nil && !certain(err))
	if err != nil {
		return "", false, err
	}
	return timestamp, false, nil
}

// errNoAnswer says that what came is no answer of Slack's.
var errNoAnswer = errors.New("the answer names no message")

func (m message) options(id string) []slackapi.MsgOption {
	options := []slackapi.MsgOption{slackapi.MsgOptionText(m.plain, false), slackapi.MsgOptionBlocks(m.blocks...)}
	if id != "" {
		options = append(options, slackapi.MsgOptionMetadata(slackapi.SlackMetadata{EventType: eventType, EventPayload: map[string]any{"id": id}}))
	}
	return options
}

// change makes a message say something else, if it does. Where only numbers differ it waits until the message is some seconds old, and
// until there is nothing more important: again is after how long. The channel must be held.
func (a *App) change(ctx context.Context, channel, timestamp, id string, m message) (again time.Duration, err error) {
	a.mu.Lock()
	before := a.shown[channel+"/"+timestamp]
	a.mu.Unlock()
	if before.content == m.content() {
		return 0, nil
	}
	if before.state == m.state {
		if age := a.o.Clock.Since(before.at); age < numbersInterval {
			return numbersInterval - age, nil
		}
		if a.pace.busy() {
			return numbersInterval, nil
		}
	}
	err = a.call(ctx, methodChange, channel, func(ctx context.Context, api *slackapi.Client) error {
		_, _, _, err := api.UpdateMessageContext(ctx, channel, timestamp, m.options(id)...)
		return err
	})
	if err != nil && word(err) != "edit_window_closed" { // That can't be mended, and the thread tells the same.
		return 0, err
	}
	a.show(channel, timestamp, m)
	return 0, nil
}

func (a *App) show(channel, timestamp string, m message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shown[channel+"/"+timestamp] = shown{content: m.content(), state: m.state, at: a.o.Clock.Now()}
}

// hide forgets what a message says that changes no more.
func (a *App) hide(channel, timestamp string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.shown, channel+"/"+timestamp)
}

func (a *App) doubts(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, doubtful := a.doubtful[id]
	return doubtful
}

// doubt remembers, or forgets, that a message may have been sent.
func (a *App) doubt(id string, may bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !may {
		delete(a.doubtful, id)
		return
	}
	now := a.o.Clock.Now()
	for other, since := range a.doubtful {
		if len(a.doubtful) >= mostDoubts || now.Sub(since) > oldest {
			delete(a.doubtful, other)
		}
	}
	a.doubtful[id] = now
}

// find looks for a message by its id; empty when it isn't there.
func (a *App) find(ctx context.Context, in place, id string) (timestamp string, err error) {
	cursor := ""
	since := strconv.FormatInt(a.o.Clock.Now().Add(-oldest).Unix(), 10)
	for range pages {
		var messages []slackapi.Message
		if in.thread != "" {
			messages, cursor, err = a.replies(ctx, in, cursor)
		} else {
			messages, cursor, err = a.history(ctx, in, since, cursor)
		}
		if err != nil {
			return "", err
		}
		for i := range messages {
			if m := &messages[i]; m.Metadata.EventType == eventType && m.Metadata.EventPayload["id"] == id {
				return m.Timestamp, nil
			}
		}
		if cursor == "" {
			break
		}
	}
	return "", nil
}

func (a *App) replies(ctx context.Context, in place, cursor string) (messages []slackapi.Message, next string, err error) {
	err = a.call(ctx, methodReplies, in.channel, func(ctx context.Context, api *slackapi.Client) error {
		messages, _, next, err = api.GetConversationRepliesContext(ctx, &slackapi.GetConversationRepliesParameters{
			ChannelID: in.channel, Timestamp: in.thread, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
		})
		return err
	})
	return messages, next, err
}

func (a *App) history(ctx context.Context, in place, since, cursor string) (messages []slackapi.Message, next string, err error) {
	err = a.call(ctx, methodHistory, in.channel, func(ctx context.Context, api *slackapi.Client) error {
		answer, err := api.GetConversationHistoryContext(ctx, &slackapi.GetConversationHistoryParameters{
			ChannelID: in.channel, Oldest: since, Cursor: cursor, Limit: pageSize, IncludeAllMetadata: true,
		})
		if err != nil {
			return err
		}
		messages, next = answer.Messages, answer.ResponseMetaData.NextCursor
		return nil
	})
	return messages, next, err
}
