package slack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
)

// numbersInterval is how old a message gets at least before it is changed for the sake of numbers alone.
const numbersInterval = 15 * time.Second

// Sync brings what is said of a Rollout, in all its channels, up to what its status says. It is idempotent. Again is after how long to
// look again; zero for when something changes. That Slack is away, or refuses something, is no error: it is tried again.
func (a *App) Sync(ctx context.Context, rollout *v1alpha1.Rollout) (again time.Duration, err error) {
	errs := []error{a.retire(ctx, rollout)}
	for _, channel := range a.channels(rollout) {
		wait, err := a.syncChannel(ctx, rollout, channel)
		if err != nil {
			errs = append(errs, fmt.Errorf("telling sink %s of %s/%s: %w", channel.Sink, rollout.Namespace, rollout.Name, err))
		}
		again = sooner(again, wait)
	}
	return again, errors.Join(errs...)
}

// retire closes what was asked in channels that don't follow a Rollout any more. Where Slack doesn't let it, nothing is lost: those
// buttons have no effect.
func (a *App) retire(ctx context.Context, rollout *v1alpha1.Rollout) error {
	channels := a.channels(rollout)
	for i := range rollout.Status.Threads {
		thread := a.thread(rollout, rollout.Status.Threads[i].Sink)
		follows := slices.ContainsFunc(channels, func(c Channel) bool { return c.Sink == thread.Sink && c.ID == thread.Channel })
		if follows || thread.Prompt == nil || thread.Prompt.Closed {
			continue
		}
		if err := a.drop(ctx, rollout, thread); err != nil {
			return err
		}
	}
	return nil
}

// drop closes the prompt of a thread whose channel is given up, if Slack lets it.
func (a *App) drop(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) error {
	pace := a.pace.of(thread.Channel)
	if err := pace.hold(ctx); err != nil {
		return err
	}
	defer pace.letGo()
	err := a.closePrompt(ctx, rollout, thread)
	if _, is := errors.AsType[*callError](err); !is || thread.Prompt == nil {
		return err
	}
	thread.Prompt.Closed = true
	return a.keep(ctx, rollout, thread)
}

// sooner is the shorter of two waits, where zero is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || (b > 0 && b < a) {
		return b
	}
	return a
}

func (a *App) syncChannel(ctx context.Context, rollout *v1alpha1.Rollout, channel Channel) (time.Duration, error) {
	if thread := a.thread(rollout, channel.Sink); thread == nil && !live(rollout) {
		return 0, nil // Nothing was said, and nothing is to be: most Rollouts, most of the time.
	}
	pace := a.pace.of(channel.ID)
	if err := pace.hold(ctx); err != nil {
		return 0, err
	}
	defer pace.letGo()
	if rest := pace.quiet.Sub(a.o.Clock.Now()); rest > 0 {
		return rest, nil
	}
	again, err := a.bringUp(ctx, rollout, channel)
	rest, err := a.trouble(ctx, pace, err)
	return sooner(again, rest), err
}

// bringUp does that in one channel, which must be held.
func (a *App) bringUp(ctx context.Context, rollout *v1alpha1.Rollout, channel Channel) (time.Duration, error) {
	if err := a.catchUp(ctx, rollout, channel.Sink); err != nil {
		return 0, err
	}
	thread, err := a.current(ctx, rollout, channel, live(rollout))
	if err != nil || thread == nil || thread.Attempt > rollout.Status.Attempt {
		return 0, err // What is known of the Rollout may be older than what was told of it.
	}
	prompt, unasked := a.syncPrompt(ctx, rollout, channel, thread)
	if unasked != nil && !ofMessage(unasked) {
		return 0, unasked
	}
	again, err := a.refresh(ctx, rollout, thread)
	return sooner(again, prompt), errors.Join(err, unasked)
}

