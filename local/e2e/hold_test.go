package e2e_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
)

// It takes the admission policy that all tests share away, as on a cluster
// before Kubernetes 1.36, so it runs alone.
func TestHold_IsForGoodWithoutTheAdmissionPolicy(t *testing.T) {
	good, bad := newRig(t, "always-good"), newRig(t, "always-bad")
	good.edit, bad.edit = shorter, shorter
	good.withoutPolicy()
	before := map[*rig]map[types.UID]int32{good: good.running(), bad: bad.running()}
	goodUsers, badUsers := good.users(load.Options{Rate: 100}), bad.users(load.Options{Rate: 100})
	for r, pods := range before {
		r.commit(shop.Version{Name: "1"})
		r.idle()
		r.alwaysHeld()
		r.samePods(pods)
	}

	commit := good.commit(shop.Version{Name: "2"})
	bad.commit(shop.Version{Name: "2", ErrorRate: 0.1})
	good.inStep("a-tenth")
	good.samePods(before[good])
	bad.rolledBack()
	good.promoted(commit)
	for r := range before {
		r.alwaysHeld()
	}
	// A rejected version is held as well, and its pods never start.
	time.Sleep(2 * time.Second)
	bad.samePods(before[bad])
	unharmed(t, goodUsers.stop())
	unharmed(t, badUsers.stop(), "2")
	good.served("2")
	bad.served("1")
}

// running has the shop run, without a Rollout yet, and returns its pods.
func (r *rig) running() map[types.UID]int32 {
	r.t.Helper()
	r.host()
	files := r.files(shop.Version{Name: "1"})
	delete(files, "rollout.yaml")
	if _, err := r.repository.CommitFiles(r.t.Context(), files, "Without Weighlock"); err != nil {
		r.t.Fatal(err)
	}
	r.follow()
	r.served("1")
	r.until("all pods to be ready", func(observe.View) error { return r.ready(3) })
	return r.pods()
}

// alwaysHeld waits until the workload is paused, and the status says that it
// always is.
func (r *rig) alwaysHeld() {
	r.t.Helper()
	r.until("the workload to be held for good", func(v observe.View) error {
		if v.Rollout == nil || v.Rollout.Status.Hold != "Always" {
			return errors.New("the status does not say so")
		}
		if !r.deployment().Spec.Paused {
			return errors.New("it is not paused")
		}
		return nil
	})
}

func (r *rig) deployment() *appsv1.Deployment {
	r.t.Helper()
	deployment, err := r.cluster.AppsV1().Deployments(r.namespace).Get(r.t.Context(), shop.Name, metav1.GetOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	return deployment
}

// withoutPolicy takes the policy and its binding away until the test ends.
func (r *rig) withoutPolicy() {
	r.t.Helper()
	const name = "weighlock-hold"
	api := r.cluster.AdmissionregistrationV1()
	if err := api.MutatingAdmissionPolicyBindings().Delete(r.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		r.t.Fatal(err)
	}
	if err := api.MutatingAdmissionPolicies().Delete(r.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		r.t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(running.Root, "kustomize", "base", "admission.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx := context.WithoutCancel(r.t.Context())
	r.t.Cleanup(func() {
		if err := running.Apply(ctx, manifest); err != nil {
			r.t.Errorf("put the policy back: %v", err)
			return
		}
		r.policyBack(ctx)
	})
}

// policyBack waits until the API server goes by the policy again.
func (r *rig) policyBack(ctx context.Context) {
	r.t.Helper()
	client := r.cluster.AppsV1().Deployments(r.namespace)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		deployment, err := client.Get(ctx, shop.Name, metav1.GetOptions{})
		if err != nil {
			continue
		}
		deployment.Spec.Paused = false
		deployment.Spec.Template.Annotations = map[string]string{"tried": "yes"}
		tried, err := client.Update(ctx, deployment, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && tried.Spec.Paused {
			return
		}
	}
	r.t.Error("the policy is not in force again")
}
