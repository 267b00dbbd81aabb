package deployment

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

// Adopt puts the label and the claim on the Deployment, and the claim on the root Service. It needs patch
// on deployments and services.
func (a *Adapter) Adopt(ctx context.Context, ref workload.Reference, state *workload.State) error {
	// The Service first: whether both are claimed is told by the workload alone.
	if err := a.claimService(ctx, ref, true); err != nil {
		return fmt.Errorf("claim the root service: %w", err)
	}
	if state.Adopted {
		return nil
	}
	if err := a.applyWorkload(ctx, ref, state, intent{adopted: true, paused: kept(state)}); err != nil {
		return fmt.Errorf("adopt the workload: %w", err)
	}
	return nil
}

// Disown takes the label and the claims off again. With a reason it leaves the Deployment paused, and
// annotates why. State is nil when the workload is gone. It needs patch on deployments and services.
func (a *Adapter) Disown(ctx context.Context, ref workload.Reference, state *workload.State, reason string) error {
	if err := a.claimService(ctx, ref, false); err != nil {
		return fmt.Errorf("give up the root service: %w", err)
	}
	if state == nil || (!state.Adopted && reason == "") {
		return nil
	}
	want := intent{paused: kept(state), left: reason}
	if reason != "" {
		want.paused = new(true)
	}
	if err := a.applyWorkload(ctx, ref, state, want); err != nil {
		return fmt.Errorf("disown the workload: %w", err)
	}
	return nil
}

// Hold pauses the Deployment under Weighlock's name. It needs patch on deployments.
func (a *Adapter) Hold(ctx context.Context, ref workload.Reference, state *workload.State) error {
	if state.Paused && state.Held {
		return nil
	}
	if err := a.applyWorkload(ctx, ref, state, intent{adopted: state.Adopted, paused: new(true)}); err != nil {
		return fmt.Errorf("hold the workload: %w", err)
	}
	return nil
}

// Release lifts the pause, whoever set it. It needs patch on deployments.
//
// Weighlock goes on owning the field: giving it up would take a second write, and if the admission policy
// had paused the Deployment in between, that write would lift the new pause.
func (a *Adapter) Release(ctx context.Context, ref workload.Reference, state *workload.State) error {
	if !state.Paused {
		return nil
	}
	if err := a.applyWorkload(ctx, ref, state, intent{adopted: state.Adopted, paused: new(false)}); err != nil {
		return fmt.Errorf("release the workload: %w", err)
	}
	return nil
}

// intent is all that Weighlock wants to own on a workload: a field that an apply leaves out is given up,
// and if nobody else owns it, it is gone.
type intent struct {
	adopted bool
	paused  *bool
	left    string
}

// kept is the pause as it is where Weighlock owns it: not naming it would lift it.
func kept(state *workload.State) *bool {
	if !state.Held {
		return nil
	}
	return new(true)
}

// applyWorkload writes intent on the very object that was looked at.
func (a *Adapter) applyWorkload(ctx context.Context, ref workload.Reference, state *workload.State, want intent) error {
	u := object(deploymentKind, ref.Namespace, ref.Name)
	u.SetUID(types.UID(state.UID))
	u.SetResourceVersion(state.ResourceVersion)
	if want.adopted {
		u.SetLabels(map[string]string{v1alpha1.LabelHeld: naming.LabelValue(ref.Rollout)})
		u.SetAnnotations(map[string]string{v1alpha1.AnnotationClaim: ref.UID})
	}
	if want.left != "" {
		u.SetAnnotations(map[string]string{v1alpha1.AnnotationLeft: want.left})
	}
	if want.paused != nil {
		u.Object["spec"] = map[string]any{"paused": *want.paused}
	}
	return a.apply(ctx, u, true)
}

// claimService writes the Rollout's claim on the root Service, or takes it off.
func (a *Adapter) claimService(ctx context.Context, ref workload.Reference, claim bool) error {
	root := &corev1.Service{}
	found, err := a.get(ctx, ref.Namespace, ref.Service, root)
	if err != nil || !found {
		return err
	}
	if claimed := root.Annotations[v1alpha1.AnnotationClaim] == ref.UID; claimed == claim {
		return nil
	}
	u := object(serviceKind, ref.Namespace, ref.Service)
	u.SetUID(root.UID)
	if claim {
		u.SetAnnotations(map[string]string{v1alpha1.AnnotationClaim: ref.UID})
	}
	return a.apply(ctx, u, true)
}
