package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	slackapi "github.com/slack-go/slack"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/decision"
	"github.com/weighlock/weighlock/naming"
)

// aim is what a click is about: the prompt, and where it stood when the member saw it. A modal holds it while its reason is typed,
// in what Slack sends back as it was and shows to nobody.
type aim struct {
	Prompt     string    `json:"prompt"`
	Channel    string    `json:"channel"`
	Namespace  string    `json:"namespace"`
	Name       string    `json:"name"`
	UID        types.UID `json:"uid"`
	Attempt    int64     `json:"attempt"`
	Revision   string    `json:"revision"`
	Step       int32     `json:"step"`
	Generation int64     `json:"generation,omitempty"`
	// closed says that the prompt asks no more.
	closed bool
}

var errStale = &refusal{"That is superseded: its rollout went on, or is over."}

// locate finds the Rollout that a click is about, and what it aims at.
func (a *App) locate(ctx context.Context, c *click) (*v1alpha1.Rollout, error) {
	if !c.asked {
		return a.ofPrompt(ctx, c)
	}
	rollout := &v1alpha1.Rollout{}
	err := a.o.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.Name}, rollout)
	if apierrors.IsNotFound(err) || (err == nil && rollout.UID != c.UID) {
		return nil, errStale
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Rollout: %w", err)
	}
	return rollout, nil
}

// ofPrompt finds the Rollout whose prompt a button is of.
func (a *App) ofPrompt(ctx context.Context, c *click) (*v1alpha1.Rollout, error) {
	list := &v1alpha1.RolloutList{}
	if err := a.o.Client.List(ctx, list, client.MatchingFields{byPrompt: c.Prompt}); err != nil {
		return nil, fmt.Errorf("finding what a prompt is about: %w", err)
	}
	for i := range list.Items {
		rollout := &list.Items[i]
		for j := range rollout.Status.Threads {
			thread := a.thread(rollout, rollout.Status.Threads[j].Sink)
			if thread == nil || thread.Prompt == nil || thread.Prompt.ID != c.Prompt {
				continue
			}
			prompt := thread.Prompt
			c.aim = aim{
				Prompt: prompt.ID, Channel: thread.Channel, Namespace: rollout.Namespace, Name: rollout.Name, UID: rollout.UID,
				Attempt: thread.Attempt, Revision: prompt.Revision, Step: prompt.Step, Generation: prompt.Generation, closed: prompt.Closed,
			}
			return rollout, nil
		}
	}
	return nil, errStale
}

// stale says whether a decision would be about something that is over. An abort is about the version that is tried, in whatever step.
func (t *aim) stale(rollout *v1alpha1.Rollout, verb v1alpha1.DecisionVerb) bool {
	status := &rollout.Status
	if status.Attempt != t.Attempt || status.Candidate == nil || status.Candidate.Revision != t.Revision || status.Candidate.Failed != "" {
		return true
	}
	here := status.Step != nil && status.Step.Index == t.Step && rollout.Generation == t.Generation
	return verb != v1alpha1.VerbAbort && (t.closed || !here)
}

// decide makes the decision that a click asks for, if the member may make it. For an abort it asks why, first.
func (a *App) decide(ctx context.Context, c click, rollout *v1alpha1.Rollout) (string, error) {
	workspace, err := a.workspace(ctx)
	if err != nil {
		return "", err
	}
	if !workspace.has(c.home, c.team) {
		return "", &refusal{"You are a member of another workspace, so you can't decide here."}
	}
	asked := slices.ContainsFunc(a.o.Channels(rollout), func(in Channel) bool { return in.ID == c.Channel && in.Approvals })
	if !asked || c.stale(rollout, c.verb) {
		a.prod(client.ObjectKeyFromObject(rollout))
		return "", &refusal{fmt.Sprintf("That is superseded: step %d of %s is not what %s/%s asks about here any more.", c.Step+1, c.Revision, rollout.Namespace, rollout.Name)}
	}
	groups, err := a.may(ctx, rollout, c.Step, c.verb, c.user)
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
	d.Spec.Revision = c.Revision
	if c.verb == v1alpha1.VerbApprove {
		d.Spec.Step, d.Spec.Generation = new(c.Step), c.Generation
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
		seed := fmt.Sprintf("%s %s %s %d", c.Prompt, c.user, c.id, n)
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
	held, err := json.Marshal(c.aim)
	if err != nil {
		return fmt.Errorf("making the modal: %w", err)
	}
	element := slackapi.NewPlainTextInputBlockElement(nil, inputReason)
	element.Multiline, element.MaxLength = true, mostReason
	view := slackapi.ModalViewRequest{
		Type: slackapi.VTModal, CallbackID: modalAbort, PrivateMetadata: string(held),
		Title: plain("Abort the rollout"), Submit: plain("Abort it"), Close: plain("Leave it"),
		Blocks: slackapi.Blocks{BlockSet: []slackapi.Block{
			section("All requests of *" + said(name) + "* go back to the version before, at once."),
			slackapi.NewInputBlock(blockReason, plain("Why?"), nil, element),
		}},
	}
	return a.call(ctx, "views.open", "", func(ctx context.Context, api *slackapi.Client) error {
		_, err := api.OpenViewContext(ctx, c.trigger, view)
		return err
	})
}
