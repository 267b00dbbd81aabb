package gitsource

import (
	"encoding/json"
	"errors"
	"strings"

	ssaerrors "github.com/fluxcd/pkg/ssa/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// sign says which commit brought the object's present form, and by whom.
func sign(object *unstructured.Unstructured, commit Commit) {
	annotate(object, commit.SHA, commit.Author)
}

// copySignature leaves the object with the commit that it has.
func copySignature(object, existing *unstructured.Unstructured) {
	annotations := existing.GetAnnotations()
	annotate(object, annotations[v1alpha1.AnnotationCommit], annotations[v1alpha1.AnnotationAuthor])
}

func annotate(object *unstructured.Unstructured, commit, author string) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1alpha1.AnnotationCommit] = commit
	annotations[v1alpha1.AnnotationAuthor] = author
	object.SetAnnotations(annotations)
}

// yield takes from an object what Weighlock itself owns of the one in the cluster: the pause of a workload that
// it holds, say. Git doesn't get it back by force while a rollout needs it.
func yield(object, existing *unstructured.Unstructured) {
	for _, entry := range existing.GetManagedFields() {
		if entry.Manager != v1alpha1.FieldManager || entry.Operation != metav1.ManagedFieldsOperationApply ||
			entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		var owned map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned); err != nil {
			continue
		}
		without(object.Object, owned)
	}
}

// without removes the owned leaves from a value. Weighlock owns nothing but plain values in what users write, so
// lists are not looked into; an owned map without owned fields is one that was empty when it was applied.
func without(value, owned map[string]any) {
	for key, below := range owned {
		name, isField := strings.CutPrefix(key, "f:")
		if !isField {
			continue
		}
		deeper, _ := below.(map[string]any)
		child, isMap := value[name].(map[string]any)
		switch {
		case isMap:
			without(child, deeper)
		case len(deeper) == 0:
			delete(value, name)
		}
	}
}

// unwrapDryRun drops the wrapping that names the object once more.
func unwrapDryRun(err error) error {
	if dryRun, ok := errors.AsType[*ssaerrors.DryRunErr](err); ok {
		return dryRun.Unwrap()
	}
	return err
}
