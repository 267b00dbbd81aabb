package smi

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/router"
)

// ours says that an object was made for the Rollout. One whose label was taken off is still known by who wrote its spec.
func ours(u *unstructured.Unstructured, target router.Target) bool {
	if made := label(u, v1alpha1.LabelRollout); made != "" {
		return made == naming.LabelValue(target.Rollout)
	}
	for _, entry := range managers(u) {
		if name, mine := owner(entry); mine && name == v1alpha1.FieldManager {
			return true
		}
	}
	return false
}

// labelled says that an object carries the Rollout's label, by which Weighlock's writes are found again.
func labelled(u *unstructured.Unstructured, target router.Target) bool {
	return label(u, v1alpha1.LabelRollout) == naming.LabelValue(target.Rollout)
}

// writtenBy is another manager that owns a part of what Weighlock writes; empty when there is none.
func writtenBy(u *unstructured.Unstructured) string {
	for _, entry := range managers(u) {
		if name, written := owner(entry); written && name != v1alpha1.FieldManager {
			return name
		}
	}
	return ""
}

// managers are the entries of an object's managed fields as they are: reading them into structs would cost more than the
// rest of an observation.
func managers(u *unstructured.Unstructured) []any {
	entries, _ := metadata(u)["managedFields"].([]any)
	return entries
}

// owner is the manager that an entry is of, and whether it owns a part of what Weighlock writes.
func owner(entry any) (manager string, written bool) {
	fields, _ := entry.(map[string]any)
	manager, _ = fields["manager"].(string)
	owned, _ := fields["fieldsV1"].(map[string]any)
	if _, ok := owned["f:spec"]; ok {
		return manager, true
	}
	in, _ := owned["f:metadata"].(map[string]any)
	labels, _ := in["f:labels"].(map[string]any)
	if _, ok := labels["f:"+v1alpha1.LabelRollout]; ok {
		return manager, true
	}
	annotations, _ := in["f:annotations"].(map[string]any)
	for _, key := range [...]string{"f:" + v1alpha1.AnnotationProgress, "f:" + v1alpha1.AnnotationMirror, "f:" + AnnotationWrittenAt} {
		if _, ok := annotations[key]; ok {
			return manager, true
		}
	}
	return manager, false
}

// annotation is a single annotation, without a copy of them all.
func annotation(u *unstructured.Unstructured, key string) string {
	return entry(metadata(u)["annotations"], key)
}

// label is a single label, without a copy of them all.
func label(u *unstructured.Unstructured, key string) string {
	return entry(metadata(u)["labels"], key)
}

func metadata(u *unstructured.Unstructured) map[string]any {
	out, _ := u.Object["metadata"].(map[string]any)
	return out
}

func entry(in any, key string) string {
	entries, _ := in.(map[string]any)
	text, _ := entries[key].(string)
	return text
}
