package deployment

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

const (
	// policyField is what Weighlock owns of the workload's autoscaler while a rollout runs.
	policyField = "spec.behavior.scaleDown.selectPolicy"
	// policyDefault is what the API server fills in for it, policyDisabled what keeps all pods.
	policyDefault  = "Max"
	policyDisabled = "Disabled"
	// contest is how long Weighlock doesn't write that field again after somebody took it back. Two writers
	// that don't know of each other would go on for ever, as fast as they can.
	contest = time.Minute
	// defaultWindow is how far autoscalers look back that don't say how far.
	defaultWindow = 5 * time.Minute
)

// Guard has the workload's autoscaler take no pods away. It needs patch on horizontalpodautoscalers.
//
// Only this one field is owned, and nothing is remembered: when Weighlock gives it up, the API server takes it
// away again, and all else is as it was.
func (a *Adapter) Guard(ctx context.Context, ref workload.Reference) error {
	p, err := a.protection(ctx, ref)
	if err != nil {
		return err
	}
	if problem := a.unguardable(p); problem != nil {
		return &workload.ProblemError{Problem: *problem}
	}
	for _, scaler := range p.scalers {
		if policyOf(scaler) == policyDisabled {
			continue
		}
		want := map[string]any{"behavior": map[string]any{"scaleDown": map[string]any{"selectPolicy": policyDisabled}}}
		written, err := a.applyAutoscaler(ctx, ref, scaler, want)
		if err != nil {
			return fmt.Errorf("keep the autoscaler from taking pods away: %w", err)
		}
		a.noteGuard(scaler.GetUID(), written.GetResourceVersion())
	}
	return nil
}

// Unguard gives back what Guard took, and what raising the workload's size may have left. It needs patch on
// horizontalpodautoscalers and deployments.
func (a *Adapter) Unguard(ctx context.Context, ref workload.Reference) error {
	p, err := a.protection(ctx, ref)
	if err != nil {
		return err
	}
	if p.deployment != nil && raised(p.deployment) {
		if err := a.giveUpSize(ctx, object(deploymentKind, ref.Namespace, ref.Name)); err != nil {
			return err
		}
	}
	for _, scaler := range p.scalers {
		if !guards(scaler) {
			continue
		}
		if _, err := a.applyAutoscaler(ctx, ref, scaler, nil); err != nil {
			return fmt.Errorf("let the autoscaler take pods away again: %w", err)
		}
		a.forgetGuard(scaler.GetUID())
	}
	return nil
}

