package mesh

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/weighlock/weighlock/local/mesh/smi"
)

// discoveryInterval is how often the mesh looks for an SMI API that the
// cluster does not serve yet.
const discoveryInterval = 500 * time.Millisecond

// The versions of the SMI APIs that can be read, the one that says most first:
// a version that lacks a field hides it.
var (
	splitVersions      = []string{"v1alpha4", "v1alpha3", "v1alpha2", "v1alpha1"}
	routeGroupVersions = []string{"v1alpha4", "v1alpha3", "v1alpha2", "v1alpha1"}
)

// watch keeps caches of what the mesh reads.
type watch struct {
	log     logr.Logger
	client  kubernetes.Interface
	dynamic dynamic.Interface
	core    informers.SharedInformerFactory

	// synced is closed once all caches that can be filled are.
	synced chan struct{}
	// changed has an element once something changed.
	changed chan struct{}

	mu     sync.Mutex
	splits cache.GenericLister
	groups cache.GenericLister
}

// objects are what the caches hold.
type objects struct {
	services []*corev1.Service
	slices   []*discoveryv1.EndpointSlice
	splits   []*smi.TrafficSplit
	groups   []*smi.HTTPRouteGroup
}

func newWatch(client kubernetes.Interface, dynamicClient dynamic.Interface, log logr.Logger) *watch {
	return &watch{
		log: log, client: client, dynamic: dynamicClient,
		core:    informers.NewSharedInformerFactory(client, 0),
		synced:  make(chan struct{}),
		changed: make(chan struct{}, 1),
	}
}

func (w *watch) notify() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// drained forgets changes that came in while events were gathered; what is
// read afterwards holds them.
func (w *watch) drained() {
	select {
	case <-w.changed:
	default:
	}
}

func (w *watch) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { w.notify() },
		UpdateFunc: func(_, _ any) { w.notify() },
		DeleteFunc: func(any) { w.notify() },
	}
}

// run fills the caches, and those of the SMI APIs as soon as the cluster
// serves them.
func (w *watch) run(ctx context.Context) error {
	for _, informer := range []cache.SharedIndexInformer{
		w.core.Core().V1().Services().Informer(),
		w.core.Discovery().V1().EndpointSlices().Informer(),
	} {
		if _, err := informer.AddEventHandler(w.handler()); err != nil {
			return fmt.Errorf("watch the cluster: %w", err)
		}
	}
	w.core.Start(ctx.Done())
	defer w.core.Shutdown()
	w.core.WaitForCacheSync(ctx.Done())

	pending := []api{
		{schema.GroupResource{Group: smi.SplitGroup, Resource: smi.SplitResource}, splitVersions, &w.splits},
		{schema.GroupResource{Group: smi.RouteGroupGroup, Resource: smi.RouteGroupResource}, routeGroupVersions, &w.groups},
	}
	first := true
	for ctx.Err() == nil && len(pending) > 0 {
		left, err := w.start(ctx, pending)
		pending = left
		switch {
		case err != nil:
			// What is served is not known, so nothing can be said about it.
			w.log.Error(err, "Looking for the SMI APIs failed")
		case first:
			close(w.synced)
			first = false
		default:
			w.notify()
		}
		select {
		case <-time.After(discoveryInterval):
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return nil
}

// api is a resource that the cluster may or may not serve.
type api struct {
	resource schema.GroupResource
	versions []string
	lister   *cache.GenericLister
}

// start watches those of the APIs that are served, and returns the others.
func (w *watch) start(ctx context.Context, apis []api) ([]api, error) {
	served, err := servedVersions(w.client.Discovery(), apis)
	if err != nil {
		return apis, err
	}
	var missing []api
	for _, a := range apis {
		i := slices.IndexFunc(a.versions, func(v string) bool { return served[a.resource.WithVersion(v)] })
		if i < 0 {
			missing = append(missing, a)
			continue
		}
		gvr := a.resource.WithVersion(a.versions[i])
		factory := dynamicinformer.NewDynamicSharedInformerFactory(w.dynamic, 0)
		informer := factory.ForResource(gvr)
		if _, err := informer.Informer().AddEventHandler(w.handler()); err != nil {
			return apis, fmt.Errorf("watch %s: %w", gvr.GroupResource(), err)
		}
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
		w.mu.Lock()
		*a.lister = informer.Lister()
		w.mu.Unlock()
		w.log.Info("Watching", "resource", gvr.GroupResource().String(), "version", gvr.Version)
	}
	return missing, nil
}

// servedVersions are the resources that the cluster serves, of the groups of
// the given APIs.
func servedVersions(client discovery.DiscoveryInterface, apis []api) (map[schema.GroupVersionResource]bool, error) {
	groups, err := client.ServerGroups()
	if err != nil {
		return nil, fmt.Errorf("list the API groups: %w", err)
	}
	served := map[schema.GroupVersionResource]bool{}
	for _, g := range groups.Groups {
		if !slices.ContainsFunc(apis, func(a api) bool { return a.resource.Group == g.Name }) {
			continue
		}
		for _, v := range g.Versions {
			resources, err := client.ServerResourcesForGroupVersion(v.GroupVersion)
			if err != nil {
				return nil, fmt.Errorf("list the resources of %s: %w", v.GroupVersion, err)
			}
			for _, r := range resources.APIResources {
				served[schema.GroupVersionResource{Group: g.Name, Version: v.Version, Resource: r.Name}] = true
			}
		}
	}
	return served, nil
}

// objects reads the caches.
func (w *watch) objects() (objects, error) {
	var out objects
	var err error
	if out.services, err = w.core.Core().V1().Services().Lister().List(labels.Everything()); err != nil {
		return objects{}, fmt.Errorf("list Services: %w", err)
	}
	if out.slices, err = w.core.Discovery().V1().EndpointSlices().Lister().List(labels.Everything()); err != nil {
		return objects{}, fmt.Errorf("list EndpointSlices: %w", err)
	}
	w.mu.Lock()
	splits, groups := w.splits, w.groups
	w.mu.Unlock()
	for _, u := range list(splits) {
		out.splits = append(out.splits, smi.ReadSplit(u))
	}
	for _, u := range list(groups) {
		group, err := smi.ReadRouteGroup(u)
		if err != nil {
			// Splits that name it say that it does not exist.
			w.log.Error(err, "An HTTPRouteGroup cannot be read")
			continue
		}
		out.groups = append(out.groups, group)
	}
	return out, nil
}

func list(lister cache.GenericLister) []*unstructured.Unstructured {
	if lister == nil {
		return nil
	}
	items, err := lister.List(labels.Everything())
	if err != nil {
		return nil
	}
	var out []*unstructured.Unstructured
	for _, item := range items {
		if u, ok := item.(*unstructured.Unstructured); ok && u.GetDeletionTimestamp() == nil {
			out = append(out, u)
		}
	}
	return out
}
