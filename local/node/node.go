// Package node is the local stack's node: a scheduler that binds every pod to
// it, and a kubelet stand-in that runs containers as processes. A container's
// image only picks the program from a fixed list; its command, arguments,
// environment, volumes, probes and lifecycle are honoured, its security context
// is not (but for readOnlyRootFilesystem), nor are sidecars among the init
// containers, exec probes and hooks, and limits of resources.
//
// What a pod's goroutines do:
//
//	informer --> reconcile --> worker.update        a pod was bound, changed, deleted
//	worker.run        volumes, init containers, main containers, end of the pod
//	container.run     start --> probes --> end --> back-off --> start ...
//	worker.report     one status patch whenever something has changed
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/dns"
)

const (
	// reconcilers is how many pods are looked at side by side.
	reconcilers = 8
	// endTimeout is how long the pods' processes may take when the node ends.
	endTimeout = 2 * time.Second
)

// Program is what runs in place of an image.
type Program struct {
	// Path is the program's, Args come before the container's own.
	Path string
	Args []string
}

// Options say what node to be.
type Options struct {
	Client kubernetes.Interface
	// Name is the Node's. Default "local".
	Name string
	// Programs are what can be run, by image without tag.
	Programs map[string]Program
	// Logs is a folder that gets a file for each container, State one for
	// volumes and root folders.
	Logs, State string
	// ClusterDNS is the address in the pods' resolv.conf; the node serves
	// there itself if ServeDNS is set.
	ClusterDNS string
	ServeDNS   bool
	// RestartBase is the first back-off of a container that ends again and
	// again; it doubles up to 5 minutes. Default 10 s, as a kubelet's.
	RestartBase time.Duration
	// Helper is the command line that runs the hidden container command.
	Helper []string
	Log    *slog.Logger
}

// node is a node that runs.
type node struct {
	Options
	pods      corelisters.PodLister
	objects   *objects
	addresses *addresses
	recorder  record.EventRecorder
	queue     workqueue.TypedRateLimitingInterface[types.NamespacedName]

	mu      sync.Mutex
	workers map[types.UID]*worker
	running sync.WaitGroup
}

// Run is the node until the context ends; its pods' processes end with it.
func Run(ctx context.Context, options Options) error {
	if options.Name == "" {
		options.Name = "local"
	}
	if options.RestartBase == 0 {
		options.RestartBase = 10 * time.Second
	}
	if err := register(ctx, options.Client, options.Name); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(options.Client, 0)
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: options.Client.CoreV1().Events("")})
	defer broadcaster.Shutdown()
	n := &node{
		Options: options,
		pods:    factory.Core().V1().Pods().Lister(),
		objects: &objects{
			client:     options.Client,
			configMaps: factory.Core().V1().ConfigMaps().Lister(),
			secrets:    factory.Core().V1().Secrets().Lister(),
		},
		addresses: newAddresses(),
		recorder:  broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: options.Name}),
		queue:     workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](20*time.Millisecond, 10*time.Second)),
		workers:   map[types.UID]*worker{},
	}
	if err := n.watch(factory); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok && ctx.Err() == nil {
			return fmt.Errorf("list %s: the cache did not fill", kind)
		}
	}
	n.keepAddresses()
	return n.serve(ctx)
}

// watch has changes of pods, and of what their volumes hold, looked at.
func (n *node) watch(factory informers.SharedInformerFactory) error {
	enqueue := func(object any) {
		key, err := cache.DeletionHandlingObjectToName(object)
		if err == nil {
			n.queue.Add(types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
		}
	}
	_, podsErr := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
		DeleteFunc: enqueue,
	})
	resync := func(object any) {
		if key, err := cache.DeletionHandlingObjectToName(object); err == nil {
			n.resync(key.Namespace)
		}
	}
	sources := cache.ResourceEventHandlerFuncs{
		AddFunc:    resync,
		UpdateFunc: func(_, object any) { resync(object) },
		DeleteFunc: resync,
	}
	_, mapsErr := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(sources)
	_, secretsErr := factory.Core().V1().Secrets().Informer().AddEventHandler(sources)
	if err := errors.Join(podsErr, mapsErr, secretsErr); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	return nil
}

