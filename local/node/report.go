package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/weighlock/weighlock/local/node/podstatus"
)

// reportRetry is how soon a status that the server did not take is sent again.
const reportRetry = 200 * time.Millisecond

// report brings the pod's status to the server whenever it has changed.
func (w *worker) report(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.dirty:
		}
		err := w.push(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		w.node.Log.Error("Status not reported", "pod", w.key.String(), "err", err)
		time.AfterFunc(reportRetry, func() { signal(w.dirty) })
	}
}

// push sends the status if it differs from what the server has.
func (w *worker) push(ctx context.Context) error {
	pod, status := w.status()
	if equality.Semantic.DeepEqual(pod.Status, status) {
		return nil
	}
	patch, err := statusPatch(pod, status)
	if err != nil {
		return fmt.Errorf("make a patch of the status: %w", err)
	}
	got, err := w.node.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	// Gone, or one of the same name in its place: the cache will tell.
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patch the status: %w", err)
	}
	w.take(got)
	return nil
}

// status computes the status, and returns it with the pod that it is for.
func (w *worker) status() (*corev1.Pod, corev1.PodStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	collect := func(containers []*container) []podstatus.Container {
		var all []podstatus.Container
		for _, c := range containers {
			all = append(all, c.status)
		}
		return all
	}
	return w.pod, podstatus.Compute(podstatus.Input{
		Pod:      w.pod,
		PodIP:    w.facts.PodIP,
		HostIP:   w.facts.HostIP,
		Start:    w.start,
		Init:     collect(w.init),
		Main:     collect(w.main),
		Stopping: w.stopping,
		Now:      metav1.Now(),
	})
}

// statusPatch is what changes, with the pod's UID, so that it is refused by
// another pod of that name.
func statusPatch(pod *corev1.Pod, status corev1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(corev1.Pod{Status: pod.Status})
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: status})
	if err != nil {
		return nil, err
	}
	return strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
}

// finish reports how the containers ended and takes the pod away.
func (w *worker) finish(ctx context.Context, reported bool) {
	if !reported {
		if err := w.push(ctx); err != nil {
			w.node.Log.Error("Last status not reported", "pod", w.key.String(), "err", err)
		}
	}
	var now int64
	for {
		err := w.node.Client.CoreV1().Pods(w.key.Namespace).Delete(ctx, w.key.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now,
			Preconditions:      &metav1.Preconditions{UID: &w.uid},
		})
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || ctx.Err() != nil {
			return
		}
		w.node.Log.Error("Pod not taken away", "pod", w.key.String(), "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(reportRetry):
		}
	}
}

// cleanUp removes the pod's folders.
func (w *worker) cleanUp() {
	if err := w.volumes.Remove(); err != nil {
		w.node.Log.Error("Volumes left behind", "pod", w.key.String(), "err", err)
	}
	if err := os.RemoveAll(filepath.Join(w.node.State, string(w.uid))); err != nil {
		w.node.Log.Error("Folder left behind", "pod", w.key.String(), "err", err)
	}
}
