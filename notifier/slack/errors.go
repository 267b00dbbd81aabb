package slack

import (
	"errors"
	"net/http"
	"slices"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/weighlock/weighlock/notifier"
)

// hopeless are Slack's words for what no further try mends, each with what to do about it.
var hopeless = map[string]string{
	"invalid_auth":        "the bot token is not valid: set slack.botToken to the one that Slack shows under OAuth & Permissions",
	"not_authed":          "there is no bot token: set slack.botToken",
	"account_inactive":    "the app was removed from the workspace: install it again",
	"token_revoked":       "the bot token was revoked: install the app again",
	"token_expired":       "the bot token has expired: install the app again",
	"channel_not_found":   "the channel doesn't exist, or the app isn't in it: use the channel's id, and invite the app",
	"not_in_channel":      "the app is not in the channel: invite it",
	"is_archived":         "the channel is archived",
	"missing_scope":       "the app lacks a scope: compare it with the manifest in docs/slack.md",
	"restricted_action":   "the workspace doesn't let the app post there",
	"no_permission":       "the workspace doesn't let the app post there",
	"invalid_blocks":      "Slack doesn't take the message's form",
	"msg_too_long":        "the message is too long",
	"message_not_found":   "the message was deleted",
	"cant_update_message": "the message is not the app's",
}

// word is Slack's word for what is wrong; empty where it is no answer of Slack's.
func word(err error) string {
	answer, is := errors.AsType[slackapi.SlackErrorResponse](err)
	if !is {
		return ""
	}
	return answer.Err
}

// limited is how long Slack wants to be left alone; zero where it doesn't say.
func limited(err error) time.Duration {
	limit, is := errors.AsType[*slackapi.RateLimitedError](err)
	if !is {
		return 0
	}
	return max(limit.RetryAfter, time.Second)
}

// certain says that a call that failed did nothing: Slack said so. After a timeout or an error of a server, it may have.
func certain(err error) bool {
	return word(err) != "" || limited(err) > 0
}

// explain makes an error that says what to do, and whether to try again.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if after := limited(err); after > 0 {
		return &notifier.RetryError{After: after, Err: err}
	}
	if advice, is := hopeless[word(err)]; is {
		return &notifier.PermanentError{Err: &adviceError{err, advice}}
	}
	return err
}

// adviceError is an error with what to do about it.
type adviceError struct {
	err    error
	advice string
}

func (e *adviceError) Error() string { return e.err.Error() + ": " + e.advice }
func (e *adviceError) Unwrap() error { return e.err }

// resultOf is a word for a metric.
func resultOf(err error) string {
	var status slackapi.StatusCodeError
	switch {
	case err == nil:
		return "ok"
	case limited(err) > 0:
		return "limited"
	case word(err) != "":
		if _, known := hopeless[word(err)]; known {
			return word(err)
		}
		return "refused"
	case errors.As(err, &status) && status.Code >= http.StatusInternalServerError:
		return "unavailable"
	default:
		return "failed"
	}
}

// gone says that a message is not there any more.
func gone(err error) bool {
	return slices.Contains([]string{"message_not_found", "cant_update_message", "thread_not_found"}, word(err))
}
