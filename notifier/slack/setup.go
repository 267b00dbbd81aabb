package slack

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// byPrompt is the index of Rollouts by the ids of their prompts.
const byPrompt = "status.threads.prompt.id"

// prodded is how many Rollouts that are to be looked at again wait.
const prodded = 256

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
	again := make(chan event.GenericEvent, prodded)
	a.prod = func(key client.ObjectKey) {
		obj := &v1alpha1.Rollout{}
		obj.Namespace, obj.Name = key.Namespace, key.Name
		select {
		case again <- event.GenericEvent{Object: obj}:
		default:
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("slack").
		For(&v1alpha1.Rollout{}).
		WatchesRawSource(source.Channel(again, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrent}).
		Complete(reconcile.Func(a.reconcile))
}

// reconcile looks at one Rollout.
func (a *App) reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	rollout := &v1alpha1.Rollout{}
	err := a.o.Client.Get(ctx, req.NamespacedName, rollout)
	if apierrors.IsNotFound(err) || (err == nil && !rollout.DeletionTimestamp.IsZero()) {
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
