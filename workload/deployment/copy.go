package deployment

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

// Copy makes the Deployment that runs a recorded revision, and its track service. What differs in one that
// exists is set right. It needs create and patch on deployments and services.
func (a *Adapter) Copy(ctx context.Context, ref workload.Reference, state *workload.State, revision string, replicas int32) error {
	deployment, err := a.deployment(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return err
	}
	if deployment == nil {
		return &workload.ProblemError{Problem: *workloadNotFound(ref)}
	}
	root, err := a.root(ctx, ref)
	if err != nil {
		return err
	}
	existing, err := a.ownCopy(ctx, ref, revision)
	if err != nil {
		return err
	}
	template, err := a.templateFor(ctx, ref, state, revision)
	if err != nil {
		return err
	}
	near, err := a.surroundings(ctx, ref, deployment, root)
	if err != nil {
		return err
	}
	apart, problem := chooseEscape(ref, deployment, root, near, revision)
	if existing != nil {
		// The selector of a Deployment can't be changed, whatever would be chosen now.
		if written, ok := escapeOf(deployment, existing); ok {
			apart, problem = written, nil
		}
	}
	if problem != nil {
		return &workload.ProblemError{Problem: *problem}
	}
	version := ""
	if existing != nil {
		if replicas, version, err = a.sizeFor(ctx, ref, existing, replicas); err != nil {
			return err
		}
	}
	if existing == nil || differs(existing, template, apart, replicas) {
		u := renderCopy(ref, deployment, template, apart, revision)
		u.SetResourceVersion(version)
		if err := a.noteConfig(ctx, existing, u); err != nil {
			return err
		}
		// Before there are pods, which would be open, or cut off.
		if err := a.permit(ctx, ref, revision, podLabels(u)); err != nil {
			return err
		}
		if err := a.applyCopy(ctx, existing, u, replicas); err != nil {
			return err
		}
	}
	selector := withLabel(root.Spec.Selector, apart.Key, apart.To)
	selector[v1alpha1.LabelTrack] = copyName(ref, revision)
	return a.applyService(ctx, ref, root, copyServiceName(ref, revision), selector, copyLabels(ref, revision))
}

// DeleteCopy removes a copy and what was made along with it. The copy itself is the last to go: while it is there it is
// known that something is left to do. It needs list on pods, and delete on deployments, services,
// networkpolicies, horizontalpodautoscalers and poddisruptionbudgets.
func (a *Adapter) DeleteCopy(ctx context.Context, ref workload.Reference, revision string) error {
	existing, err := a.deployment(ctx, ref.Namespace, copyName(ref, revision))
	if err != nil {
		return err
	}
	if err := a.unprotect(ctx, ref, revision); err != nil {
		return err
	}
	if err := a.removeService(ctx, ref, copyServiceName(ref, revision)); err != nil {
		return err
	}
	if err := a.bequeath(ctx, ref, revision); err != nil {
		return err
	}
	if existing == nil || !ours(existing, ref) || existing.GetDeletionTimestamp() != nil {
		return nil
	}
	return a.remove(ctx, existing)
}

// ownCopy reads the copy of a revision; nil when there is none. An object of that name which isn't ours
// is a ProblemError.
func (a *Adapter) ownCopy(ctx context.Context, ref workload.Reference, revision string) (*unstructured.Unstructured, error) {
	existing, err := a.deployment(ctx, ref.Namespace, copyName(ref, revision))
	if err != nil || existing == nil {
		return nil, err
	}
	if !ours(existing, ref) || existing.GetLabels()[v1alpha1.LabelRevision] != revision {
		return nil, &workload.ProblemError{Problem: *nameTaken(ref, "Deployment", existing.GetName())}
	}
	return existing, nil
}

// applyCopy writes the copy u over existing, if that isn't nil.
func (a *Adapter) applyCopy(ctx context.Context, existing, u *unstructured.Unstructured, replicas int32) error {
	if existing != nil {
		u.SetUID(existing.GetUID())
	}
	if err := unstructured.SetNestedField(u.Object, int64(replicas), "spec", "replicas"); err != nil {
		return fmt.Errorf("size the copy %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}
	return a.apply(ctx, u, existing != nil)
}

// templateFor is the template of a revision: the recorded one, or the workload's own where its record
// was only just written.
func (a *Adapter) templateFor(ctx context.Context, ref workload.Reference, state *workload.State, revision string) (map[string]any, error) {
	records, err := a.records(ctx, ref)
	if err != nil {
		return nil, err
	}
	if record, ok := records[revision]; ok {
		return record.Content, nil
	}
	if state != nil && state.Template.Revision == revision && state.Template.Content != nil {
		return state.Template.Content, nil
	}
	return nil, fmt.Errorf("copy revision %s of %s/%s: %w", revision, ref.Namespace, ref.Name, errNotRecorded)
}

var errNotRecorded = errors.New("its template is not recorded")

// differs says that a copy isn't what it should be.
func differs(existing *unstructured.Unstructured, template map[string]any, apart escape, replicas int32) bool {
	paused, _, _ := unstructured.NestedBool(existing.Object, "spec", "paused")
	if paused || number(existing, "spec", "replicas") != int64(replicas) {
		return true
	}
	want, wantErr := RevisionOf(template)
	have, haveErr := RevisionOf(apart.back(templateOf(existing)))
	return wantErr != nil || haveErr != nil || want != have
}

// renderCopy is the copy of deployment that runs template: under other labels, and with nothing of the
// workload's own metadata, by which other tools would take it for theirs.
func renderCopy(ref workload.Reference, deployment *unstructured.Unstructured, template map[string]any, apart escape, revision string) *unstructured.Unstructured {
	name := copyName(ref, revision)
	u := object(deploymentKind, ref.Namespace, name)
	u.SetLabels(copyLabels(ref, revision))

	selector := map[string]any{}
	for key, value := range withLabel(selectorLabels(deployment), apart.Key, apart.To) {
		selector[key] = value
	}
	selector[v1alpha1.LabelTrack] = name
	full := map[string]any{"matchLabels": selector}
	if expressions := list(deployment.Object, "spec", "selector", "matchExpressions"); len(expressions) > 0 {
		full["matchExpressions"] = runtime.DeepCopyJSONValue(expressions)
	}

	content := apart.forward(canonical(template))
	labels, _, _ := unstructured.NestedMap(content, "metadata", "labels")
	if labels == nil {
		labels = map[string]any{}
	}
	for key, value := range copyLabels(ref, revision) {
		labels[key] = value
	}
	metadata, _ := content["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["labels"] = labels
	content["metadata"] = metadata

	spec := map[string]any{
		"selector": full, "template": content,
		"paused": false, "revisionHistoryLimit": int64(0),
	}
	for _, field := range []string{"strategy", "minReadySeconds", "progressDeadlineSeconds"} {
		if value, ok, _ := unstructured.NestedFieldCopy(deployment.Object, "spec", field); ok {
			spec[field] = value
		}
	}
	u.Object["spec"] = spec
	return u
}

// copyLabels are on a copy, on its pods, and on its track service.
func copyLabels(ref workload.Reference, revision string) map[string]string {
	return map[string]string{
		v1alpha1.LabelRollout:  naming.LabelValue(ref.Rollout),
		v1alpha1.LabelRevision: revision,
		v1alpha1.LabelTrack:    copyName(ref, revision),
	}
}

// withLabel is a copy of labels in which key has another value.
func withLabel(labels map[string]string, key, value string) map[string]string {
	out := make(map[string]string, len(labels)+1)
	maps.Copy(out, labels)
	out[key] = value
	return out
}