// keepAddresses leaves their addresses to pods that a former node has started.
func (n *node) keepAddresses() {
	for _, key := range n.keys() {
		pod, err := n.pods.Pods(key.Namespace).Get(key.Name)
		if err == nil && pod.Spec.NodeName == n.Name && pod.Status.PodIP != "" {
			n.addresses.keep(pod.UID, pod.Status.PodIP)
		}
	}
}

// keys are those of all pods that are known.
func (n *node) keys() []types.NamespacedName {
	pods, err := n.pods.List(everything)
	if err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for _, pod := range pods {
		keys = append(keys, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	}
	return keys
}

func (n *node) serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return heartbeat(ctx, n.Client, n.Name, n.Log) })
	if n.ServeDNS {
		group.Go(func() error { return dns.Run(ctx, dns.Options{Client: n.Client, Listen: address.DNS}) })
	}
	for range reconcilers {
		group.Go(func() error {
			for n.next(ctx) {
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		n.queue.ShutDown()
		return nil
	})
	err := group.Wait()
	n.end()
	return err
}

// next reconciles one pod; it says false when there will be no more.
func (n *node) next(ctx context.Context) bool {
	key, closed := n.queue.Get()
	if closed {
		return false
	}
	defer n.queue.Done(key)
	if err := n.reconcile(ctx, key); err != nil {
		if ctx.Err() == nil {
			n.Log.Error("Pod not taken care of", "pod", key.String(), "err", err)
		}
		n.queue.AddRateLimited(key)
		return true
	}
	n.queue.Forget(key)
	return true
}

// reconcile binds a pod that has no node, and hands one of this node to its
// worker.
func (n *node) reconcile(ctx context.Context, key types.NamespacedName) error {
	pod, err := n.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		n.vanish(key, "")
		return nil
	}
	if err != nil {
		return err
	}
	n.vanish(key, pod.UID)
	switch {
	case pod.Spec.NodeName == n.Name:
		n.hand(ctx, pod)
		return nil
	case pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0:
		return nil
	}
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: n.Name},
	}
	err = n.Client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
	// Gone, or bound a moment ago: the cache will tell.
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("bind it to the node: %w", err)
	}
	return nil
}

// hand gives a pod to its worker, which is started if need be.
func (n *node) hand(ctx context.Context, pod *corev1.Pod) {
	n.mu.Lock()
	w, ok := n.workers[pod.UID]
	if !ok {
		w = newWorker(n, pod)
		n.workers[pod.UID] = w
		n.running.Go(func() {
			w.run(ctx)
			n.addresses.release(pod.UID)
			n.mu.Lock()
			defer n.mu.Unlock()
			// One whose pod is still there would be started again by the
			// next event; it stays, until the pod is gone.
			w.ended = true
			if w.isGone() {
				delete(n.workers, pod.UID)
			}
		})
	}
	n.mu.Unlock()
	w.update(pod)
}

// vanish stops at once what runs for pods of that name but of another identity.
func (n *node) vanish(key types.NamespacedName, except types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for uid, w := range n.workers {
		if w.key == key && uid != except {
			w.vanish()
			if w.ended {
				delete(n.workers, uid)
			}
		}
	}
}

// resync has the volumes of a namespace's pods brought up to date.
func (n *node) resync(namespace string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.workers {
		if w.key.Namespace == namespace {
			signal(w.resync)
		}
	}
}

// end waits for the pods' processes, which the end of the context has stopped.
func (n *node) end() {
	ended := make(chan struct{})
	go func() {
		n.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(endTimeout):
	}
}

// signal wakes whoever reads a channel with room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
