package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/weighlock/weighlock/analysis/monitor"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/controller"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/router/smi"
	"github.com/weighlock/weighlock/workload/deployment"
)

var (
	errKilled = errors.New("the process was killed")
	errLost   = errors.New("the answer got lost")
)

// process is one run of the controller: its caches, and all that it keeps in memory. What it writes goes to the API server,
// until it is killed.
type process struct {
	name       string
	lab        *lab
	view       *view
	events     chan string
	reconciler *controller.RolloutReconciler
	monitor    *monitor.Monitor
	stop       context.CancelFunc

	dead bool
	// writes that the API server took.
	writes int
	// onWrite is told of each, before and after it is made; what the latter returns is what the process hears.
	before func(n int)
	after  func(n int) error
	// lags says which kinds the caches don't follow: for as many reconciliations as stale says, or always by as many writes
	// as lag says, but when it must hurry.
	lags       func(schema.GroupKind) bool
	stale, lag int
	hurry      bool
	// behind says that the caches were, in the last reconciliation.
	behind bool
	// heard is the last answer of the monitor that was waited for.
	heard string
}

// mostEvents is how many events of one process there may be.
const mostEvents = 1000

// start runs a controller whose caches show the world as it was at a place in the history.
func (l *lab) start(t *testing.T, name string, upTo int) *process {
	t.Helper()
	recorder := record.NewFakeRecorder(mostEvents)
	p := &process{name: name, lab: l, view: newView(l.history), events: recorder.Events}
	p.view.show(max(upTo, l.begin), nil)
	if l.without {
		p.view.hidden[schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicy"}] = true
	}
	watched, err := monitor.New(table{l}, l.clock, monitor.Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.monitor = watched
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	if l.rollout.Spec.Analysis != nil {
		go func() { _ = watched.Start(ctx) }()
	}
	t.Cleanup(cancel)
	api := p.client()
	expectations := controller.NewExpectations(api, testScheme, l.clock)
	p.reconciler = &controller.RolloutReconciler{
		Client: api,
		Workloads: deployment.New(deployment.Options{
			Reader: api, Live: quickClient, Writer: api, Mapper: kinds, Clock: l.clock,
			Written: expectations.Written, Deleted: expectations.Deleted,
		}),
		Routers: func(spec v1alpha1.RouterSpec, steps []v1alpha1.Step) (router.Router, error) {
			return smi.New(smi.Options{
				Reader: api, Writer: api, Mapper: kinds, Clock: l.clock, Mirror: spec.SMI.Mirror,
				Match:   slices.ContainsFunc(steps, func(s v1alpha1.Step) bool { return len(s.Match) > 0 }),
				Written: expectations.Written, Deleted: expectations.Deleted,
			}), nil
		},
		Monitor: watched, Expectations: expectations, Freshness: controller.NewFreshness(api, quickClient), Events: recorder, Clock: l.clock,
		Metrics: fluxcontroller.Metrics{},
	}
	return p
}

// reconcile looks at the Rollout once.
func (p *process) reconcile(ctx context.Context) (ctrl.Result, error) {
	now := len(p.lab.history.entries)
	switch {
	case p.stale > 0:
		p.stale--
		p.behind = true
		p.view.show(now, p.lags)
	case p.lag > 0 && !p.hurry:
		p.behind = true
		p.view.show(max(now-p.lag, p.lab.begin), nil)
		p.view.show(now, p.lags)
	default:
		p.behind = false
		p.view.show(now, nil)
	}
	return p.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p.lab.rollout)})
}

// write makes a write, unless the process is dead, and notes it in the history.
func (p *process) write(ctx context.Context, obj client.Object, do func() error, note func(context.Context, string, client.Object) error) error {
	if p.dead {
		return errKilled
	}
	if p.before != nil {
		p.before(p.writes + 1)
	}
	if err := do(); err != nil {
		return err
	}
	if err := note(ctx, p.name, obj); err != nil {
		return err
	}
	p.writes++
	if p.after != nil {
		return p.after(p.writes)
	}
	return nil
}

