package node

import (
	"context"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weighlock/weighlock/local/node/downward"
	"github.com/weighlock/weighlock/local/node/podstatus"
	"github.com/weighlock/weighlock/local/node/volume"
)

// volumeRetry is how soon missing volumes are tried again, if nothing that
// they are made from changes before.
const volumeRetry = time.Second

// worker runs one pod.
type worker struct {
	node    *node
	key     types.NamespacedName
	uid     types.UID
	volumes *volume.Set
	facts   downward.Facts
	start   metav1.Time
	// ended is guarded by the node's lock.
	ended bool

	// stop ends when the pod is to end, kill when its time for that is over.
	stop, kill       context.Context //nolint:containedctx // they are the pod's states
	stopNow, killNow context.CancelFunc
	// resync asks for the volumes, and dirty for the status, to be brought up
	// to date.
	resync, dirty chan struct{}

	mu         sync.Mutex
	pod        *corev1.Pod
	init, main []*container
	grace      time.Duration
	stopping   bool
	gone       bool
}

func newWorker(n *node, pod *corev1.Pod) *worker {
	w := &worker{
		node:    n,
		key:     types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name},
		uid:     pod.UID,
		volumes: volume.New(filepath.Join(n.State, string(pod.UID), "volumes"), n.objects),
		facts:   downward.Facts{PodIP: n.addresses.hold(pod.UID), HostIP: hostIP, Allocatable: allocatable},
		start:   metav1.Now(),
		resync:  make(chan struct{}, 1),
		dirty:   make(chan struct{}, 1),
		pod:     pod,
	}
	if pod.Spec.HostNetwork {
		w.facts.PodIP = hostIP
	}
	if pod.Status.StartTime != nil {
		w.start = *pod.Status.StartTime
	}
	w.stop, w.stopNow = context.WithCancel(context.Background())
	w.kill, w.killNow = context.WithCancel(context.Background()) //nolint:gosec // end cancels it
	for _, spec := range pod.Spec.InitContainers {
		w.init = append(w.init, newContainer(w, spec, pod.Status.InitContainerStatuses))
	}
	for _, spec := range pod.Spec.Containers {
		w.main = append(w.main, newContainer(w, spec, pod.Status.ContainerStatuses))
	}
	return w
}

// update takes a newer state of the pod.
func (w *worker) update(pod *corev1.Pod) {
	w.take(pod)
	if pod.DeletionTimestamp != nil {
		grace := corev1.DefaultTerminationGracePeriodSeconds * time.Second
		if pod.DeletionGracePeriodSeconds != nil {
			grace = time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
		}
		w.end(grace)
	}
	signal(w.dirty)
	signal(w.resync)
}

// take keeps a pod if it is newer than the one that is known: what the cache
// says may be older than what the server has answered.
func (w *worker) take(pod *corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	have, haveErr := strconv.ParseUint(w.pod.ResourceVersion, 10, 64)
	got, gotErr := strconv.ParseUint(pod.ResourceVersion, 10, 64)
	if haveErr == nil && gotErr == nil && got < have {
		return
	}
	w.pod = pod
}

// end has the pod stopped, within the time given from now on.
func (w *worker) end(grace time.Duration) {
	w.mu.Lock()
	first := !w.stopping
	if !first && grace >= w.grace {
		w.mu.Unlock()
		return
	}
	w.stopping, w.grace = true, grace
	w.mu.Unlock()
	time.AfterFunc(grace, w.killNow)
	if first {
		w.stopNow()
		signal(w.dirty)
	}
}

// vanish ends a pod that is no longer there.
func (w *worker) vanish() {
	w.mu.Lock()
	w.gone = true
	w.mu.Unlock()
	w.end(0)
}

func (w *worker) isGone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// run runs the pod to its end, or until the node ends.
func (w *worker) run(ctx context.Context) {
	nodeEnds := context.AfterFunc(ctx, func() { w.end(endTimeout) })
	defer nodeEnds()
	phase := w.current().Status.Phase
	finished := phase == corev1.PodSucceeded || phase == corev1.PodFailed
	var helpers sync.WaitGroup
	background, stopBackground := context.WithCancel(ctx)
	if !finished {
		helpers.Go(func() { w.report(background) })
		if w.awaitVolumes(ctx) {
			helpers.Go(func() { w.refreshVolumes(background) })
			w.runContainers() //nolint:contextcheck // a pod outlives the node's context by its grace period
		}
	}
	// A pod that is done waits to be deleted.
	<-w.stop.Done()
	stopBackground()
	helpers.Wait()
	if ctx.Err() == nil && !w.isGone() {
		w.finish(ctx, finished)
	}
	w.cleanUp()
}

// runContainers runs the init containers one by one and then the others, until
// none will run again.
func (w *worker) runContainers() {
	for _, c := range w.init {
		c.run()
		if w.stop.Err() != nil || !c.succeeded() {
			return
		}
	}
	var all sync.WaitGroup
	for _, c := range w.main {
		all.Go(c.run)
	}
	all.Wait()
}

// awaitVolumes makes the volumes; it says false when the pod is to end before.
func (w *worker) awaitVolumes(ctx context.Context) bool {
	for {
		_, err := w.volumes.Sync(ctx, w.current(), w.facts)
		if err == nil {
			return true
		}
		w.event(corev1.EventTypeWarning, "FailedMount", err.Error())
		for _, c := range append(append([]*container{}, w.init...), w.main...) {
			c.waits("ContainerCreating", err.Error())
		}
		select {
		case <-w.stop.Done():
			return false
		case <-w.resync:
		case <-time.After(volumeRetry):
		}
	}
}

// refreshVolumes keeps the volumes up to date: when what they are made from
// changes, and before their tokens end.
func (w *worker) refreshVolumes(ctx context.Context) {
	for {
		renewal, err := w.volumes.Sync(ctx, w.current(), w.facts)
		if err != nil && ctx.Err() == nil {
			w.event(corev1.EventTypeWarning, "FailedMount", err.Error())
			renewal = time.Now().Add(volumeRetry)
		}
		var due <-chan time.Time
		if !renewal.IsZero() {
			due = time.After(max(time.Until(renewal), volumeRetry))
		}
		select {
		case <-ctx.Done():
			return
		case <-w.resync:
		case <-due:
		}
	}
}

// current is the pod as it is known.
func (w *worker) current() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod
}

// set changes what is known of a container.
func (w *worker) set(c *container, change func(*podstatus.Container)) {
	w.mu.Lock()
	change(&c.status)
	w.mu.Unlock()
	signal(w.dirty)
}

func (w *worker) event(kind, reason, message string) {
	w.node.recorder.Event(w.current(), kind, reason, message)
}
