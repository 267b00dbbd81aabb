package deployment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

// Protect gives a copy an autoscaler after the workload's, which only adds pods, and disruption budgets after those
// that select the workload's pods. What the workload has no more, the copy loses. It needs create, patch and delete on
// horizontalpodautoscalers and poddisruptionbudgets.
//
// The Deployment that is the copy owns them, so that nobody who deletes it by hand leaves them behind.
func (a *Adapter) Protect(ctx context.Context, ref workload.Reference, revision string) error {
	copied, err := a.ownCopy(ctx, ref, revision)
	if err != nil {
		return err
	}
	if copied == nil {
		return fmt.Errorf("protect the copy %s/%s: there is none", ref.Namespace, copyName(ref, revision))
	}
	p, err := a.protection(ctx, ref)
	if err != nil {
		return err
	}
	wanted := p.wanted(copied)
	for _, want := range wanted {
		key := twinKey{want.GetKind(), want.GetName()}
		if p.taken[key] {
			return &workload.ProblemError{Problem: *nameTaken(ref, key.kind, key.name)}
		}
		twin := p.twins[key]
		if upToDate(twin, want) {
			continue
		}
		if twin != nil {
			want.SetUID(twin.GetUID())
			want.SetResourceVersion(twin.GetResourceVersion())
		}
		if err := a.apply(ctx, want, twin != nil); err != nil {
			return err
		}
	}
	for _, left := range p.leftovers(copied, wanted) {
		if err := a.remove(ctx, left.DeepCopy()); err != nil {
			return err
		}
	}
	return nil
}