// current is the thread of the present attempt. What was said of the attempt before is brought to its end; where nothing was said of
// this one yet, that is begun, if it is to. Nil when there is none. The channel must be held.
func (a *App) current(ctx context.Context, rollout *v1alpha1.Rollout, channel Channel, begin bool) (*v1alpha1.Thread, error) {
	thread := a.thread(rollout, channel.Sink)
	if thread != nil && thread.Channel != channel.ID {
		thread = nil // The sink is another channel now.
	}
	if thread != nil && thread.Attempt < rollout.Status.Attempt {
		if !thread.Over {
			if err := a.closePrompt(ctx, rollout, thread); err != nil {
				return nil, err
			}
			if _, err := a.refresh(ctx, rollout, thread); err != nil {
				return nil, err
			}
		}
		thread = nil
	}
	if thread != nil || !begin {
		return thread, nil
	}
	thread = &v1alpha1.Thread{Sink: channel.Sink, Attempt: rollout.Status.Attempt, Revision: rollout.Status.Candidate.Revision, Channel: channel.ID}
	return thread, a.open(ctx, rollout, thread, true)
}

// open says for the first time that there is an attempt. Look says that it may have been said.
func (a *App) open(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread, look bool) error {
	m := root(rollout, thread)
	timestamp, found, err := a.post(ctx, place{channel: thread.Channel}, rootID(rollout, thread), m, look)
	if err != nil {
		return err
	}
	if !found {
		a.show(thread.Channel, timestamp, m)
	}
	thread.Timestamp = timestamp
	return a.keep(ctx, rollout, thread)
}

// reopen begins a thread anew whose message somebody has deleted. What was asked in it is asked again.
func (a *App) reopen(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) error {
	a.hide(thread.Channel, thread.Timestamp)
	if prompt := thread.Prompt; prompt != nil && !prompt.Closed {
		a.hide(thread.Channel, prompt.Timestamp)
		prompt.Timestamp = ""
	}
	return a.open(ctx, rollout, thread, false)
}

func rootID(rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) string {
	return fmt.Sprintf("%s/%d", rollout.UID, thread.Attempt)
}

// live says whether an attempt is under way of which people should be told.
func live(rollout *v1alpha1.Rollout) bool {
	status := &rollout.Status
	if status.Step == nil && (status.State == v1alpha1.StateSuspended || status.State == v1alpha1.StatePaused || status.State == v1alpha1.StateStalled) {
		return false // It hasn't begun, and its number is that of the one before.
	}
	return status.Attempt > 0 && status.Candidate != nil && status.Candidate.Failed == "" && rollout.DeletionTimestamp.IsZero() &&
		!slices.Contains([]v1alpha1.State{"", v1alpha1.StateRolledBack, v1alpha1.StateIdle, v1alpha1.StateDeleting, v1alpha1.StateAdopting}, status.State)
}

// refresh makes the message of an attempt say how it stands.
func (a *App) refresh(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) (time.Duration, error) {
	if thread.Over {
		return 0, nil
	}
	over := stands(rollout, thread).over
	again, err := a.change(ctx, thread.Channel, thread.Timestamp, rootID(rollout, thread), root(rollout, thread))
	if gone(err) && !over && thread.Attempt == rollout.Status.Attempt {
		return 0, a.reopen(ctx, rollout, thread)
	}
	if (err != nil && !gone(err)) || again > 0 || !over {
		return again, err
	}
	thread.Over = true
	a.hide(thread.Channel, thread.Timestamp)
	return 0, a.keep(ctx, rollout, thread)
}

// syncPrompt asks for what the present step waits for, and lets it be once it has it.
func (a *App) syncPrompt(ctx context.Context, rollout *v1alpha1.Rollout, channel Channel, thread *v1alpha1.Thread) (time.Duration, error) {
	wanted := channel.Approvals && asks(rollout) && thread.Attempt == rollout.Status.Attempt
	if prompt := thread.Prompt; prompt != nil && !prompt.Closed && (!wanted || !about(prompt, rollout)) {
		if err := a.closePrompt(ctx, rollout, thread); err != nil {
			return 0, err
		}
	}
	if !wanted {
		return 0, nil
	}
	known := thread.Prompt != nil && !thread.Prompt.Closed
	if !known {
		id := make([]byte, 16)
		if _, err := rand.Read(id); err != nil {
			return 0, fmt.Errorf("making the id of a prompt: %w", err)
		}
		thread.Prompt = &v1alpha1.Prompt{
			ID: hex.EncodeToString(id), Revision: rollout.Status.Candidate.Revision, Step: rollout.Status.Step.Index, Generation: rollout.Generation,
		}
		// Kept before it is sent: a button that nobody knows would be of no use.
		if err := a.keep(ctx, rollout, thread); err != nil {
			return 0, err
		}
	}
	if prompt := thread.Prompt; prompt.Timestamp != "" {
		again, err := a.change(ctx, thread.Channel, prompt.Timestamp, prompt.ID, a.question(rollout, prompt))
		if !gone(err) {
			return again, err
		}
		a.hide(thread.Channel, prompt.Timestamp)
		prompt.Timestamp, known = "", false // Somebody has deleted it: it is asked again.
	}
	err := a.ask(ctx, rollout, thread, known)
	if !gone(err) {
		return 0, err
	}
	if err := a.reopen(ctx, rollout, thread); err != nil {
		return 0, err
	}
	return 0, a.ask(ctx, rollout, thread, false)
}

