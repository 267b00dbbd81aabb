package slack

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// mostThreads is how many threads a status holds.
const mostThreads = 16

type threadKey struct {
	rollout client.ObjectKey
	sink    string
}

// told is a thread as it was written here last: caches may not show it yet.
type told struct {
	uid    types.UID
	thread v1alpha1.Thread
	// unkept says that it could not be written into the status.
	unkept bool
}

// thread is the thread of a Rollout in a channel: as it was written here last, or as the status has it. Nil when there is none.
func (a *App) thread(rollout *v1alpha1.Rollout, sink string) *v1alpha1.Thread {
	known := threadOf(rollout.Status.Threads, sink)
	a.mu.Lock()
	defer a.mu.Unlock()
	mine, is := a.threads[threadKey{client.ObjectKeyFromObject(rollout), sink}]
	if is && mine.uid == rollout.UID && (known == nil || mine.thread.Attempt >= known.Attempt) {
		return mine.thread.DeepCopy()
	}
	return known.DeepCopy()
}

func threadOf(threads []v1alpha1.Thread, sink string) *v1alpha1.Thread {
	i := slices.IndexFunc(threads, func(t v1alpha1.Thread) bool { return t.Sink == sink })
	if i < 0 {
		return nil
	}
	return &threads[i]
}

// keep writes a thread into the status of a Rollout, and nothing else of it.
func (a *App) keep(ctx context.Context, rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) error {
	a.remember(rollout, thread, true)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		now := &v1alpha1.Rollout{}
		if err := a.o.Live.Get(ctx, client.ObjectKeyFromObject(rollout), now); err != nil {
			return client.IgnoreNotFound(err)
		}
		if now.UID != rollout.UID {
			return nil
		}
		before := now.DeepCopy()
		if known := threadOf(now.Status.Threads, thread.Sink); known != nil {
			*known = *thread.DeepCopy()
		} else {
			now.Status.Threads = append(a.room(now), *thread.DeepCopy())
		}
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		return client.IgnoreNotFound(a.o.Client.Status().Patch(ctx, now, patch, client.FieldOwner(v1alpha1.FieldManager)))
	})
	if err != nil {
		return fmt.Errorf("keeping where people were told: %w", err)
	}
	a.remember(rollout, thread, false)
	return nil
}

// room are the threads of a Rollout without those of sinks that are no more, where there would be too many.
func (a *App) room(rollout *v1alpha1.Rollout) []v1alpha1.Thread {
	if len(rollout.Status.Threads) < mostThreads {
		return rollout.Status.Threads
	}
	channels := a.channels(rollout)
	return slices.DeleteFunc(slices.Clone(rollout.Status.Threads), func(t v1alpha1.Thread) bool {
		return !slices.ContainsFunc(channels, func(c Channel) bool { return c.Sink == t.Sink })
	})
}

// channels in which people are told of a Rollout, as many as a status has room for.
func (a *App) channels(rollout *v1alpha1.Rollout) []Channel {
	channels := a.o.Channels(rollout)
	return channels[:min(len(channels), mostThreads)]
}

func (a *App) remember(rollout *v1alpha1.Rollout, thread *v1alpha1.Thread, unkept bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.threads[threadKey{client.ObjectKeyFromObject(rollout), thread.Sink}] = told{rollout.UID, *thread.DeepCopy(), unkept}
}

// catchUp writes into the status what could not be written there before.
func (a *App) catchUp(ctx context.Context, rollout *v1alpha1.Rollout, sink string) error {
	a.mu.Lock()
	mine, is := a.threads[threadKey{client.ObjectKeyFromObject(rollout), sink}]
	a.mu.Unlock()
	if !is || !mine.unkept || mine.uid != rollout.UID {
		return nil
	}
	return a.keep(ctx, rollout, mine.thread.DeepCopy())
}

// forget drops what is known of the threads of a Rollout that is gone.
func (a *App) forget(rollout client.ObjectKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, mine := range a.threads {
		if key.rollout != rollout {
			continue
		}
		delete(a.threads, key)
		delete(a.shown, mine.thread.Channel+"/"+mine.thread.Timestamp)
		if prompt := mine.thread.Prompt; prompt != nil {
			delete(a.shown, mine.thread.Channel+"/"+prompt.Timestamp)
		}
	}
}