// client reads from the process's caches, and writes to the API server.
func (p *process) client() client.Client {
	return interceptor.NewClient(quickClient, interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
			if p.dead {
				return errKilled
			}
			return p.view.Get(ctx, key, obj)
		},
		List: func(ctx context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if p.dead {
				return errKilled
			}
			return p.view.List(ctx, list, opts...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, config runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			obj, is := config.(client.Object)
			if !is {
				return fmt.Errorf("apply %T: only unstructured objects are noted", config)
			}
			return p.write(ctx, obj, func() error { return c.Apply(ctx, config, opts...) }, p.lab.returned)
		},
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			return p.write(ctx, obj, func() error { return c.Create(ctx, obj, opts...) }, p.lab.returned)
		},
		Update: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
			return p.write(ctx, obj, func() error { return c.Update(ctx, obj, opts...) }, p.lab.returned)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			options := client.PatchOptions{}
			if options.ApplyOptions(opts); len(options.DryRun) > 0 && !p.dead {
				return c.Patch(ctx, obj, patch, opts...)
			}
			return p.write(ctx, obj, func() error { return c.Patch(ctx, obj, patch, opts...) }, p.lab.returned)
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			return p.write(ctx, obj, func() error { return c.Delete(ctx, obj, opts...) }, p.lab.note)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			return p.write(ctx, obj, func() error { return c.SubResource(sub).Patch(ctx, obj, patch, opts...) }, p.lab.returned)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
			return p.write(ctx, obj, func() error { return c.SubResource(sub).Update(ctx, obj, opts...) }, p.lab.note)
		},
	})
}

// returned puts an object into the history as the write returned it. The one that takes the last finalizer off an object which
// is being deleted removes it.
func (l *lab) returned(ctx context.Context, by string, obj client.Object) error {
	if obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 {
		return l.note(ctx, by, obj)
	}
	return l.history.wrote(by, obj)
}

// note reads back what a write made of an object, and puts it into the history.
func (l *lab) note(ctx context.Context, by string, obj client.Object) error {
	kind, err := apiutil.GVKForObject(obj, testScheme)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	key := client.ObjectKeyFromObject(obj)
	err = quickClient.Get(ctx, key, u)
	if apierrors.IsNotFound(err) {
		l.history.add(entry{kind: kind.GroupKind(), name: key, by: by})
		return nil
	}
	if err != nil {
		return err
	}
	return l.history.wrote(by, u)
}

// kinds tells which kinds the cluster serves, and remembers it: by itself a mapper asks again for each that it doesn't know.
var kinds = &mapper{}

type mapper struct {
	meta.RESTMapper
	known sync.Map
}

type mapped struct {
	mappings []*meta.RESTMapping
	err      error
}

// RESTMapping tells whether the cluster serves a kind.
func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	mappings, err := m.remember(fmt.Sprint("one ", kind, versions), func() ([]*meta.RESTMapping, error) {
		mapping, err := quickClient.RESTMapper().RESTMapping(kind, versions...)
		return []*meta.RESTMapping{mapping}, err
	})
	return mappings[0], err
}

// RESTMappings tells in which versions the cluster serves a kind.
func (m *mapper) RESTMappings(kind schema.GroupKind, versions ...string) ([]*meta.RESTMapping, error) {
	return m.remember(fmt.Sprint("all ", kind, versions), func() ([]*meta.RESTMapping, error) {
		return quickClient.RESTMapper().RESTMappings(kind, versions...)
	})
}

func (m *mapper) remember(key string, ask func() ([]*meta.RESTMapping, error)) ([]*meta.RESTMapping, error) {
	if answer, known := m.known.Load(key); known {
		return answer.(mapped).mappings, answer.(mapped).err
	}
	mappings, err := ask()
	if err == nil || meta.IsNoMatchError(err) {
		m.known.Store(key, mapped{mappings, err})
	}
	return mappings, err
}

// kill ends the process: it neither reads nor writes any more.
func (p *process) kill() {
	p.dead = true
	p.stop()
}

// answer waits until the monitor has an answer to what it is asked, and names it.
func (p *process) answer() (string, error) {
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if answer, known := p.monitor.Latest(client.ObjectKeyFromObject(p.lab.rollout).String()); known {
			return answer.Stage, nil
		}
		time.Sleep(time.Millisecond)
	}
	return "", errors.New("the monitor has no answer")
}