// applyAutoscaler writes what Weighlock owns of somebody's autoscaler, on the very object that was looked at. Who
// may own it too was looked at before, so it is forced.
func (a *Adapter) applyAutoscaler(ctx context.Context, ref workload.Reference, scaler *unstructured.Unstructured, spec map[string]any) (*unstructured.Unstructured, error) {
	u := object(autoscalerKind, ref.Namespace, scaler.GetName())
	u.SetUID(scaler.GetUID())
	u.SetResourceVersion(scaler.GetResourceVersion())
	if spec != nil {
		u.Object["spec"] = spec
	}
	err := a.writer.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(v1alpha1.FieldManager), client.ForceOwnership)
	if err != nil {
		return nil, fmt.Errorf("apply %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	// The label is not on the object: it tells whoever waits for caches on whose behalf it was written.
	u.SetLabels(withLabel(u.GetLabels(), v1alpha1.LabelRollout, naming.LabelValue(ref.Rollout)))
	a.written(u)
	return u, nil
}

// unguardable says why the workload's autoscaler can't be kept from taking pods away; nil when it can be, or
// need not be.
func (a *Adapter) unguardable(p *protection) *workload.Problem {
	problem := func(format string, args ...any) *workload.Problem {
		return &workload.Problem{Reason: v1alpha1.ReasonAutoscalerNotGuardable, Message: fmt.Sprintf(format, args...)}
	}
	if len(p.scalers) > 1 {
		return problem("HorizontalPodAutoscalers %s and %s both scale Deployment %s: delete one of them",
			p.scalers[0].GetName(), p.scalers[1].GetName(), p.ref.Name)
	}
	if len(p.scalers) == 0 || policyOf(p.scalers[0]) == policyDisabled {
		return nil
	}
	scaler := p.scalers[0]
	name, value := scaler.GetName(), policyOf(scaler)
	if owner := metav1.GetControllerOfNoCopy(scaler); owner != nil {
		return problem("HorizontalPodAutoscaler %s is written by %s %s, which would undo what Weighlock sets: have that set %s to Disabled while rollouts run (pods must stay for a rollback), or let go of the autoscaler",
			name, owner.Kind, owner.Name, policyField)
	}
	by, fixed := claimOf(scaler)
	switch {
	case value != "" && value != policyDefault:
		return problem("%s of HorizontalPodAutoscaler %s is %s, set by %s: Weighlock must set it to Disabled while a rollout runs, and does so only where it has its default: take it out of what %s applies (the default is %s)",
			policyField, name, value, by, by, policyDefault)
	case fixed:
		return problem("%s of HorizontalPodAutoscaler %s is said by %s, and Weighlock must set it to Disabled while a rollout runs: take it out of what %s applies (the default is %s)",
			policyField, name, by, by, policyDefault)
	case a.guardedLately(scaler):
		return problem("%s of HorizontalPodAutoscaler %s was Disabled by Weighlock, and %s took that back: keep %s from writing the field while a rollout runs",
			policyField, name, by, by)
	}
	return nil
}

// autoscaler is what an observation says of the workload's autoscaler. One that never takes pods away by somebody
// else's will needs no guard, and is none.
func (p *protection) autoscaler() *workload.Autoscaler {
	var found *workload.Autoscaler
	for _, scaler := range p.scalers {
		guarded := guards(scaler)
		if !guarded && (found != nil || policyOf(scaler) == policyDisabled) {
			continue
		}
		found = &workload.Autoscaler{Name: scaler.GetName(), Guarded: guarded, Window: windowOf(scaler)}
		if guarded {
			break
		}
	}
	return found
}

// guards says that Weighlock keeps the autoscaler from taking pods away.
func guards(scaler *unstructured.Unstructured) bool {
	return policyOf(scaler) == policyDisabled && slices.ContainsFunc(scaler.GetManagedFields(), isGuard)
}

func isGuard(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == v1alpha1.FieldManager && entry.Operation == metav1.ManagedFieldsOperationApply && owns(entry, policyPath...)
}

// claimOf is the manager of the policy field, other than Weighlock, and whether what it applies names that
// field: else the API server filled it in, or it was written once.
func claimOf(scaler *unstructured.Unstructured) (manager string, fixed bool) {
	manager = "kubectl apply"
	for _, entry := range scaler.GetManagedFields() {
		if entry.Manager == v1alpha1.FieldManager || !owns(entry, policyPath...) {
			continue
		}
		manager = entry.Manager
		if entry.Operation == metav1.ManagedFieldsOperationApply {
			return manager, true
		}
	}
	return manager, scaler.GetAnnotations()[annotationNamesPolicy] != ""
}

// guardWrite is when an autoscaler was guarded, and its version by that write.
type guardWrite struct {
	at      time.Time
	version string
}

// noteGuard remembers that an autoscaler was guarded, for as long as that matters.
func (a *Adapter) noteGuard(uid types.UID, version string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for other, write := range a.guarded {
		if a.clock.Since(write.at) > contest {
			delete(a.guarded, other)
		}
	}
	a.guarded[uid] = guardWrite{a.clock.Now(), version}
}

func (a *Adapter) forgetGuard(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.guarded, uid)
}

// guardedLately says that an autoscaler, of which a later version is not guarded, was guarded so lately that whoever
// has undone it may be at it again.
func (a *Adapter) guardedLately(scaler *unstructured.Unstructured) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	write, ok := a.guarded[scaler.GetUID()]
	if !ok || a.clock.Since(write.at) > contest {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(scaler.GetResourceVersion(), write.version)
	return err == nil && order > 0
}
