package deployment

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

// preferredKeys are the labels by which copies are told apart, if selectors have them.
var preferredKeys = []string{"app.kubernetes.io/name", "app"}

// anyRevision stands for one where it doesn't matter which.
const anyRevision = "0000000000"

// chooseEscape finds the label whose value a copy changes, so that neither the workload's selector nor the
// root service finds the copy's pods, nor, where there is a choice, what is near.
func chooseEscape(ref workload.Reference, deployment *unstructured.Unstructured, root *corev1.Service, near surroundings, revision string) (escape, *workload.Problem) {
	matchLabels := selectorLabels(deployment)
	keys := keysInCommon(deployment, root)
	problem := func(format string, args ...any) *workload.Problem {
		return &workload.Problem{Reason: v1alpha1.ReasonSelectorNotEscapable, Message: fmt.Sprintf(format, args...)}
	}
	var chosen string
	switch {
	case ref.TrackLabel != "":
		if !slices.Contains(keys, ref.TrackLabel) {
			return escape{}, problem("spec.workload.trackLabel %q doesn't tell copies apart: it must be in matchLabels of Deployment %s (%s) and in the selector of Service %s (%s), and in no matchExpressions",
				ref.TrackLabel, ref.Name, joined(matchLabels), ref.Service, joined(root.Spec.Selector))
		}
		chosen = ref.TrackLabel
	case len(keys) == 0:
		return escape{}, problem("no label tells a copy's pods from the workload's: matchLabels of Deployment %s (%s) and the selector of Service %s (%s) need a label in common that no matchExpressions name: add one of them to the Service's selector",
			ref.Name, joined(matchLabels), ref.Service, joined(root.Spec.Selector))
	default:
		// Of equals, the first is the least.
		chosen = slices.MinFunc(keys, func(one, other string) int {
			first, second := near.leaks(one), near.leaks(other)
			return slices.Compare(first[:], second[:])
		})
	}
	value := matchLabels[chosen]
	return escape{Key: chosen, From: value, To: naming.Join(value, revision)}, nil
}

// keysInCommon are the labels by which copies can be told apart, the preferred ones first.
func keysInCommon(deployment *unstructured.Unstructured, root *corev1.Service) []string {
	keys := slices.Concat(preferredKeys, slices.Sorted(maps.Keys(selectorLabels(deployment))))
	usable := make([]string, 0, len(keys))
	for _, key := range keys {
		_, inWorkload := selectorLabels(deployment)[key]
		_, inService := root.Spec.Selector[key]
		if inWorkload && inService && !inExpressions(deployment, key) && !slices.Contains(usable, key) {
			usable = append(usable, key)
		}
	}
	return usable
}

// escapeOf reads from a copy's selector, which never changes, by which label it was told apart.
func escapeOf(deployment, copied *unstructured.Unstructured) (escape, bool) {
	theirs := selectorLabels(copied)
	for key, value := range selectorLabels(deployment) {
		if other, ok := theirs[key]; ok && other != value {
			return escape{Key: key, From: value, To: other}, true
		}
	}
	return escape{}, false
}

// selectorLabels are the matchLabels of a Deployment's selector.
func selectorLabels(deployment *unstructured.Unstructured) map[string]string {
	labels, _, _ := unstructured.NestedStringMap(deployment.Object, "spec", "selector", "matchLabels")
	return labels
}

// inExpressions says that the selector's matchExpressions speak of key.
func inExpressions(deployment *unstructured.Unstructured, key string) bool {
	return slices.ContainsFunc(list(deployment.Object, "spec", "selector", "matchExpressions"), func(expression any) bool {
		fields, _ := expression.(map[string]any)
		return fields["key"] == key
	})
}

// joined is a selector for people.
func joined(selector map[string]string) string {
	if len(selector) == 0 {
		return "none"
	}
	pairs := make([]string, 0, len(selector))
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		pairs = append(pairs, key+"="+selector[key])
	}
	return strings.Join(pairs, ",")
}
