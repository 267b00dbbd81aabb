// Package downward reads the fields of a pod and of its containers' resources
// that programs may be told, in environment variables or in files.
package downward

import (
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Facts are what the node knows of a pod that its specification does not say.
type Facts struct {
	PodIP  string
	HostIP string
	// Allocatable is what a container without a limit may use.
	Allocatable corev1.ResourceList
}

// Field reads one field of a pod by its path, such as metadata.labels['app'].
func Field(pod *corev1.Pod, facts Facts, path string) (string, error) {
	if name, ok := subscript(path, "metadata.labels"); ok {
		return pod.Labels[name], nil
	}
	if name, ok := subscript(path, "metadata.annotations"); ok {
		return pod.Annotations[name], nil
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return lines(pod.Labels), nil
	case "metadata.annotations":
		return lines(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return facts.PodIP, nil
	case "status.hostIP", "status.hostIPs":
		return facts.HostIP, nil
	}
	return "", fmt.Errorf("the local node does not know the field %q", path)
}

// Resource reads one resource of a container, in units of the divisor and
// rounded up. A limit that is not set is what the node has.
func Resource(container corev1.Container, facts Facts, selector corev1.ResourceFieldSelector) (string, error) {
	kind, name, ok := strings.Cut(selector.Resource, ".")
	if !ok {
		return "", fmt.Errorf("the local node does not know the resource %q", selector.Resource)
	}
	var quantity resource.Quantity
	var set bool
	switch kind {
	case "limits":
		if quantity, set = container.Resources.Limits[corev1.ResourceName(name)]; !set {
			quantity = facts.Allocatable[corev1.ResourceName(name)]
		}
	case "requests":
		quantity = container.Resources.Requests[corev1.ResourceName(name)]
	default:
		return "", fmt.Errorf("the local node does not know the resource %q", selector.Resource)
	}
	divisor := selector.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if name == string(corev1.ResourceCPU) {
		return fmt.Sprint(int64(math.Ceil(float64(quantity.MilliValue()) / float64(divisor.MilliValue())))), nil
	}
	return fmt.Sprint(int64(math.Ceil(float64(quantity.Value()) / float64(divisor.Value())))), nil
}

// subscript cuts NAME out of prefix['NAME'].
func subscript(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

// lines writes a map as a downward API file has it.
func lines(m map[string]string) string {
	var out []string
	for key, value := range m {
		out = append(out, fmt.Sprintf("%s=%q", key, value))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
