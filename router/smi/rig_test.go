package smi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/router/smi"
)

// rig is a Router on the real API server, with a clock that stands still.
type rig struct {
	testing.TB
	router  *smi.Router
	options smi.Options
	target  router.Target
	clock   *clocktesting.FakeClock
	writes  *journal
	written []client.Object
}

// newRig makes a rig. The options say how SMI is spoken; all else is filled in.
func newRig(tb testing.TB, how smi.Options) *rig {
	tb.Helper()
	r := &rig{
		TB: tb, clock: clocktesting.NewFakeClock(time.Date(2026, 5, 4, 12, 0, 0, 5000, time.UTC)), options: how, writes: &journal{Writer: server},
		target: router.Target{Namespace: newNamespace(tb), Rollout: "checkout", Service: "checkout", Port: 8080},
	}
	informers := startCache(tb, config)
	r.options.Reader, r.options.Index = informers, smi.NewIndex(informers)
	r.options.Mapper, r.options.Writer = newMapper(tb, config), r.writes
	r.options.Clock, r.options.Settle = r.clock, 2*time.Second
	r.options.Written = func(obj client.Object) { r.written = append(r.written, obj) }
	r.router = smi.New(r.options)
	return r
}

// apply writes traffic, and waits until the cache shows it.
func (r *rig) apply(traffic router.Traffic) {
	r.Helper()
	if err := r.router.Apply(r.Context(), r.target, traffic); err != nil {
		r.Fatalf("apply %+v: %v", traffic, err)
	}
	r.awaits(traffic)
}

// awaits waits until the cache shows traffic.
func (r *rig) awaits(traffic router.Traffic) {
	r.Helper()
	eventually(r, "the cache to show the traffic", func() error {
		observed, err := r.router.Observe(r.Context(), r.target)
		if err != nil {
			return err
		}
		if !observed.Matches(traffic) || observed.Progress != traffic.Progress {
			return fmt.Errorf("it shows %+v", observed)
		}
		return nil
	})
}

func (r *rig) observe() router.Observed {
	r.Helper()
	observed, err := r.router.Observe(r.Context(), r.target)
	if err != nil {
		r.Fatalf("observe: %v", err)
	}
	return observed
}

// contested waits until the router says that the route doesn't hold traffic, and names who wrote it.
func (r *rig) contested(traffic router.Traffic, by string) {
	r.Helper()
	eventually(r, "the change to be seen", func() error {
		observed, err := r.router.Observe(r.Context(), r.target)
		if err != nil {
			return err
		}
		if observed.Foreign != by || observed.Matches(traffic) {
			return fmt.Errorf("it observes %+v, and that it matches: %t; want %q to be named", observed, observed.Matches(traffic), by)
		}
		return nil
	})
}

// split reads the TrafficSplit from the API server; nil when there is none.
func (r *rig) split(version, name string) *unstructured.Unstructured {
	r.Helper()
	return r.read(newSplit(version, r.target.Namespace, name))
}

// spec is the spec of the target's TrafficSplit in the newest version.
func (r *rig) spec() any {
	r.Helper()
	got := r.split("v1alpha4", r.target.Service)
	if got == nil {
		return nil
	}
	return got.Object["spec"]
}

func (r *rig) read(u *unstructured.Unstructured) *unstructured.Unstructured {
	r.Helper()
	err := server.Get(context.Background(), client.ObjectKeyFromObject(u), u)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		r.Fatalf("read %s %s: %v", u.GetKind(), u.GetName(), err)
	}
	return u
}

// groups are the HTTPRouteGroups in the namespace, on the API server.
func (r *rig) groups() []unstructured.Unstructured {
	r.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(newGroup("", "").GroupVersionKind())
	if err := server.List(context.Background(), list, client.InNamespace(r.target.Namespace)); err != nil {
		r.Fatalf("list HTTPRouteGroups: %v", err)
	}
	return list.Items
}

// onlyGroup is the one HTTPRouteGroup in the namespace.
func (r *rig) onlyGroup() *unstructured.Unstructured {
	r.Helper()
	groups := r.groups()
	if len(groups) != 1 {
		r.Fatalf("there are %d HTTPRouteGroups, want one: %v", len(groups), groups)
	}
	return &groups[0]
}

// change has somebody change an object.
func (r *rig) change(u *unstructured.Unstructured, edit func(map[string]any)) {
	r.Helper()
	edit(u.Object)
	if err := server.Update(r.Context(), u, client.FieldOwner("somebody")); err != nil {
		r.Fatalf("change %s: %v", u.GetName(), err)
	}
}

