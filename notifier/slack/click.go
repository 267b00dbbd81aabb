package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	slackapi "github.com/slack-go/slack"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/decision"
	"github.com/weighlock/weighlock/naming"
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
	// prompt is the id of the prompt that it is about.
	prompt, user string
	// home is the team that the member is of, and team the one in which it was clicked; empty where Slack doesn't say.
	home, team string
	// channel in which it was done; empty for a modal.
	channel         string
	trigger, reason string
	// id is that of the click, or of the modal: another click has another one.
	id string
	// asked says that the reason was asked for: a modal was sent off.
	asked bool
}

var errNotOurs = errors.New("no click of Weighlock's")

// read makes a click of what Slack sent; errNotOurs where it is something else.
func read(payload []byte) (click, error) {
	var callback slackapi.InteractionCallback
	if err := json.Unmarshal(payload, &callback); err != nil {
		return click{}, fmt.Errorf("reading what Slack sent: %w", err)
	}
	return readCallback(&callback)
}

func readCallback(callback *slackapi.InteractionCallback) (click, error) {
	c := click{
		user: callback.User.ID, home: callback.User.TeamID, team: callback.Team.ID, channel: callback.Channel.ID, trigger: callback.TriggerID,
	}
	switch callback.Type { //nolint:exhaustive // All else isn't asked for.
	case slackapi.InteractionTypeBlockActions:
		if len(callback.ActionCallback.BlockActions) != 1 || callback.ActionCallback.BlockActions[0] == nil {
			return c, errNotOurs
		}
		action := callback.ActionCallback.BlockActions[0]
		c.prompt, c.id = action.Value, cmp.Or(action.ActionTs, callback.ActionTs)
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
		c.verb, c.prompt, c.id, c.asked = v1alpha1.VerbAbort, callback.View.PrivateMetadata, callback.View.ID, true
		if state := callback.View.State; state != nil {
			c.reason = strings.TrimSpace(state.Values[blockReason][inputReason].Value)
		}
	default:
		return c, errNotOurs
	}
	if !promptID.MatchString(c.prompt) || !memberID.MatchString(c.user) {
		return c, errors.New("reading what Slack sent: the click names no prompt of ours, or no member")
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
	rollout, thread, err := a.asked(ctx, c.prompt)
	result := "refused"
	answer := ""
	if err == nil {
		if c.channel == "" {
			c.channel = thread.Channel
		}
		answer, err = a.decide(ctx, c, rollout, thread)
	}
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		answer = refused.message
	case err != nil:
		a.o.Log.Error(explain(err), "acting on a click", "verb", c.verb, "user", c.user)
		result, answer = "failed", "Weighlock could not do that just now. Try again, or use kubectl weighlock "+string(c.verb)+"."
	default:
		result = "done"
	}
	a.measures.clicks.WithLabelValues(result).Inc()
	if answer != "" && c.channel != "" {
		a.whisper(ctx, c, answer)
	}
}

// asked finds the Rollout whose prompt has an id, and the thread that the prompt is in.
func (a *App) asked(ctx context.Context, id string) (*v1alpha1.Rollout, *v1alpha1.Thread, error) {
	list := &v1alpha1.RolloutList{}
	if err := a.o.Client.List(ctx, list, client.MatchingFields{byPrompt: id}); err != nil {
		return nil, nil, fmt.Errorf("finding what a prompt is about: %w", err)
	}
	for i := range list.Items {
		rollout := &list.Items[i]
		for j := range rollout.Status.Threads {
			if t := a.thread(rollout, rollout.Status.Threads[j].Sink); t != nil && t.Prompt != nil && t.Prompt.ID == id {
				return rollout, t, nil
			}
		}
	}
	return nil, nil, &refusal{"That question is superseded: its rollout went on, or is over."}
}

// decide makes the decision that a click asks for, if the member may make it. For an abort it asks why, first.
func (a *App) decide(ctx context.Context, c click, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) (string, error) {
	workspace, err := a.workspace(ctx)
	if err != nil {
		return "", err
	}
	if !workspace.has(c.home, c.team) {
		return "", &refusal{"You are a member of another workspace, so you can't decide here."}
	}
	prompt := thread.Prompt
	asked := slices.ContainsFunc(a.o.Channels(rollout), func(c Channel) bool { return c.Sink == thread.Sink && c.ID == thread.Channel && c.Approvals })
	if prompt.Closed || !asked || thread.Attempt != rollout.Status.Attempt || !about(prompt, rollout) {
		a.prod(client.ObjectKeyFromObject(rollout))
		return "", &refusal{fmt.Sprintf("That is superseded: step %d of %s is not what %s/%s asks about here any more.", prompt.Step+1, prompt.Revision, rollout.Namespace, rollout.Name)}
	}
	groups, err := a.may(ctx, rollout, prompt, c.verb, c.user)
	if err != nil {
		return "", err
	}
	if c.verb == v1alpha1.VerbAbort && !c.asked {
		return "", a.askWhy(ctx, c, rollout)
	}
	if c.verb == v1alpha1.VerbApprove && given(rollout, memberPrefix+c.user) {
		return "", &refusal{"You have approved it already: " + approvals(rollout) + "."}
	}
	d := decision.New(rollout, c.verb, decision.Author{
		Actor: memberPrefix + c.user, Groups: groups, Person: a.o.Person(c.user), Via: "slack",
	}, c.reason)
	d.Spec.Revision, d.Spec.Generation = prompt.Revision, prompt.Generation
	if c.verb == v1alpha1.VerbApprove {
		d.Spec.Step = new(prompt.Step)
	}
	if err := a.submit(ctx, d, c); err != nil {
		return "", err
	}
	a.o.Log.Info("decided", "verb", c.verb, "user", c.user, "rollout", client.ObjectKeyFromObject(rollout), "decision", d.Name)
	return a.outcome(ctx, d)
}

