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

type threadKey struct {
	rollout types.UID
	sink    string
}

// thread is the thread of a Rollout in a channel: as it was written here last, or as the status has it. Nil when there is none.
func (a *App) thread(rollout *v1alpha1.Rollout, sink string) *v1alpha1.Thread {
	known := threadOf(rollout.Status.Threads, sink)
	a.mu.Lock()
	defer a.mu.Unlock()
	if mine, is := a.threads[threadKey{rollout.UID, sink}]; is && (known == nil || mine.Attempt >= known.Attempt) {
		return mine.DeepCopy()
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
func (a *App) keep(ctx context.Context, rollout *v1alpha1.Rollout, thread v1alpha1.Thread) error {
	a.mu.Lock()
	a.threads[threadKey{rollout.UID, thread.Sink}] = thread
	a.mu.Unlock()
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
			*known = thread
		} else {
			now.Status.Threads = append(now.Status.Threads, thread)
		}
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		return a.o.Client.Status().Patch(ctx, now, patch, client.FieldOwner(v1alpha1.FieldManager))
	})
	if err != nil {
		return fmt.Errorf("keeping where people were told: %w", err)
	}
	return nil
}

// forget drops what is known of the threads of a Rollout that is gone.
func (a *App) forget(rollout types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key := range a.threads {
		if key.rollout == rollout {
			delete(a.threads, key)
		}
	}
}
