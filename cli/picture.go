package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// picture is what there is to show of a Rollout at a moment.
type picture struct {
	rollout *v1alpha1.Rollout
	tracks  []track
	now     time.Time
	// again is what the user must say again in another command, such as " -n shop".
	again string
	wide  bool
}

// track is a Deployment that a revision runs on, and its pods.
type track struct {
	// role is incumbent, candidate or workload.
	role string
	// revision that runs there, where the status tells.
	revision *v1alpha1.RevisionStatus
	// deployment is nil where there is none.
	deployment *appsv1.Deployment
	pods       []corev1.Pod
	// unseen says why the pods can't be told.
	unseen string
}

// The roles of tracks.
const (
	roleIncumbent = "incumbent"
	roleCandidate = "candidate"
	roleWorkload  = "workload"
)

// take looks at a Rollout's tracks. What the user may not see is said, and is no error.
func take(ctx context.Context, api client.Reader, rollout *v1alpha1.Rollout) ([]track, error) {
	status := rollout.Status
	var tracks []track
	if status.Incumbent != nil {
		tracks = append(tracks, track{role: roleIncumbent, revision: status.Incumbent})
	}
	if status.Candidate != nil {
		tracks = append(tracks, track{role: roleCandidate, revision: status.Candidate})
	}
	onWorkload := func(t track) bool { return t.revision.Track == rollout.Spec.Workload.Name }
	if !slices.ContainsFunc(tracks, onWorkload) {
		tracks = append(tracks, track{role: roleWorkload})
	}
	for i := range tracks {
		if err := tracks[i].look(ctx, api, rollout); err != nil {
			return nil, err
		}
	}
	return tracks, nil
}

// look finds the track's Deployment and pods.
func (t *track) look(ctx context.Context, api client.Reader, rollout *v1alpha1.Rollout) error {
	name := rollout.Spec.Workload.Name
	if t.revision != nil {
		name = t.revision.Track
	}
	if name == "" {
		return nil
	}
	deployment := &appsv1.Deployment{}
	err := api.Get(ctx, client.ObjectKey{Namespace: rollout.Namespace, Name: name}, deployment)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case unseen(err):
		t.unseen = "you may not get Deployments in namespace " + rollout.Namespace
		return nil
	case err != nil:
		return fmt.Errorf("get Deployment %s/%s: %w", rollout.Namespace, name, err)
	}
	t.deployment = deployment
	selector, err := metav1.LabelSelectorAsSelector(deployment.Spec.Selector)
	if err != nil {
		return fmt.Errorf("read the selector of Deployment %s/%s: %w", rollout.Namespace, name, err)
	}
	pods := &corev1.PodList{}
	err = api.List(ctx, pods, client.InNamespace(rollout.Namespace), client.MatchingLabelsSelector{Selector: selector})
	if unseen(err) {
		t.unseen = "you may not list pods in namespace " + rollout.Namespace
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the pods of Deployment %s/%s: %w", rollout.Namespace, name, err)
	}
	t.pods = pods.Items
	slices.SortFunc(t.pods, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(podOrder(&a), podOrder(&b)), cmp.Compare(a.Name, b.Name))
	})
	return nil
}

// podOrder puts first what is wrong, and last what is on its way out.
func podOrder(pod *corev1.Pod) int {
	switch {
	case pod.DeletionTimestamp != nil:
		return 2
	case podReady(pod):
		return 1
	}
	return 0
}