// ask sends the prompt of a thread. Look says that it may have been sent. Where Slack doesn't take its form, people are asked without
// it, and the error stays: the form is tried again.
func (a *App) ask(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread, look bool) error {
	m := a.question(rollout, thread.Prompt)
	to := place{channel: thread.Channel, thread: thread.Timestamp, broadcast: true}
	timestamp, found, err := a.post(ctx, to, thread.Prompt.ID, m, look)
	var unfit error
	if ofMessage(err) && !gone(err) {
		unfit, m = err, bare(rollout)
		timestamp, found, err = a.post(ctx, to, thread.Prompt.ID, m, false)
	}
	if err != nil {
		return err
	}
	if !found {
		a.show(thread.Channel, timestamp, m)
	}
	thread.Prompt.Timestamp = timestamp
	return errors.Join(unfit, a.keep(ctx, rollout, thread))
}

// closePrompt takes the buttons away from a prompt, and says who answered.
func (a *App) closePrompt(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) error {
	prompt := thread.Prompt
	if prompt == nil || prompt.Closed {
		return nil
	}
	if prompt.Timestamp == "" {
		timestamp, err := a.find(ctx, place{channel: thread.Channel, thread: thread.Timestamp}, prompt.ID)
		if err != nil && word(err) != "missing_scope" && !gone(err) {
			return err
		}
		prompt.Timestamp = timestamp
	}
	if prompt.Timestamp != "" {
		decided, err := a.decided(ctx, rollout, thread)
		if err != nil {
			return err
		}
		if _, err := a.change(ctx, thread.Channel, prompt.Timestamp, prompt.ID, closed(rollout, prompt, decided)); err != nil && !gone(err) {
			return err
		}
		a.hide(thread.Channel, prompt.Timestamp)
	}
	prompt.Closed = true
	return a.keep(ctx, rollout, thread)
}

// skew is how far Slack's clock and the cluster's may be apart.
const skew = 5 * time.Second

// decided lists the decisions that were applied to the step that a prompt is about, since its rollout began.
func (a *App) decided(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) ([]v1alpha1.Decision, error) {
	list := &v1alpha1.DecisionList{}
	labels := client.MatchingLabels{v1alpha1.LabelRollout: naming.LabelValue(rollout.Name)}
	if err := a.o.Live.List(ctx, list, client.InNamespace(rollout.Namespace), labels); err != nil {
		return nil, fmt.Errorf("listing the decisions: %w", err)
	}
	began := timeOf(thread.Timestamp)
	found := slices.DeleteFunc(list.Items, func(d v1alpha1.Decision) bool {
		spec := &d.Spec
		answers := spec.Verb == v1alpha1.VerbApprove || spec.Verb == v1alpha1.VerbAbort || spec.Verb == v1alpha1.VerbPromote
		return !answers || d.Status.Outcome != v1alpha1.DecisionApplied || spec.Revision != thread.Prompt.Revision ||
			(spec.Step != nil && *spec.Step != thread.Prompt.Step) || d.CreationTimestamp.Time.Before(began.Add(-skew))
	})
	slices.SortFunc(found, func(a, b v1alpha1.Decision) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return found, nil
}

// timeOf is when a message was sent, to the second: that is what its timestamp begins with.
func timeOf(timestamp string) time.Time {
	seconds, _, _ := strings.Cut(timestamp, ".")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(unix, 0)
}
