package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier"
)

const (
	// modalAbort is the modal that asks why; its one input is blockReason/inputReason.
	modalAbort, blockReason, inputReason = "weighlock-abort", "reason", "reason"
	// mostReason is how long a reason may be, in characters: as the API has it.
	mostReason = 1000
	// settleTimeout is how long the outcome of a decision is waited for.
	settleTimeout, settleInterval = 10 * time.Second, 250 * time.Millisecond
)

// promptID is what buttons carry.
var promptID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// click is what a member did: a button, or a modal that was sent off.
type click struct {
	verb v1alpha1.DecisionVerb
	// aim is what it is about. A button carries the id of its prompt only.
	aim
	user string
	// home is the team that the member is of, and team the one in which it was clicked; empty where Slack doesn't say.
	home, team      string
	trigger, reason string
	// id is that of the click, or of the modal: another click has another one.
	id string
	// asked says that the reason was asked for: a modal was sent off.
	asked bool
}

var (
	errNotOurs   = errors.New("no click of Weighlock's")
	errNotPrompt = errors.New("reading what Slack sent: the click names no prompt of ours, or no member")
)

// read makes a click of what Slack sent; errNotOurs where it is something else.
func read(payload []byte) (click, error) {
	var callback slackapi.InteractionCallback
	if err := json.Unmarshal(payload, &callback); err != nil {
		return click{}, fmt.Errorf("reading what Slack sent: %w", err)
	}
	return readCallback(&callback)
}

func readCallback(callback *slackapi.InteractionCallback) (click, error) {
	c := click{user: callback.User.ID, home: callback.User.TeamID, team: callback.Team.ID, trigger: callback.TriggerID}
	switch callback.Type {
	case slackapi.InteractionTypeBlockActions:
		if len(callback.ActionCallback.BlockActions) != 1 || callback.ActionCallback.BlockActions[0] == nil {
			return c, errNotOurs
		}
		action := callback.ActionCallback.BlockActions[0]
		c.Prompt, c.Channel, c.id = action.Value, callback.Channel.ID, cmp.Or(action.ActionTs, callback.ActionTs)
		switch action.ActionID {
		case actionApprove:
			c.verb = v1alpha1.VerbApprove
		case actionAbort:
			c.verb = v1alpha1.VerbAbort
		default:
			return c, errNotOurs
		}
	case slackapi.InteractionTypeViewSubmission:
		if callback.View.CallbackID != modalAbort {
			return c, errNotOurs
		}
		c.verb, c.id, c.asked = v1alpha1.VerbAbort, callback.View.ID, true
		if err := json.Unmarshal([]byte(callback.View.PrivateMetadata), &c.aim); err != nil {
			return c, errNotPrompt
		}
		if state := callback.View.State; state != nil {
			c.reason = strings.TrimSpace(state.Values[blockReason][inputReason].Value)
		}
	default:
		return c, errNotOurs
	}
	if !promptID.MatchString(c.Prompt) || !memberID.MatchString(c.user) {
		return c, errNotPrompt
	}
	return c, nil
}

// complaint is what is wrong with a modal, for its sender to mend; nil when nothing is.
func (c *click) complaint() *slackapi.ViewSubmissionResponse {
	switch {
	case !c.asked:
		return nil
	case c.reason == "":
		return slackapi.NewErrorsViewSubmissionResponse(map[string]string{blockReason: "Say why, for those who look later."})
	case len([]rune(c.reason)) > mostReason:
		return slackapi.NewErrorsViewSubmissionResponse(map[string]string{blockReason: fmt.Sprintf("Use at most %d characters.", mostReason)})
	default:
		return nil
	}
}

// act does what a click asks for, and tells the member alone what became of it.
func (a *App) act(ctx context.Context, c click) {
	result, answer := "refused", ""
	rollout, err := a.locate(ctx, &c)
	if err == nil {
		answer, err = a.decide(ctx, c, rollout)
	}
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		answer = refused.message
	case err != nil:
		a.o.Log.Error(advised(err), "acting on a click", "verb", c.verb, "user", c.user)
		result, answer = "failed", "Weighlock could not do that just now. Try again, or use kubectl weighlock "+string(c.verb)+"."
	default:
		result = "done"
	}
	a.measures.clicks.WithLabelValues(result).Inc()
	if answer != "" && c.Channel != "" {
		a.whisper(ctx, c, answer)
	}
}

// whisper tells one member something, in the channel: in a thread it would not be seen by who clicked in the channel.
func (a *App) whisper(ctx context.Context, c click, text string) {
	text = attributed(notifier.Cut(text, mostText))
	err := a.call(ctx, "chat.postEphemeral", c.Channel, func(ctx context.Context, api *slackapi.Client) error {
		_, err := api.PostEphemeralContext(ctx, c.Channel, c.user, slackapi.MsgOptionText(text, false))
		return err
	})
	if err != nil {
		a.o.Log.Error(advised(err), "answering a click", "user", c.user)
	}
}
