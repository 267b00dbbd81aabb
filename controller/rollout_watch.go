package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/runtime/predicates"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/workload/deployment"
)

// The indexes by which an event finds its Rollouts.
const (
	byLabel    = "label"
	byWorkload = "workload"
	byService  = "service"
	byTemplate = "template"
)

// RolloutOptions say how Rollouts are worked on.
type RolloutOptions struct {
	// Concurrent is how many are worked on at a time.
	Concurrent int
	// RateLimiter spaces retries.
	RateLimiter workqueue.TypedRateLimiter[reconcile.Request]
	// Changes brings the keys, namespace/name, of Rollouts whose verdict changed.
	Changes <-chan event.GenericEvent
}

// SetupWithManager has the manager run the reconciler: on changes of Rollouts, of what their workloads
// are made of, of their routes and of their verdicts.
func (r *RolloutReconciler) SetupWithManager(mgr ctrl.Manager, opts RolloutOptions) error {
	for name, extract := range map[string]client.IndexerFunc{
		byLabel:    func(o client.Object) []string { return []string{naming.LabelValue(o.GetName())} },
		byWorkload: func(o client.Object) []string { return []string{o.(*v1alpha1.Rollout).Spec.Workload.Name} },
		byService:  func(o client.Object) []string { return []string{o.(*v1alpha1.Rollout).Spec.Service.Name} },
		byTemplate: func(o client.Object) []string { return templatesOf(o.(*v1alpha1.Rollout)) },
	} {
		if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.Rollout{}, name, extract); err != nil {
			return fmt.Errorf("indexing Rollouts by %s: %w", name, err)
		}
	}
	decisions := func(o client.Object) []string { return []string{o.(*v1alpha1.Decision).Spec.Rollout} }
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.Decision{}, byRollout, decisions); err != nil {
		return fmt.Errorf("indexing Decisions by Rollout: %w", err)
	}
	build := ctrl.NewControllerManagedBy(mgr).
		Named("rollout").
		For(&v1alpha1.Rollout{}, builder.WithPredicates(
			predicate.Or(predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{}),
		)).
		WithOptions(controller.Options{MaxConcurrentReconciles: opts.Concurrent, RateLimiter: opts.RateLimiter})
	for _, watched := range deployment.Watched() {
		build = build.Watches(watched, handler.EnqueueRequestsFromMapFunc(r.concerned), builder.WithPredicates(predicate.Funcs{
			UpdateFunc: func(e event.UpdateEvent) bool { return deployment.Changed(e.ObjectOld, e.ObjectNew) },
		}))
	}
	build = build.Watches(&v1alpha1.AnalysisTemplate{}, handler.EnqueueRequestsFromMapFunc(r.judgedBy))
	build = build.Watches(&v1alpha1.Decision{}, handler.EnqueueRequestsFromMapFunc(decidedOn))
	if opts.Changes != nil {
		build = build.WatchesRawSource(source.Channel(opts.Changes, &handler.EnqueueRequestForObject{}))
	}
	built, err := build.Build(r)
	if err != nil {
		return fmt.Errorf("building the controller of Rollouts: %w", err)
	}
	r.copies = mgr.GetCache()
	r.watches.begin(built, mgr.GetCache(), r.concernedBy)
	return nil
}

// concerned lists the Rollouts that an event about an object concerns.
func (r *RolloutReconciler) concerned(ctx context.Context, obj client.Object) []reconcile.Request {
	subject := deployment.SubjectOf(obj)
	if !subject.Selects {
		return r.concernedBy(ctx, subject)
	}
	selected, err := deployment.SelectedBy(ctx, r.copies, obj)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the workloads that an event concerns")
	}
	return r.concernedBy(ctx, append(selected, subject)...)
}

// concernedBy lists the Rollouts that an event with these subjects concerns.
func (r *RolloutReconciler) concernedBy(ctx context.Context, subjects ...deployment.Subject) []reconcile.Request {
	if slices.ContainsFunc(subjects, func(s deployment.Subject) bool { return s.Copies }) {
		copies, err := deployment.CopiesIn(ctx, r.copies)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "listing the copies that an event concerns")
		}
		subjects = append(subjects, copies...)
	}
	found := map[reconcile.Request]struct{}{}
	for _, subject := range subjects {
		for index, value := range map[string]string{byLabel: subject.Rollout, byWorkload: subject.Workload, byService: subject.Service} {
			if value == "" {
				continue
			}
			for _, key := range r.indexed(ctx, subject.Namespace, index, value) {
				found[key] = struct{}{}
			}
		}
	}
	requests := make([]reconcile.Request, 0, len(found))
	for key := range found {
		requests = append(requests, key)
	}
	return requests
}

// judgedBy lists the Rollouts that name an AnalysisTemplate.
func (r *RolloutReconciler) judgedBy(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.indexed(ctx, obj.GetNamespace(), byTemplate, obj.GetName())
}

// indexed lists the Rollouts of a namespace with a value in an index.
func (r *RolloutReconciler) indexed(ctx context.Context, namespace, index, value string) []reconcile.Request {
	var list v1alpha1.RolloutList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{index: value}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the rollouts that an event concerns", "index", index)
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// ChangeOf is the event that has a Rollout looked at again, by its key namespace/name.
func ChangeOf(key string) event.GenericEvent {
	namespace, name, _ := strings.Cut(key, "/")
	obj := &v1alpha1.Rollout{}
	obj.Namespace, obj.Name = namespace, name
	return event.GenericEvent{Object: obj}
}

// watcher is a router whose routes can be watched once the cluster serves them.
type watcher interface {
	// Watched are the kinds to watch, as objects of them.
	Watched() ([]client.Object, error)
	// Concerns is the root service that an object of such a kind is about; empty when only its labels tell.
	Concerns(client.Object) string
}

// routeWatches start to watch routes when the cluster serves their kind, which may be long after the
// controller started.
type routeWatches struct {
	controller controller.Controller
	cache      cache.Cache
	concerned  func(context.Context, ...deployment.Subject) []reconcile.Request

	mu      sync.Mutex
	started map[schema.GroupVersionKind]bool
}

func (w *routeWatches) begin(c controller.Controller, from cache.Cache, concerned func(context.Context, ...deployment.Subject) []reconcile.Request) {
	w.controller, w.cache, w.concerned = c, from, concerned
}

// ensure watches the routes of a router, once, and says which kinds they are.
func (w *routeWatches) ensure(ctx context.Context, adapter router.Router) []client.Object {
	watchable, is := adapter.(watcher)
	if !is {
		return nil
	}
	kinds, err := watchable.Watched()
	if err != nil {
		return nil // the cluster does not serve them: Observe says so
	}
	if w.controller == nil {
		return kinds
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, obj := range kinds {
		kind := obj.GetObjectKind().GroupVersionKind()
		if w.started[kind] {
			continue
		}
		enqueue := handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, changed client.Object) []reconcile.Request {
			subject := deployment.SubjectOf(changed)
			subject.Service = cmp.Or(subject.Service, watchable.Concerns(changed))
			return w.concerned(ctx, subject)
		})
		if err := w.controller.Watch(source.Kind(w.cache, obj, enqueue)); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "watching routes", "kind", kind)
			continue
		}
		if w.started == nil {
			w.started = map[schema.GroupVersionKind]bool{}
		}
		w.started[kind] = true
	}
	return kinds
}
