package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// eye sees objects as they change. It asks the API server once, is told of changes from then on, and goes on by itself after the API
// server was away.
type eye struct {
	// Reader answers from what was seen last.
	client.Reader
	// changed has an entry whenever something has, or the connection was lost or is there again.
	changed chan struct{}

	// out is where people are told that the API server can't be heard.
	out io.Writer
	// told says that they were, and not yet that it can again.
	told bool

	mu sync.Mutex
	// lost says of what nothing is heard, by the paths of requests, and why.
	lost map[string]error
}

// errDenied says that the user may not see what is to be seen.
var errDenied = errors.New("the API server doesn't let you watch")

// sight is what an eye sees: the Rollouts of a namespace (of all, where it is empty), by name or labels, and further kinds.
type sight struct {
	namespace, name string
	labels          labels.Selector
	kinds           []kind
}

// kind is what is seen besides Rollouts: all objects of a kind, or only some, in the namespace of the Rollouts unless it names another.
type kind struct {
	object    client.Object
	list      client.ObjectList
	namespace string
	only      fields.Selector
}

// named selects what has a name.
func named(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }

// open begins to see, until ctx ends.
func (s *session) open(ctx context.Context, of sight) (*eye, error) {
	config, err := s.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	e := &eye{changed: make(chan struct{}, 1), out: s.ErrOut, lost: map[string]error{}}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &listener{next: next, eye: e} })
	types, err := newScheme()
	if err != nil {
		return nil, err
	}
	mapper, err := newMapper(types)
	if err != nil {
		return nil, err
	}
	rollouts := cache.ByObject{Label: of.labels}
	if of.name != "" {
		rollouts.Field = named(of.name)
	}
	options := cache.Options{
		Scheme: types, Mapper: mapper, ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{&v1alpha1.Rollout{}: rollouts},
	}
	kinds := []client.Object{&v1alpha1.Rollout{}}
	for _, k := range of.kinds {
		kinds = append(kinds, k.object)
		// Who wrote which field takes half of the room, and nobody looks at it.
		by := cache.ByObject{Field: k.only, Transform: cache.TransformStripManagedFields()}
		if k.namespace != "" {
			by.Namespaces = map[string]cache.Config{k.namespace: {}}
		}
		options.ByObject[k.object] = by
	}
	if of.namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{of.namespace: {}}
	}
	seen, err := cache.New(config, options)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", config.Host, err)
	}
	e.Reader = seen
	return e, e.start(ctx, seen, kinds)
}

// start asks for all kinds, and waits until each was answered.
func (e *eye) start(ctx context.Context, seen cache.Cache, kinds []client.Object) error {
	for _, kind := range kinds {
		informer, err := seen.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %T: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { e.tell() },
			UpdateFunc: func(any, any) { e.tell() },
			DeleteFunc: func(any) { e.tell() },
		}); err != nil {
			return fmt.Errorf("watch %T: %w", kind, err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- seen.Start(ctx) }()
	synced := make(chan bool, 1)
	go func() { synced <- seen.WaitForCacheSync(ctx) }()
	for {
		select {
		case ok := <-synced:
			if !ok {
				return errors.Join(ctx.Err(), <-ended)
			}
			e.tellTrouble()
			e.tell()
			return nil
		case <-e.changed:
			// Who may not watch would wait for ever.
			if err := e.trouble(); errors.Is(err, errDenied) {
				return err
			}
			e.tellTrouble()
		}
	}
}

// tell says that there is something new. What nobody has looked at yet needs to be told once only.
func (e *eye) tell() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// trouble says why something is not heard of the API server, first of all where that will not pass; nil while all is well.
func (e *eye) trouble() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found error
	for _, path := range slices.Sorted(maps.Keys(e.lost)) {
		if why := e.lost[path]; found == nil || errors.Is(why, errDenied) && !errors.Is(found, errDenied) {
			found = why
		}
	}
	return found
}

// tellTrouble tells people when the API server can't be heard, and when it can again.
func (e *eye) tellTrouble() {
	trouble := e.trouble()
	switch {
	case trouble != nil && !e.told:
		fmt.Fprintf(e.out, "the API server can't be heard, trying again: %v\n", trouble)
	case trouble == nil && e.told:
		fmt.Fprintln(e.out, "the API server answers again")
	}
	e.told = trouble != nil
}

// hear notes what became of the last request of a path.
func (e *eye) hear(path string, err error) {
	e.mu.Lock()
	_, was := e.lost[path]
	if err == nil {
		delete(e.lost, path)
	} else {
		e.lost[path] = err
	}
	e.mu.Unlock()
	if was != (err != nil) {
		e.tell()
	}
}

// listener hears whether the API server answers.
type listener struct {
	next http.RoundTripper
	eye  *eye
}

// RoundTrip sends a request on.
func (l *listener) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(request)
	path := request.URL.Path
	switch {
	case request.Context().Err() != nil:
	case err != nil:
		l.eye.hear(path, err)
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		l.eye.hear(path, fmt.Errorf("%w: it answers %s to a list or watch of %s", errDenied, response.Status, path))
	case response.StatusCode >= http.StatusInternalServerError:
		l.eye.hear(path, fmt.Errorf("it answers %s", response.Status))
	default:
		l.eye.hear(path, nil)
	}
	return response, err
}

// visible are those kinds that the user may list and watch in a namespace. An eye that is denied one of them would see nothing at all.
func (s *session) visible(ctx context.Context, namespace string, kinds ...kind) ([]kind, error) {
	api, err := s.client()
	if err != nil {
		return nil, err
	}
	var may []kind
	for _, k := range kinds {
		in := namespace
		if k.namespace != "" {
			in = k.namespace
		}
		options := []client.ListOption{client.InNamespace(in), client.Limit(1)}
		if k.only != nil {
			options = append(options, client.MatchingFieldsSelector{Selector: k.only})
		}
		err := api.List(ctx, k.list, options...)
		if err == nil {
			var watched watch.Interface
			// From the list on there is nothing to be sent.
			now := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: k.list.GetResourceVersion()}}
			if watched, err = api.Watch(ctx, k.list, append(options, now)...); err == nil {
				watched.Stop()
			}
		}
		switch {
		case err == nil:
			may = append(may, k)
		case !apierrors.IsForbidden(err):
			return nil, fmt.Errorf("watch %T in namespace %s: %w", k.list, in, err)
		}
	}
	return may, nil
}

// rollout is a Rollout that was found before, as it is now. It is gone also where another one has its name by now.
func (e *eye) rollout(ctx context.Context, found *v1alpha1.Rollout) (*v1alpha1.Rollout, error) {
	now := &v1alpha1.Rollout{}
	err := e.Get(ctx, keyOf(found), now)
	switch {
	case apierrors.IsNotFound(err), err == nil && now.UID != found.UID:
		return nil, errGone
	case err != nil:
		return nil, fmt.Errorf("get Rollout %s/%s: %w", found.Namespace, found.Name, err)
	}
	return now, nil
}

// unseen says whether an error means that the user may not see what was asked for.
func unseen(err error) bool {
	var uncached *cache.ErrResourceNotCached
	return apierrors.IsForbidden(err) || errors.As(err, &uncached)
}

// keyOf names a Rollout.
func keyOf(found metav1.Object) client.ObjectKey {
	return client.ObjectKey{Namespace: found.GetNamespace(), Name: found.GetName()}
}
