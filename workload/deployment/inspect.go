package deployment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// findingsManager owns what Inspect writes. An apply says all that its manager wants of an object: under a name
// of its own the findings need not repeat the copy, whose size an autoscaler may be changing meanwhile.
const findingsManager = v1alpha1.FieldManager + "-inspect"

// findings are what Inspect found.
type findings struct {
	// Changed are the ConfigMaps and Secrets that changed in place since the copy was made.
	Changed []string `json:"changed,omitempty"`
	// Others are the objects that apply to the workload's pods and not to the copy's.
	Others []string `json:"others,omitempty"`
}

// Inspect looks at what is not watched, because watching it would take much memory or the permission to list
// Secrets, and keeps on the copy what it finds. It needs get on configmaps and secrets, list on the kinds of
// others.go, and patch on deployments; kinds that it may not read are left out.
func (a *Adapter) Inspect(ctx context.Context, ref workload.Reference, revision string) error {
	existing, err := a.ownCopy(ctx, ref, revision)
	if err != nil || existing == nil || existing.GetDeletionTimestamp() != nil {
		return err
	}
	found := findings{}
	if found.Changed, err = a.changedConfig(ctx, existing); err != nil {
		return fmt.Errorf("inspect the copy %s/%s: %w", ref.Namespace, existing.GetName(), err)
	}
	if found.Others, err = a.othersNow(ctx, ref, existing); err != nil {
		return fmt.Errorf("inspect the copy %s/%s: %w", ref.Namespace, existing.GetName(), err)
	}
	text := ""
	if len(found.Changed)+len(found.Others) > 0 {
		data, err := json.Marshal(found)
		if err != nil {
			return fmt.Errorf("write findings as JSON: %w", err)
		}
		text = string(data)
	}
	if existing.GetAnnotations()[v1alpha1.AnnotationFindings] == text {
		return nil
	}
	u := object(deploymentKind, ref.Namespace, existing.GetName())
	u.SetUID(existing.GetUID())
	if text != "" {
		u.SetAnnotations(map[string]string{v1alpha1.AnnotationFindings: text})
	}
	if err := a.applyAs(ctx, findingsManager, u, true); err != nil {
		return fmt.Errorf("keep what was found: %w", err)
	}
	a.written(u)
	return nil
}

// findingsOn are those that were kept on a copy; none where somebody edited them.
func findingsOn(copied *unstructured.Unstructured) findings {
	kept := findings{}
	if text := copied.GetAnnotations()[v1alpha1.AnnotationFindings]; text != "" {
		if json.Unmarshal([]byte(text), &kept) != nil {
			return findings{}
		}
	}
	return kept
}

// others are the objects that apply to the workload's pods and not to those of a copy: what inspections found, and
// Services.
func (s *seen) others() []string {
	var all []string
	for i := range s.copies {
		all = append(all, findingsOn(&s.copies[i]).Others...)
		all = append(all, s.otherServices(&s.copies[i])...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