// given says whether an approval of somebody counts.
func given(rollout *v1alpha1.Rollout, actor string) bool {
	approval := rollout.Status.Approval
	return approval != nil && slices.ContainsFunc(approval.Given, func(v v1alpha1.Voice) bool { return v.Actor == actor })
}

// mostNames are tried for a decision, where others have taken them.
const mostNames = 5

// submit writes a decision. The same click makes the same decision, however often it comes.
func (a *App) submit(ctx context.Context, d *v1alpha1.Decision, c click) error {
	d.GenerateName = ""
	for n := range mostNames {
		seed := fmt.Sprintf("%s %s %s %d", c.prompt, c.user, c.id, n)
		d.Name = naming.Join(d.Spec.Rollout, string(d.Spec.Verb)+"-"+naming.Hash([]byte(seed), 10))
		err := a.o.Client.Create(ctx, d)
		switch {
		case err == nil:
			return nil
		case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
			a.o.Log.Error(err, "the API server refuses a decision", "verb", d.Spec.Verb, "actor", d.Spec.Actor)
			return &refusal{"The cluster refuses that: " + err.Error()}
		case !apierrors.IsAlreadyExists(err):
			return fmt.Errorf("making the decision: %w", err)
		}
		before := &v1alpha1.Decision{}
		if err := a.o.Live.Get(ctx, client.ObjectKeyFromObject(d), before); err != nil {
			return fmt.Errorf("reading the decision that was made before: %w", err)
		}
		if before.Spec.Actor == d.Spec.Actor && before.Spec.Via == d.Spec.Via && before.Spec.Verb == d.Spec.Verb {
			return &refusal{strings.TrimSpace("You have said so already. " + before.Status.Message)}
		}
	}
	return errors.New("making the decision: others have taken its names")
}

// outcome waits for what becomes of a decision, and tells it.
func (a *App) outcome(ctx context.Context, d *v1alpha1.Decision) (string, error) {
	for deadline := a.o.Clock.Now().Add(settleTimeout); a.o.Clock.Now().Before(deadline); {
		select {
		case <-a.stopping:
			return "Your decision stands (" + d.Name + ").", nil
		case <-ctx.Done():
			return "", ctx.Err()
		case <-a.o.Clock.After(settleInterval):
		}
		now := &v1alpha1.Decision{}
		if err := a.o.Live.Get(ctx, client.ObjectKeyFromObject(d), now); err != nil {
			return "", fmt.Errorf("asking what became of the decision: %w", err)
		}
		switch now.Status.Outcome {
		case "":
		case v1alpha1.DecisionApplied:
			return "Done: " + now.Status.Message, nil
		case v1alpha1.DecisionSuperseded, v1alpha1.DecisionRejected:
			return fmt.Sprintf("%s: %s", now.Status.Outcome, now.Status.Message), nil
		}
	}
	return "Your decision stands (" + d.Name + "); Weighlock has not acted on it yet.", nil
}

// askWhy opens the modal that asks for the reason of an abort.
func (a *App) askWhy(ctx context.Context, c click, rollout *v1alpha1.Rollout) error {
	name := rollout.Namespace + "/" + rollout.Name
	element := slackapi.NewPlainTextInputBlockElement(nil, inputReason)
	element.Multiline, element.MaxLength = true, mostReason
	view := slackapi.ModalViewRequest{
		Type: slackapi.VTModal, CallbackID: modalAbort, PrivateMetadata: c.prompt,
		Title: plain("Abort the rollout"), Submit: plain("Abort it"), Close: plain("Leave it"),
		Blocks: slackapi.Blocks{BlockSet: []slackapi.Block{
			section("All requests of *" + said(name) + "* go back to the version before, at once."),
			slackapi.NewInputBlock(blockReason, plain("Why?"), nil, element),
		}},
	}
	return a.call(ctx, "views.open", func(ctx context.Context, api *slackapi.Client) error {
		_, err := api.OpenViewContext(ctx, c.trigger, view)
		return err
	})
}

// whisper tells one member something, in the channel: in a thread it would not be seen by who clicked in the channel.
func (a *App) whisper(ctx context.Context, c click, text string) {
	text = memberNames.ReplaceAllString(said(notifier.Cut(text, mostText)), "<@$1>")
	err := a.call(ctx, "chat.postEphemeral", func(ctx context.Context, api *slackapi.Client) error {
		_, err := api.PostEphemeralContext(ctx, c.channel, c.user, slackapi.MsgOptionText(text, false))
		return err
	})
	if err != nil {
		a.o.Log.Error(explain(err), "answering a click", "user", c.user)
	}
}