func newSplit(version, namespace, name string) *unstructured.Unstructured {
	return newObject(schema.GroupVersionKind{Group: "split.smi-spec.io", Version: version, Kind: "TrafficSplit"}, namespace, name)
}

func newGroup(namespace, name string) *unstructured.Unstructured {
	return newObject(schema.GroupVersionKind{Group: "specs.smi-spec.io", Version: "v1alpha4", Kind: "HTTPRouteGroup"}, namespace, name)
}

func newObject(kind schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// somebodysSplit makes a TrafficSplit that isn't Weighlock's.
func (r *rig) somebodysSplit(name, service string) *unstructured.Unstructured {
	r.Helper()
	u := newSplit("v1alpha2", r.target.Namespace, name)
	u.Object["spec"] = map[string]any{"service": service, "backends": []any{map[string]any{"service": "mine", "weight": int64(1)}}}
	if err := server.Create(r.Context(), u); err != nil {
		r.Fatalf("create TrafficSplit %s: %v", name, err)
	}
	return u
}

func isUnsupported(err error, words ...string) error {
	unsupported := (*router.UnsupportedError)(nil)
	if !errors.As(err, &unsupported) {
		return fmt.Errorf("the error is %w, want an UnsupportedError", err)
	}
	for _, word := range words {
		if !strings.Contains(unsupported.Message, word) {
			return fmt.Errorf("the message %q doesn't say %q", unsupported.Message, word)
		}
	}
	return nil
}

// step is the traffic of a weight step.
func step(weight int32, progress string) router.Traffic {
	return router.Traffic{Incumbent: "checkout-workload", Candidate: "checkout-abc", Weight: weight, Total: 100, Progress: progress}
}

// tenant is the traffic of a step that matches a tenant.
func tenant(name, progress string) router.Traffic {
	traffic := step(0, progress)
	traffic.Match = []v1alpha1.RequestMatch{{Headers: []v1alpha1.HeaderMatch{{Name: "X-Tenant", Exact: name}}}}
	return traffic
}

// journal is a writer to the API server that notes each write which changes something, and stops writing after some of them, as a process does
// that is killed.
type journal struct {
	client.Writer
	lines []string
	// killedAfter is how many more writes there are; none if nil.
	killedAfter *int
}

var errKilled = errors.New("killed")

func (j *journal) note(verb string, obj client.Object, rehearsal bool, write func() error) error {
	if !rehearsal && j.killedAfter != nil {
		if *j.killedAfter == 0 {
			return errKilled
		}
		*j.killedAfter--
	}
	if err := write(); err != nil {
		return err
	}
	if !rehearsal {
		j.lines = append(j.lines, verb+" "+obj.GetObjectKind().GroupVersionKind().Kind)
	}
	return nil
}

func (j *journal) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	rehearsal := len((&client.CreateOptions{}).ApplyOptions(opts).DryRun) > 0
	return j.note("create", obj, rehearsal, func() error { return j.Writer.Create(ctx, obj, opts...) })
}

func (j *journal) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	rehearsal := len((&client.PatchOptions{}).ApplyOptions(opts).DryRun) > 0
	return j.note("patch", obj, rehearsal, func() error { return j.Writer.Patch(ctx, obj, patch, opts...) })
}

func (j *journal) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	return j.note("delete", obj, false, func() error { return j.Writer.Delete(ctx, obj, opts...) })
}

// take returns the lines so far, and begins anew.
func (j *journal) take() string {
	lines := strings.Join(j.lines, ", ")
	j.lines = nil
	return lines
}

// lagging is a cache that goes on showing what it showed when it was made.
type lagging struct {
	client.Reader
	splits, groups []unstructured.Unstructured
}

func (r *rig) lagging() lagging {
	r.Helper()
	l := lagging{Reader: r.options.Reader}
	for kind, into := range map[string]*[]unstructured.Unstructured{"TrafficSplit": &l.splits, "HTTPRouteGroup": &l.groups} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(newSplit("v1alpha4", "", "").GroupVersionKind())
		if kind == "HTTPRouteGroup" {
			list.SetGroupVersionKind(newGroup("", "").GroupVersionKind())
		}
		if err := r.options.Reader.List(r.Context(), list, client.InNamespace(r.target.Namespace)); err != nil {
			r.Fatalf("list %s: %v", kind, err)
		}
		*into = list.Items
	}
	return l
}

func (l lagging) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	for _, item := range l.splits {
		if item.GetName() == key.Name {
			item.DeepCopyInto(obj.(*unstructured.Unstructured))
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func (l lagging) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	out := list.(*unstructured.UnstructuredList)
	out.Items = l.splits
	if out.GroupVersionKind().Group == "specs.smi-spec.io" {
		out.Items = l.groups
	}
	return nil
}