// unprotect removes what Protect made. Deleted after the copy, an autoscaler would have tried to scale what is gone.
func (a *Adapter) unprotect(ctx context.Context, ref workload.Reference, revision string) error {
	for _, kind := range protectionKinds {
		all := &unstructured.UnstructuredList{}
		all.SetGroupVersionKind(kind)
		of := client.MatchingLabels{v1alpha1.LabelRollout: naming.LabelValue(ref.Rollout), v1alpha1.LabelTrack: copyName(ref, revision)}
		if err := a.list(ctx, ref, all, of); err != nil {
			return err
		}
		for i := range all.Items {
			if all.Items[i].GetDeletionTimestamp() != nil {
				continue
			}
			if err := a.remove(ctx, &all.Items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// protects says whether a copy has all that it should, as it should be, and nothing else, and whether an autoscaler of
// its own adds to its replicas.
func (p *protection) protects(copied *unstructured.Unstructured) (all, scaled bool) {
	wanted := p.wanted(copied)
	all = len(p.leftovers(copied, wanted)) == 0
	for _, want := range wanted {
		all = all && upToDate(p.twins[twinKey{want.GetKind(), want.GetName()}], want)
	}
	return all, p.scales(copied)
}

// scales says that a copy has an autoscaler of its own.
func (p *protection) scales(copied *unstructured.Unstructured) bool {
	for key, twin := range p.twins {
		if key.kind == autoscalerKind.Kind && isTwinOf(twin, copied) {
			return true
		}
	}
	return false
}

func isTwinOf(twin, copied *unstructured.Unstructured) bool {
	return twin.GetLabels()[v1alpha1.LabelTrack] == copied.GetName()
}

// leftovers are the twins of a copy that are not wanted.
func (p *protection) leftovers(copied *unstructured.Unstructured, wanted []*unstructured.Unstructured) []*unstructured.Unstructured {
	keep := map[twinKey]bool{}
	for _, want := range wanted {
		keep[twinKey{want.GetKind(), want.GetName()}] = true
	}
	var left []*unstructured.Unstructured
	for key, twin := range p.twins {
		if isTwinOf(twin, copied) && !keep[key] && twin.GetDeletionTimestamp() == nil {
			left = append(left, twin)
		}
	}
	return left
}

// wanted are the twins that a copy should have. Of two autoscalers of the workload, which fight, none is followed.
func (p *protection) wanted(copied *unstructured.Unstructured) []*unstructured.Unstructured {
	var wanted []*unstructured.Unstructured
	if len(p.scalers) == 1 {
		scaler := p.scalers[0]
		twin := p.render(scaler, copied)
		stamp(twin, p.scalerSpec(scaler, copied))
		p.size(twin, scaler, copied)
		wanted = append(wanted, twin)
	}
	for _, budget := range p.budgets {
		twin := p.render(budget, copied)
		spec := specOf(budget)
		spec["selector"] = map[string]any{"matchLabels": map[string]any{v1alpha1.LabelTrack: copied.GetName()}}
		stamp(twin, spec)
		wanted = append(wanted, twin)
	}
	return wanted
}

// render is an empty twin of original for a copy.
func (p *protection) render(original, copied *unstructured.Unstructured) *unstructured.Unstructured {
	revision := copied.GetLabels()[v1alpha1.LabelRevision]
	twin := object(original.GroupVersionKind(), p.ref.Namespace, naming.Join(original.GetName(), revision))
	twin.SetLabels(copyLabels(p.ref, revision))
	twin.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: deploymentKind.GroupVersion().String(), Kind: deploymentKind.Kind, Name: copied.GetName(), UID: copied.GetUID(),
	}})
	return twin
}

// stamp gives twin its spec, and the hash of that.
func stamp(twin *unstructured.Unstructured, spec map[string]any) {
	twin.Object["spec"] = spec
	if data, err := json.Marshal(spec); err == nil {
		twin.SetAnnotations(map[string]string{annotationTwin: naming.Hash(data, revisionLength)})
	}
}

// specOf is a copy of an object's spec.
func specOf(u *unstructured.Unstructured) map[string]any {
	spec, _ := u.Object["spec"].(map[string]any)
	return runtime.DeepCopyJSON(spec)
}

// scalerSpec is what the twin of an autoscaler asks for, but for sizes.
//
// Metrics of pods are of those that the target selects, the copy's. Where the metric of a pod or an object is chosen
// by the label that tells a copy's pods apart, or is that of the Deployment itself, it is the copy's too. Metrics of
// the Service or of things outside the cluster stay: of what is there once, both follow the whole.
func (p *protection) scalerSpec(scaler, copied *unstructured.Unstructured) map[string]any {
	spec := specOf(scaler)
	delete(spec, "minReplicas")
	delete(spec, "maxReplicas")
	spec["scaleTargetRef"] = map[string]any{
		"apiVersion": deploymentKind.GroupVersion().String(), "kind": deploymentKind.Kind, "name": copied.GetName(),
	}
	behavior, _ := spec["behavior"].(map[string]any)
	if behavior == nil {
		behavior = map[string]any{}
	}
	down, _ := behavior["scaleDown"].(map[string]any)
	if down == nil {
		down = map[string]any{}
	}
	down["selectPolicy"] = policyDisabled
	behavior["scaleDown"] = down
	spec["behavior"] = behavior
	apart, ok := escapeOf(p.deployment, copied)
	if !ok {
		return spec
	}
	for _, metric := range list(spec, "metrics") {
		fields, _ := metric.(map[string]any)
		for _, kind := range []string{"pods", "object"} {
			source, _ := fields[kind].(map[string]any)
			identifier, _ := source["metric"].(map[string]any)
			relabelSelector(map[string]any{"labelSelector": identifier["selector"]}, apart.Key, apart.From, apart.To)
			described, _ := source["describedObject"].(map[string]any)
			if described["kind"] == deploymentKind.Kind && described["name"] == p.ref.Name {
				described["name"] = copied.GetName()
			}
		}
	}
	return spec
}

// size gives the twin of an autoscaler its bounds. An autoscaler takes pods away that are above its maximum, whatever
// its policy is, so that must not be below what is there; the minimum is what was there at first.
func (p *protection) size(twin, scaler, copied *unstructured.Unstructured) {
	least := replicas(copied)
	if existing := p.twins[twinKey{twin.GetKind(), twin.GetName()}]; existing != nil {
		least = count(existing, "spec", "minReplicas")
	}
	least = max(least, count(scaler, "spec", "minReplicas"))
	most := max(count(scaler, "spec", "maxReplicas"), replicas(copied), least)
	spec, _ := twin.Object["spec"].(map[string]any)
	spec["minReplicas"], spec["maxReplicas"] = int64(least), int64(most)
}

// upToDate says that a twin is what it should be: it holds all that is wanted, and was written for just that. It may
// hold more, which the API server filled in.
func upToDate(twin, want *unstructured.Unstructured) bool {
	return twin != nil && twin.GetDeletionTimestamp() == nil &&
		twin.GetAnnotations()[annotationTwin] == want.GetAnnotations()[annotationTwin] &&
		holds(twin.Object["spec"], want.Object["spec"]) &&
		labels.SelectorFromSet(want.GetLabels()).Matches(labels.Set(twin.GetLabels())) &&
		slices.ContainsFunc(twin.GetOwnerReferences(), func(owner metav1.OwnerReference) bool {
			return owner.UID == want.GetOwnerReferences()[0].UID
		})
}

// holds says that have has all that is in want.
func holds(have, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		for key := range want {
			ok = ok && holds(have[key], want[key])
		}
		return ok
	case []any:
		have, ok := have.([]any)
		ok = ok && len(have) == len(want)
		for i := range want {
			ok = ok && holds(have[i], want[i])
		}
		return ok
	default:
		return equalJSON(have, want)
	}
}
