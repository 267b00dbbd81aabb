package slack

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/weighlock/weighlock/notifier"
)

// hopeless are Slack's words for what no further try mends by itself, each with what to do about it.
var hopeless = map[string]string{
	"invalid_auth":              "the token is not valid: put the one that Slack shows into the Secret",
	"not_authed":                "there is no token: set slack.botToken",
	"account_inactive":          "the app was removed from the workspace: install it again",
	"token_revoked":             "the token was revoked: install the app again",
	"token_expired":             "the token has expired: install the app again",
	"not_allowed_token_type":    "the token is of the wrong kind: the bot token begins with xoxb-, the app token with xapp-",
	"channel_not_found":         "the channel doesn't exist, or the app isn't in it: use the channel's id, and invite the app",
	"not_in_channel":            "the app is not in the channel: invite it",
	"is_archived":               "the channel is archived",
	"missing_scope":             "the app lacks a scope: compare it with the manifest in docs/slack.md",
	"restricted_action":         "the workspace doesn't let the app post there",
	"no_permission":             "the workspace doesn't let the app post there",
	"access_denied":             "the workspace doesn't let the app do that",
	"team_access_not_granted":   "the app is not installed in that workspace",
	"invalid_blocks":            "Slack doesn't take the message's form",
	"invalid_blocks_format":     "Slack doesn't take the message's form",
	"invalid_arguments":         "Slack doesn't take the message's form",
	"invalid_metadata_format":   "Slack doesn't take the message's form",
	"metadata_too_large":        "Slack doesn't take the message's form",
	"msg_too_long":              "the message is too long",
	"msg_blocks_too_long":       "the message is too long",
	"message_not_found":         "the message was deleted",
	"thread_not_found":          "the thread was deleted",
	"cannot_reply_to_message":   "the message has no thread",
	"cant_update_message":       "the message is not the app's",
	"edit_window_closed":        "the workspace doesn't let the app change its messages",
	"expired_trigger_id":        "Slack was answered too late",
	"trigger_expired":           "Slack was answered too late",
	"no_such_subteam":           "there is no such user group",
	"subteam_not_found":         "there is no such user group",
	"user_not_in_channel":       "the member is not in the channel",
	"messages_tab_disabled":     "the app takes no direct messages",
	"channel_is_limited_access": "the workspace doesn't let the app post there",
}

// ofOneMessage are those words that are about one message, and not about a channel.
var ofOneMessage = []string{
	"invalid_blocks", "invalid_blocks_format", "invalid_arguments", "invalid_metadata_format", "metadata_too_large", "msg_too_long",
	"msg_blocks_too_long", "message_not_found", "thread_not_found", "cannot_reply_to_message", "cant_update_message", "edit_window_closed",
}

// callError is that of a call of Slack's.
type callError struct {
	method string
	err    error
	// unsent says that nothing was sent.
	unsent bool
}

func (e *callError) Error() string { return fmt.Sprintf("calling Slack's %s: %s", e.method, e.err) }
func (e *callError) Unwrap() error { return e.err }

// word is Slack's word for what is wrong; empty where it is no answer of Slack's.
func word(err error) string {
	answer, is := errors.AsType[slackapi.SlackErrorResponse](err)
	if !is {
		return ""
	}
	return answer.Err
}

// defaultLimit is how long Slack is left alone when it doesn't say how long.
const defaultLimit = 30 * time.Second

// limited is how long Slack wants to be left alone; zero where it wants nothing of the kind.
func limited(err error) time.Duration {
	if rest, is := errors.AsType[*restError](err); is {
		return rest.left
	}
	if limit, is := errors.AsType[*slackapi.RateLimitedError](err); is {
		return min(max(limit.RetryAfter, time.Second), time.Hour)
	}
	if status, is := errors.AsType[slackapi.StatusCodeError](err); is && status.Code == http.StatusTooManyRequests {
		return defaultLimit
	}
	if slices.Contains([]string{"ratelimited", "rate_limited", "message_limit_exceeded"}, word(err)) {
		return defaultLimit
	}
	return 0
}

// restError says that a call was not made: Slack has asked for a rest, of which that much is left.
type restError struct{ left time.Duration }

func (e *restError) Error() string {
	return fmt.Sprintf("Slack's rate limit is exceeded: it is left alone for another %s", e.left.Round(time.Second))
}

func resting(err error) bool {
	_, is := errors.AsType[*restError](err)
	return is
}

// broken says that Slack failed by its own words: what was asked for may have been done.
func broken(err error) bool {
	return slices.Contains([]string{"fatal_error", "internal_error", "service_unavailable", "request_timeout", "team_added_to_org"}, word(err))
}

// certain says that a call that failed did nothing: Slack said so. After a timeout or an error of a server, it may have.
func certain(err error) bool {
	if call, is := errors.AsType[*callError](err); is && call.unsent {
		return true
	}
	return limited(err) > 0 || (word(err) != "" && !broken(err))
}

// ofMessage says that an error is about one message, and not about a channel, or all of Slack.
func ofMessage(err error) bool {
	w := word(err)
	if w == "" || broken(err) || limited(err) > 0 {
		return false
	}
	_, known := hopeless[w]
	return !known || slices.Contains(ofOneMessage, w)
}

// advised is an error with what to do about it, where that is known.
func advised(err error) error {
	if advice, is := hopeless[word(err)]; is {
		return &adviceError{err, advice}
	}
	return err
}

// mendable says that Slack refuses all that the app does in a channel, or anywhere, until somebody mends that.
func mendable(err error) bool {
	_, known := hopeless[word(err)]
	return known && !ofMessage(err)
}

// explain makes an error of a sink, which says whether to try again. What somebody can mend is tried until that was done: a token that
// is exchanged costs no event.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if after := limited(err); after > 0 {
		return &notifier.RetryError{After: after, Err: err}
	}
	switch {
	case mendable(err):
		return &notifier.RetryError{After: hopelessRest, Err: advised(err)}
	case slices.Contains(ofOneMessage, word(err)):
		return &notifier.PermanentError{Err: advised(err)}
	case ofMessage(err):
		return &notifier.AnswerError{Err: err}
	default:
		return err
	}
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
	status, _ := errors.AsType[slackapi.StatusCodeError](err)
	_, known := hopeless[word(err)]
	switch {
	case err == nil:
		return "ok"
	case limited(err) > 0:
		return "limited"
	case known:
		return word(err)
	case status.Code >= http.StatusInternalServerError, broken(err):
		return "unavailable"
	case word(err) != "":
		return "refused"
	default:
		return "failed"
	}
}

// gone says that a message, or its thread, is not there any more, or not ours.
func gone(err error) bool {
	return slices.Contains([]string{"message_not_found", "cant_update_message", "thread_not_found", "cannot_reply_to_message"}, word(err))
}
