package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// pauseOfWatch is how long to wait before a watch that broke is tried anew.
const pauseOfWatch = 250 * time.Millisecond

// await waits until the decision has an outcome, or the time is over. It was made, so that what fails now is no reason to say that it wasn't.
func (d *decide) await(ctx context.Context, api client.WithWatch, made *v1alpha1.Decision) (*v1alpha1.Decision, error) {
	var over <-chan time.Time // It never comes where there is no end to the waiting.
	if d.timeout > 0 {
		timer := d.clock.NewTimer(d.timeout)
		defer timer.Stop()
		over = timer.C()
	}
	last := made
	// The first watch tells all since the decision was made, later ones what is so when they begin.
	for since := made.ResourceVersion; ; since = "" {
		changes, err := api.Watch(ctx, &v1alpha1.DecisionList{}, client.InNamespace(made.Namespace),
			client.MatchingFieldsSelector{Selector: named(made.Name)},
			&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: since}})
		if err == nil && since == "" {
			// Such a watch doesn't tell what was deleted before it.
			if err := api.Get(ctx, client.ObjectKeyFromObject(made), &v1alpha1.Decision{}); apierrors.IsNotFound(err) {
				changes.Stop()
				return nil, d.lost(made)
			}
		}
		if apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("decision %s is made, but you may not see what becomes of it: %w", made.Name, err)
		}
		if err == nil {
			var end ending
			last, end = follow(ctx, changes, over, last)
			changes.Stop()
			switch end {
			case ended:
				return last, d.interrupted(ctx, made)
			case deleted:
				return nil, d.lost(made)
			case broken:
			}
		}
		select {
		case <-ctx.Done():
			return nil, d.interrupted(ctx, made)
		case <-over:
			return last, nil
		case <-d.clock.After(pauseOfWatch):
		}
	}
}

// lost says that a decision isn't there any more: it goes with its Rollout.
func (d *decide) lost(made *v1alpha1.Decision) error {
	return fmt.Errorf("decision %s was deleted before anything came of it: is Rollout %s/%s there still?", made.Name, made.Namespace, made.Spec.Rollout)
}

// interrupted tells somebody who doesn't wait for the answer that the decision stands all the same.
func (d *decide) interrupted(ctx context.Context, made *v1alpha1.Decision) error {
	if ctx.Err() != nil {
		fmt.Fprintf(d.ErrOut, "decision %s is made all the same\n", made.Name)
	}
	return ctx.Err()
}

// ending is how it ended to follow a decision.
type ending int

// The endings: there is an outcome, or no time for it; the decision is deleted; the watch broke, and is to be tried anew.
const (
	ended ending = iota
	deleted
	broken
)

// follow reads changes up to an outcome.
func follow(ctx context.Context, changes watch.Interface, over <-chan time.Time, last *v1alpha1.Decision) (*v1alpha1.Decision, ending) {
	for {
		select {
		case <-ctx.Done():
			return last, ended
		case <-over:
			return last, ended
		case change, open := <-changes.ResultChan():
			if !open || change.Type == watch.Error {
				return last, broken
			}
			if seen, is := change.Object.(*v1alpha1.Decision); is {
				last = seen
			}
			switch {
			case last.Status.Outcome != "":
				return last, ended
			case change.Type == watch.Deleted:
				return last, deleted
			}
		}
	}
}

// refusal is why the API server didn't take a decision: the policy's sentence, without what stands around it.
func (d *decide) refusal(rollout *v1alpha1.Rollout, made *v1alpha1.Decision, err error) error {
	if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
		return fmt.Errorf("%s %s/%s: %w", d.verb, rollout.Namespace, rollout.Name, err)
	}
	var status apierrors.APIStatus
	message := err.Error()
	if errors.As(err, &status) {
		message = status.Status().Message
	}
	if _, sentence, denied := strings.Cut(message, " denied request: "); denied {
		return errors.New(sentence)
	}
	if apierrors.IsForbidden(err) && strings.Contains(message, "cannot create resource \"decisions\"") {
		return fmt.Errorf("user %q may not %s Rollout %q in namespace %q: that takes the verb %q on rollouts.weighlock.dev, and create on decisions.weighlock.dev, which the ClusterRole weighlock-promoter has",
			made.Spec.Actor, d.verb, rollout.Name, rollout.Namespace, d.verb.Permission())
	}
	return fmt.Errorf("%s %s/%s: %s", d.verb, rollout.Namespace, rollout.Name, message)
}
