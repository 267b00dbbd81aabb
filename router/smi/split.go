package smi

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/router"
)

// render is the TrafficSplit that asks for traffic. Backends stand in a fixed order, the incumbent first:
// meshes name metric series by it.
func render(speak version, target router.Target, traffic router.Traffic) *unstructured.Unstructured {
	u := object(speak, target.Namespace, target.Service)
	u.SetLabels(map[string]string{v1alpha1.LabelRollout: naming.LabelValue(target.Rollout)})
	backend := func(service string, weight int32) any {
		return map[string]any{"service": service, "weight": speak.weight(int64(weight))}
	}
	var backends []any
	if traffic.Candidate == "" {
		backends = []any{backend(traffic.Incumbent, max(traffic.Total, 1))}
	} else {
		backends = []any{
			backend(traffic.Incumbent, traffic.Total-traffic.Weight),
			backend(traffic.Candidate, traffic.Weight),
		}
	}
	u.Object["spec"] = map[string]any{"service": target.Service, "backends": backends}
	return u
}

// split is what a TrafficSplit of any version asks for.
type split struct {
	service  string
	backends []backend
	// more are fields that Weighlock doesn't write, such as matches.
	more bool
}

type backend struct {
	service string
	// milli is the weight in thousandths: v1alpha1 has fractions.
	milli int64
}

// read is the inverse of render.
func read(u *unstructured.Unstructured) (split, error) {
	spec, _, _ := unstructured.NestedMap(u.Object, "spec")
	var out split
	out.service, _ = spec["service"].(string)
	items, _ := spec["backends"].([]any)
	for _, item := range items {
		fields, _ := item.(map[string]any)
		weight, err := resource.ParseQuantity(fmt.Sprint(fields["weight"]))
		if err != nil {
			return split{}, fmt.Errorf("read a weight of TrafficSplit %s/%s: %w", u.GetNamespace(), u.GetName(), err)
		}
		name, _ := fields["service"].(string)
		out.backends = append(out.backends, backend{service: name, milli: weight.MilliValue()})
	}
	if matches, ok := spec["matches"].([]any); ok && len(matches) > 0 {
		out.more = true
	}
	return out, nil
}

// sameTraffic says that two TrafficSplits ask for the same. One that can't be read doesn't.
func sameTraffic(one, other *unstructured.Unstructured) bool {
	first, firstErr := read(one)
	second, secondErr := read(other)
	if firstErr != nil || secondErr != nil || first.service != second.service || first.more != second.more ||
		len(first.backends) != len(second.backends) {
		return false
	}
	for i := range first.backends {
		if first.backends[i] != second.backends[i] {
			return false
		}
	}
	return true
}
