package slack

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// byPrompt is the index of Rollouts by the ids of their prompts.
const byPrompt = "status.threads.prompt.id"

// SetupWithManager has the manager tell people of Rollouts as they change. It has a queue of its own: that Slack is slow, or away,
// delays no rollout.
func (a *App) SetupWithManager(mgr ctrl.Manager, concurrent int) error {
	prompts := func(o client.Object) []string {
		var ids []string
		for _, thread := range o.(*v1alpha1.Rollout).Status.Threads {
			if thread.Prompt != nil {
				ids = append(ids, thread.Prompt.ID)
			}
		}
		return ids
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.Rollout{}, byPrompt, prompts); err != nil {
		return fmt.Errorf("indexing Rollouts by prompt: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("slack").
		For(&v1alpha1.Rollout{}).
		WatchesRawSource(source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.queue = queue
			return nil
		})).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrent}).
		Complete(reconcile.Func(a.reconcile))
}

// prod has a Rollout looked at again. Where another replica tells people, it has no effect.
func (a *App) prod(rollout client.ObjectKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.queue != nil {
		a.queue.Add(reconcile.Request{NamespacedName: rollout})
	}
}

// Refresh has all Rollouts looked at again: the channels in which people are told may be others now. It doesn't wait for that.
func (a *App) Refresh(ctx context.Context) error {
	a.mu.Lock()
	idle := a.queue == nil
	a.mu.Unlock()
	if idle {
		return nil // It has not begun, or another replica does it.
	}
	list := &v1alpha1.RolloutList{}
	if err := a.o.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the Rollouts that people are told of: %w", err)
	}
	for i := range list.Items {
		a.prod(client.ObjectKeyFromObject(&list.Items[i]))
	}
	return nil
}

// reconcile looks at one Rollout.
func (a *App) reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	rollout := &v1alpha1.Rollout{}
	err := a.o.Client.Get(ctx, req.NamespacedName, rollout)
	if apierrors.IsNotFound(err) {
		a.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the Rollout: %w", err)
	}
	again, err := a.Sync(ctx, rollout)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	return ctrl.Result{RequeueAfter: again}, err
}
