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
// look again; zero for when something changes.
func (a *App) Sync(ctx context.Context, rollout *v1alpha1.Rollout) (again time.Duration, err error) {
	var errs []error
	for _, channel := range a.o.Channels(rollout) {
		wait, err := a.syncChannel(ctx, rollout, channel)
		if err != nil {
			errs = append(errs, fmt.Errorf("telling sink %s of %s/%s: %w", channel.Sink, rollout.Namespace, rollout.Name, err))
		}
		if wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
	}
	return again, errors.Join(errs...)
}

func (a *App) syncChannel(ctx context.Context, rollout *v1alpha1.Rollout, channel Channel) (time.Duration, error) {
	pace := a.pace.of(channel.ID)
	pace.Lock()
	defer pace.Unlock()
	thread, err := a.current(ctx, rollout, channel, live(rollout))
	if err != nil || thread == nil {
		return 0, err
	}
	if err := a.syncPrompt(ctx, rollout, channel, thread); err != nil {
		return 0, err
	}
	return a.refresh(ctx, rollout, thread)
}

// current is the thread of the present attempt. What was said of the attempt before is brought to its end; where nothing was said of
// this one yet, that is begun, if it is to. Nil when there is none. The channel's pace must be held.
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
	id := fmt.Sprintf("%s/%d", rollout.UID, thread.Attempt)
	timestamp, err := a.post(ctx, place{channel: channel.ID}, id, root(rollout, thread), true)
	if err != nil {
		return nil, err
	}
	thread.Timestamp = timestamp
	return thread, a.keep(ctx, rollout, *thread)
}

// live says whether an attempt is under way of which people should be told.
func live(rollout *v1alpha1.Rollout) bool {
	status := &rollout.Status
	return status.Attempt > 0 && status.Candidate != nil && rollout.DeletionTimestamp.IsZero() &&
		!slices.Contains([]v1alpha1.State{"", v1alpha1.StateRolledBack, v1alpha1.StateIdle, v1alpha1.StateDeleting, v1alpha1.StateAdopting}, status.State)
}

// refresh makes the message of an attempt say how it stands.
func (a *App) refresh(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) (time.Duration, error) {
	if thread.Over {
		return 0, nil
	}
	id := fmt.Sprintf("%s/%d", rollout.UID, thread.Attempt)
	again, err := a.change(ctx, thread.Channel, thread.Timestamp, id, root(rollout, thread))
	if err != nil || again > 0 || !stands(rollout, thread).over {
		return again, err
	}
	thread.Over = true
	a.hide(thread.Channel, thread.Timestamp)
	return 0, a.keep(ctx, rollout, *thread)
}

// syncPrompt asks for what the present step waits for, and lets it be once it has it.
func (a *App) syncPrompt(ctx context.Context, rollout *v1alpha1.Rollout, channel Channel, thread *v1alpha1.Thread) error {
	wanted := channel.Approvals && asks(rollout) && thread.Attempt == rollout.Status.Attempt
	if prompt := thread.Prompt; prompt != nil && !prompt.Closed && (!wanted || !about(prompt, rollout)) {
		if err := a.closePrompt(ctx, rollout, thread); err != nil {
			return err
		}
	}
	if !wanted {
		return nil
	}
	if thread.Prompt == nil || thread.Prompt.Closed {
		id := make([]byte, 16)
		if _, err := rand.Read(id); err != nil {
			return fmt.Errorf("making the id of a prompt: %w", err)
		}
		thread.Prompt = &v1alpha1.Prompt{ID: hex.EncodeToString(id), Revision: rollout.Status.Candidate.Revision, Step: rollout.Status.Step.Index}
		// Kept before it is sent: a button that nobody knows would be of no use.
		if err := a.keep(ctx, rollout, *thread); err != nil {
			return err
		}
	}
	m := question(rollout, thread.Prompt)
	if thread.Prompt.Timestamp != "" {
		_, err := a.change(ctx, thread.Channel, thread.Prompt.Timestamp, thread.Prompt.ID, m)
		return err
	}
	timestamp, err := a.post(ctx, place{channel: thread.Channel, thread: thread.Timestamp, broadcast: true}, thread.Prompt.ID, m, true)
	if err != nil {
		return err
	}
	thread.Prompt.Timestamp = timestamp
	return a.keep(ctx, rollout, *thread)
}

// closePrompt takes the buttons away from a prompt, and says who answered.
func (a *App) closePrompt(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) error {
	prompt := thread.Prompt
	if prompt == nil || prompt.Closed {
		return nil
	}
	if prompt.Timestamp == "" {
		timestamp, err := a.find(ctx, place{channel: thread.Channel, thread: thread.Timestamp}, prompt.ID)
		if err != nil && word(err) != "missing_scope" {
			return err
		}
		prompt.Timestamp = timestamp
	}
	if prompt.Timestamp != "" {
		decided, err := a.decided(ctx, rollout, thread)
		if err != nil {
			return err
		}
		if _, err := a.change(ctx, thread.Channel, prompt.Timestamp, prompt.ID, closed(rollout, prompt, decided)); err != nil {
			return err
		}
		a.hide(thread.Channel, prompt.Timestamp)
	}
	prompt.Closed = true
	return a.keep(ctx, rollout, *thread)
}

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
			(spec.Step != nil && *spec.Step != thread.Prompt.Step) || d.CreationTimestamp.Time.Before(began.Add(-time.Second))
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
