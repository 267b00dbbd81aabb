package deployment

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
)

// trimPod keeps when a pod got ready. Only copies' pods are in caches.
func trimPod(in any) (any, error) {
	pod, ok := in.(*corev1.Pod)
	if !ok {
		return in, nil
	}
	trimmed := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion, Labels: pod.Labels,
		CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
	}}
	if ready := readyCondition(pod); ready != nil {
		trimmed.Status.Conditions = []corev1.PodCondition{{Type: ready.Type, Status: ready.Status, LastTransitionTime: ready.LastTransitionTime}}
	}
	return trimmed, nil
}

func readyCondition(pod *corev1.Pod) *corev1.PodCondition {
	index := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
	if index < 0 {
		return nil
	}
	return &pod.Status.Conditions[index]
}

// samePods says whether two states of a pod tell the same.
func samePods(one, other *corev1.Pod) bool {
	return equality.Semantic.DeepEqual(one.Status.Conditions, other.Status.Conditions) && equality.Semantic.DeepEqual(one.Labels, other.Labels)
}

// gatherReadiness finds out when the pods of copies that are ready got so, by the copies' names.
func (a *Adapter) gatherReadiness(ctx context.Context, s *seen) error {
	if len(s.copies) == 0 {
		return nil
	}
	pods := &corev1.PodList{}
	if err := a.list(ctx, s.ref, pods, client.MatchingLabels{v1alpha1.LabelRollout: naming.LabelValue(s.ref.Rollout)}, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	s.readySince = map[string][]time.Time{}
	for i := range pods.Items {
		if ready := readyCondition(&pods.Items[i]); ready != nil && ready.Status == corev1.ConditionTrue {
			track := pods.Items[i].Labels[v1alpha1.LabelTrack]
			s.readySince[track] = append(s.readySince[track], ready.LastTransitionTime.Time)
		}
	}
	for _, times := range s.readySince {
		slices.SortFunc(times, time.Time.Compare)
	}
	return nil
}
