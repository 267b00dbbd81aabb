// Package observe looks at a rollout from outside, as any user can: through
// the Kubernetes API and the mesh's own report.
package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/mesh"
	"github.com/weighlock/weighlock/local/mesh/xds"
)

// The kinds that are looked at.
var (
	Rollouts      = schema.GroupVersionResource{Group: "weighlock.dev", Version: "v1alpha1", Resource: "rollouts"}
	GitSources    = schema.GroupVersionResource{Group: "weighlock.dev", Version: "v1alpha1", Resource: "gitsources"}
	TrafficSplits = schema.GroupVersionResource{Group: "split.smi-spec.io", Version: "v1alpha2", Resource: "trafficsplits"}
	Deployments   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	decisions     = schema.GroupVersionResource{Group: "weighlock.dev", Version: "v1alpha1", Resource: "decisions"}
	events        = schema.GroupVersionResource{Version: "v1", Resource: "events"}
)

const (
	rolloutLabel       = "weighlock.dev/rollout"
	progressAnnotation = "weighlock.dev/progress"
	writtenAnnotation  = "weighlock.dev/written-at"
	statusTimeout      = 2 * time.Second
	// look is how often it is looked when something is waited for.
	look = 100 * time.Millisecond
)

// Observer looks at one Rollout, the Service and GitSource of its name, and
// all that was made for it.
type Observer struct {
	Client    dynamic.Interface
	namespace string
	name      string
	port      uint16
	http      *http.Client
	seen      map[string]int
}

// View is what there is to see at one moment.
type View struct {
	At time.Time
	// Rollout, Source and Progress are nil while there is none.
	Rollout  *Rollout
	Source   *GitSource
	Progress *Progress
	// Copies are the names of the Deployments made for the Rollout.
	Copies []string
	// Route is what Envoy does with requests to the Service.
	Route xds.RouteReport
	// Events are those that no earlier look saw, the oldest first.
	Events []Event
}

// New makes an observer of a Rollout whose Service has that port.
func New(config *rest.Config, namespace, name string, port uint16) (*Observer, error) {
	config = rest.CopyConfig(config)
	// It looks a few times a second, and must not be throttled for that.
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &Observer{
		Client: client, namespace: namespace, name: name, port: port,
		http: &http.Client{Timeout: statusTimeout},
		seen: map[string]int{},
	}, nil
}

// Look takes a look.
func (o *Observer) Look(ctx context.Context) (View, error) {
	view := View{At: time.Now()}
	var err error
	if view.Rollout, err = get[Rollout](ctx, o, Rollouts); err != nil {
		return View{}, err
	}
	if view.Source, err = get[GitSource](ctx, o, GitSources); err != nil {
		return View{}, err
	}
	if view.Progress, err = o.progress(ctx); err != nil {
		return View{}, err
	}
	if view.Copies, err = o.copies(ctx); err != nil {
		return View{}, err
	}
	if view.Events, err = o.events(ctx); err != nil {
		return View{}, err
	}
	report, err := mesh.ReadStatus(ctx, o.http, address.MeshStatus)
	if err != nil {
		return View{}, err
	}
	view.Route, _ = report.Route(o.namespace, o.name, o.port)
	return view, nil
}

// Until looks until a view is as it should be, which is when check says nil, and
// returns that one. Views that can't be had are only an error when time is over.
func (o *Observer) Until(ctx context.Context, timeout time.Duration, check func(View) error) (View, error) {
	for deadline := time.Now().Add(timeout); ; {
		view, err := o.Look(ctx)
		if err == nil {
			err = check(view)
		}
		if err == nil {
			return view, nil
		}
		if time.Now().After(deadline) {
			return View{}, fmt.Errorf("%s are over: %w", timeout, err)
		}
		select {
		case <-ctx.Done():
			return View{}, ctx.Err()
		case <-time.After(look):
		}
	}
}

func (o *Observer) progress(ctx context.Context) (*Progress, error) {
	route, err := get[split](ctx, o, TrafficSplits)
	if err != nil || route == nil {
		return nil, err
	}
	text, ok := route.Metadata.Annotations[progressAnnotation]
	if !ok {
		return nil, nil //nolint:nilnil // somebody else's
	}
	var progress Progress
	if err := json.Unmarshal([]byte(text), &progress); err != nil {
		return nil, fmt.Errorf("read the progress of %s: %w", o.name, err)
	}
	if progress.WrittenAt, err = time.Parse(time.RFC3339Nano, route.Metadata.Annotations[writtenAnnotation]); err != nil {
		return nil, fmt.Errorf("read when the route of %s was written: %w", o.name, err)
	}
	return &progress, nil
}

func (o *Observer) copies(ctx context.Context) ([]string, error) {
	list, err := o.Client.Resource(Deployments).Namespace(o.namespace).List(ctx, metav1.ListOptions{LabelSelector: rolloutLabel + "=" + o.name})
	if err != nil {
		return nil, fmt.Errorf("list the copies of %s: %w", o.name, err)
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].GetName())
	}
	return names, nil
}

func (o *Observer) events(ctx context.Context) ([]Event, error) {
	list, err := o.Client.Resource(events).Namespace(o.namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=Rollout,involvedObject.name=" + o.name})
	if err != nil {
		return nil, fmt.Errorf("list the events of %s: %w", o.name, err)
	}
	var fresh []Event
	for i := range list.Items {
		var event Event
		if err := convert(&list.Items[i], &event); err != nil {
			return nil, err
		}
		if times := max(event.Count, 1); times > o.seen[event.Metadata.UID] {
			o.seen[event.Metadata.UID] = times
			fresh = append(fresh, event)
		}
	}
	slices.SortStableFunc(fresh, func(a, b Event) int { return a.Metadata.CreationTimestamp.Compare(b.Metadata.CreationTimestamp) })
	return fresh, nil
}

// get reads the object of the Rollout's name; nil when there is none.
func get[T any](ctx context.Context, o *Observer, kind schema.GroupVersionResource) (*T, error) {
	object, err := o.Client.Resource(kind).Namespace(o.namespace).Get(ctx, o.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind.Resource, o.name, err)
	}
	out := new(T)
	return out, convert(object, out)
}

func convert(from json.Marshaler, to any) error {
	text, err := from.MarshalJSON()
	if err != nil {
		return fmt.Errorf("read an object: %w", err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("read an object: %w", err)
	}
	return nil
}
