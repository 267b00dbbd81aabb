package e2e_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
)

func TestRollout_AdoptsAndLeavesAWorkloadWithoutRestartingAPod(t *testing.T) {
	t.Parallel()
	r := newRig(t, "adopted")
	example := r.files(shop.Version{Name: "1"})
	r.mustApply(example["shop.yaml"])
	r.served("1")
	r.until("all pods to be ready", func(observe.View) error { return r.ready(3) })
	before := r.pods()
	stop := r.load(100)

	r.mustApply(example["rollout.yaml"])
	r.idle()
	r.samePods(before)

	if err := r.observer.Client.Resource(observe.Rollouts).Namespace(r.namespace).Delete(t.Context(), shop.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.until("the Rollout and its route to be gone", func(v observe.View) error {
		if v.Rollout != nil || v.Progress != nil {
			return errors.New("they are not")
		}
		return nil
	})
	time.Sleep(2 * time.Second)
	unharmed(t, stop())
	r.samePods(before)
	r.untouched()
}

func (r *rig) ready(want int32) error {
	deployment, err := r.cluster.AppsV1().Deployments(r.namespace).Get(r.t.Context(), shop.Name, metav1.GetOptions{})
	if err == nil && deployment.Status.AvailableReplicas != want {
		err = errors.New("they are not")
	}
	return err
}

// untouched fails the test if anything of Weighlock's is left.
func (r *rig) untouched() {
	r.t.Helper()
	deployment, err := r.cluster.AppsV1().Deployments(r.namespace).Get(r.t.Context(), shop.Name, metav1.GetOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	if deployment.Spec.Paused || len(deployment.Labels) > 0 || slices.ContainsFunc(deployment.ManagedFields, func(f metav1.ManagedFieldsEntry) bool { return f.Manager == "weighlock" }) {
		r.t.Errorf("the Deployment is paused: %v, with labels %v, fields of %v", deployment.Spec.Paused, deployment.Labels, deployment.ManagedFields)
	}
	if _, err := r.cluster.CoreV1().Services(r.namespace).Get(r.t.Context(), shop.Name+"-workload", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		r.t.Errorf("the track service is left (%v)", err)
	}
	records, err := r.cluster.AppsV1().ControllerRevisions(r.namespace).List(r.t.Context(), metav1.ListOptions{})
	if err != nil || len(records.Items) > 0 {
		r.t.Errorf("%d template records are left (%v)", len(records.Items), err)
	}
}

func TestRollout_LeavesARejectedVersionPausedWhenDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t, "left")
	r.open()
	before := r.pods()
	stop := r.load(200)
	r.commit(shop.Version{Name: "2", ErrorRate: 0.5})
	r.rolledBack()
	// The Rollout leaves git, and with it the cluster.
	if _, err := r.repository.Remove(t.Context(), "rollout.yaml", "Without Weighlock"); err != nil {
		t.Fatal(err)
	}
	r.until("the Rollout to be gone", func(v observe.View) error {
		if v.Rollout != nil {
			return errors.New("it is not")
		}
		return nil
	})
	time.Sleep(2 * time.Second)
	unharmed(t, stop(), "2")
	r.samePods(before)
	r.served("1")
}
