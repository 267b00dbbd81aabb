package deployment

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/weighlock/weighlock/naming"
)

const (
	// revisionLength is how many characters a revision has: 27^10 values.
	revisionLength = 10
	// ownPrefix is what the labels that Weighlock writes begin with.
	ownPrefix = "weighlock.dev/"
)

// RevisionOf names a pod template: a hash of it in canonical JSON. Labels of Weighlock's own and of the
// Deployment controller don't count, nor do nulls.
func RevisionOf(template map[string]any) (string, error) {
	data, err := json.Marshal(canonical(template))
	if err != nil {
		return "", fmt.Errorf("write the pod template as JSON: %w", err)
	}
	return naming.Hash(data, revisionLength), nil
}

// canonical is template without what doesn't make it another version.
func canonical(template map[string]any) map[string]any {
	out := withoutNulls(template)
	metadata, _ := out["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	maps.DeleteFunc(labels, func(key string, _ any) bool {
		return key == appsv1.DefaultDeploymentUniqueLabelKey || strings.HasPrefix(key, ownPrefix)
	})
	return out
}

// withoutNulls is a deep copy of in without its nulls: older API servers wrote some (a
// creationTimestamp), newer ones don't.
func withoutNulls(in map[string]any) map[string]any {
	out := make(map[string]any, len(in))
	for key, value := range in {
		if value != nil {
			out[key] = withoutNullsIn(value)
		}
	}
	return out
}

func withoutNullsIn(value any) any {
	switch value := value.(type) {
	case map[string]any:
		return withoutNulls(value)
	case []any:
		out := make([]any, len(value))
		for i := range value {
			out[i] = withoutNullsIn(value[i])
		}
		return out
	default:
		return value
	}
}

// templateOf is the pod template of a Deployment or ReplicaSet, shared with it.
func templateOf(u *unstructured.Unstructured) map[string]any {
	template, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "template")
	content, _ := template.(map[string]any)
	return content
}

// escape is the one label by which a copy's pods differ from the workload's: Key has the value From on
// the workload's pods and To on the copy's.
type escape struct {
	Key, From, To string
}

// forward is template, the workload's, as the copy has it.
func (e escape) forward(template map[string]any) map[string]any {
	return relabel(template, e.Key, e.From, e.To)
}

// back is template, the copy's, as the workload has it.
func (e escape) back(template map[string]any) map[string]any {
	return relabel(canonical(template), e.Key, e.To, e.From)
}

// relabel is a deep copy of template in which the label key has the value to where it had from: on the
// pods, and in the affinities and spread constraints by which they find each other.
func relabel(template map[string]any, key, from, to string) map[string]any {
	out := runtime.DeepCopyJSON(template)
	if labels, ok, _ := unstructured.NestedFieldNoCopy(out, "metadata", "labels"); ok {
		relabelMap(labels, key, from, to)
	}
	for _, kind := range []string{"podAffinity", "podAntiAffinity"} {
		for _, term := range list(out, "spec", "affinity", kind, "requiredDuringSchedulingIgnoredDuringExecution") {
			relabelSelector(term, key, from, to)
		}
		for _, weighted := range list(out, "spec", "affinity", kind, "preferredDuringSchedulingIgnoredDuringExecution") {
			if weighted, ok := weighted.(map[string]any); ok {
				relabelSelector(weighted["podAffinityTerm"], key, from, to)
			}
		}
	}
	for _, constraint := range list(out, "spec", "topologySpreadConstraints") {
		relabelSelector(constraint, key, from, to)
	}
	return out
}

// relabelSelector rewrites the labelSelector of holder in place.
func relabelSelector(holder any, key, from, to string) {
	object, _ := holder.(map[string]any)
	selector, _ := object["labelSelector"].(map[string]any)
	relabelMap(selector["matchLabels"], key, from, to)
	expressions, _ := selector["matchExpressions"].([]any)
	for _, expression := range expressions {
		expression, _ := expression.(map[string]any)
		if expression["key"] != key {
			continue
		}
		values, _ := expression["values"].([]any)
		for i := range values {
			if values[i] == from {
				values[i] = to
			}
		}
	}
}

func relabelMap(labels any, key, from, to string) {
	if labels, ok := labels.(map[string]any); ok && labels[key] == from {
		labels[key] = to
	}
}

// list is the list at fields, shared with object; nil when there is none.
func list(object map[string]any, fields ...string) []any {
	value, _, _ := unstructured.NestedFieldNoCopy(object, fields...)
	items, _ := value.([]any)
	return items
}
