// Package mesh is a service mesh control plane for one Envoy that listens on
// the cluster addresses of Services, as a node proxy does. It takes traffic
// from Services, EndpointSlices and SMI's TrafficSplit and HTTPRouteGroup to
// Envoy, and knows nothing of who writes them.
package mesh

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"github.com/weighlock/weighlock/local/mesh/routing"
	"github.com/weighlock/weighlock/local/mesh/smi"
	"github.com/weighlock/weighlock/local/mesh/xds"
)

// coalesce is how long events are gathered before the table is made anew: a
// Deployment that scales changes many objects within a few milliseconds.
const coalesce = 10 * time.Millisecond

// Options are what a mesh is started with.
type Options struct {
	// Config reaches the API server.
	Config *rest.Config
	Log    logr.Logger
	// XDS is the address that Envoy connects to.
	XDS string
	// Status is the address of the mesh's own report.
	Status string
}

// Run runs the mesh until the context ends or a part of it fails.
func Run(ctx context.Context, o Options) error {
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return fmt.Errorf("make a Kubernetes client: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfig(o.Config)
	if err != nil {
		return fmt.Errorf("make a dynamic client: %w", err)
	}
	var listen net.ListenConfig
	xdsListener, err := listen.Listen(ctx, "tcp", o.XDS)
	if err != nil {
		return fmt.Errorf("listen for Envoy: %w", err)
	}
	defer xdsListener.Close()
	statusListener, err := listen.Listen(ctx, "tcp", o.Status)
	if err != nil {
		return fmt.Errorf("listen for status requests: %w", err)
	}
	defer statusListener.Close()

	broadcaster := record.NewBroadcaster(record.WithContext(logr.NewContext(ctx, o.Log)))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	defer broadcaster.Shutdown()
	m := &mesh{
		log:       o.Log,
		watch:     newWatch(client, dynamicClient, o.Log),
		publisher: xds.NewPublisher(xds.Options{Log: o.Log}),
		splits:    smi.NewTranslator(),
		problems: problems{
			log:      o.Log,
			recorder: broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "mesh"}),
		},
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.watch.run(ctx) })
	group.Go(func() error { return m.publish(ctx) })
	group.Go(func() error { return m.publisher.Run(ctx) })
	group.Go(func() error { return m.publisher.Serve(ctx, xdsListener) })
	group.Go(func() error { return m.serveStatus(ctx, statusListener) })
	return group.Wait()
}

type mesh struct {
	log       logr.Logger
	watch     *watch
	publisher *xds.Publisher
	splits    *smi.Translator
	problems  problems
}

// publish makes a table of what the caches hold whenever they changed. The
// first one waits for all of them: an Envoy that outlived a former mesh would
// otherwise be told to forget what it does.
func (m *mesh) publish(ctx context.Context) error {
	select {
	case <-m.watch.synced:
	case <-ctx.Done():
		return nil
	}
	for {
		if err := m.translate(ctx); err != nil {
			return err
		}
		select {
		case <-m.watch.changed:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(coalesce):
		case <-ctx.Done():
			return nil
		}
		m.watch.drained()
	}
}

func (m *mesh) translate(ctx context.Context) error {
	objects, err := m.watch.objects()
	if err != nil {
		return err
	}
	services := routing.NewServices(objects.services, objects.slices)
	table := routing.NewTable(services)
	found := m.splits.Translate(table, services, objects.splits, objects.groups)
	m.publisher.Publish(ctx, table)
	m.problems.report(found)
	return nil
}
