package deployment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// maxOthers is how many objects of a kind are looked at in a namespace.
const maxOthers = 500

// kindsFor is for how long it is not asked again which of the known kinds the cluster serves.
const kindsFor = 10 * time.Minute

// selecting is a kind of objects that select pods, or name their workload, by the field at fields.
type selecting struct {
	schema.GroupKind
	fields []string
}

// selectingKinds are the known ones. The wrong kind of selector finds nothing, and an object without one selects
// all pods of the namespace, a copy's among them.
var selectingKinds = []selecting{
	{schema.GroupKind{Group: "autoscaling.k8s.io", Kind: "VerticalPodAutoscaler"}, []string{"spec", "targetRef"}},
	{schema.GroupKind{Group: "cilium.io", Kind: "CiliumNetworkPolicy"}, []string{"spec", "endpointSelector"}},
	{schema.GroupKind{Group: "extensions.istio.io", Kind: "WasmPlugin"}, []string{"spec", "selector"}},
	{schema.GroupKind{Group: "monitoring.coreos.com", Kind: "PodMonitor"}, []string{"spec", "selector"}},
	{schema.GroupKind{Group: "networking.istio.io", Kind: "EnvoyFilter"}, []string{"spec", "workloadSelector"}},
	{schema.GroupKind{Group: "networking.istio.io", Kind: "ProxyConfig"}, []string{"spec", "selector"}},
	{schema.GroupKind{Group: "networking.istio.io", Kind: "Sidecar"}, []string{"spec", "workloadSelector"}},
	{schema.GroupKind{Group: "policy.linkerd.io", Kind: "Server"}, []string{"spec", "podSelector"}},
	{schema.GroupKind{Group: "security.istio.io", Kind: "AuthorizationPolicy"}, []string{"spec", "selector"}},
	{schema.GroupKind{Group: "security.istio.io", Kind: "PeerAuthentication"}, []string{"spec", "selector"}},
	{schema.GroupKind{Group: "security.istio.io", Kind: "RequestAuthentication"}, []string{"spec", "selector"}},
	{schema.GroupKind{Group: "telemetry.istio.io", Kind: "Telemetry"}, []string{"spec", "selector"}},
}

// kindsMemo remembers which of the known kinds the cluster serves.
type kindsMemo struct {
	mu     sync.Mutex
	asked  time.Time
	served map[schema.GroupKind]schema.GroupVersionKind
}

// servedKinds are those of the known kinds that the cluster serves, each in its preferred version.
func (a *Adapter) servedKinds() (map[schema.GroupKind]schema.GroupVersionKind, error) {
	a.kinds.mu.Lock()
	defer a.kinds.mu.Unlock()
	if a.kinds.served != nil && a.clock.Since(a.kinds.asked) < kindsFor {
		return a.kinds.served, nil
	}
	served := map[schema.GroupKind]schema.GroupVersionKind{}
	for _, known := range selectingKinds {
		mapping, err := a.mapper.RESTMapping(known.GroupKind)
		switch {
		case meta.IsNoMatchError(err):
		case err != nil:
			return nil, fmt.Errorf("ask whether the cluster serves %s: %w", known.GroupKind, err)
		default:
			served[known.GroupKind] = mapping.GroupVersionKind
		}
	}
	a.kinds.asked, a.kinds.served = a.clock.Now(), served
	return served, nil
}

// othersNow lists the objects of known kinds that apply to the workload's pods and not to the copy's.
func (a *Adapter) othersNow(ctx context.Context, ref workload.Reference, copied *unstructured.Unstructured) ([]string, error) {
	served, err := a.servedKinds()
	if err != nil || len(served) == 0 {
		return nil, err
	}
	deployment, err := a.deployment(ctx, ref.Namespace, ref.Name)
	if err != nil || deployment == nil {
		return nil, err
	}
	before, after := labelsOf(deployment, podLabels(copied))
	var found []string
	for _, known := range selectingKinds {
		kind, ok := served[known.GroupKind]
		if !ok {
			continue
		}
		all := &unstructured.UnstructuredList{}
		all.SetGroupVersionKind(kind)
		err := a.live.List(ctx, all, client.InNamespace(ref.Namespace), client.Limit(maxOthers))
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s objects in namespace %s: %w", kind.Kind, ref.Namespace, err)
		}
		for i := range all.Items {
			value, _, _ := unstructured.NestedFieldNoCopy(all.Items[i].Object, known.fields...)
			if targets(value, ref.Name) || misses(value, before, after) {
				found = append(found, kind.Kind+"/"+all.Items[i].GetName())
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// labelsOf are the labels that a copy's pods would have in the workload, and those that they have.
func labelsOf(deployment *unstructured.Unstructured, copied map[string]string) (before, after labels.Set) {
	before = withoutOwn(copied)
	maps.Copy(before, selectorLabels(deployment))
	return before, copied
}

// targets says that a reference names the workload.
func targets(value any, name string) bool {
	fields, _ := value.(map[string]any)
	return fields["kind"] == deploymentKind.Kind && fields["name"] == name
}

// misses says that a selector, in any of the forms that the known kinds have, finds the workload's pods and not the
// copy's.
func misses(value any, before, after labels.Set) bool {
	fields, _ := value.(map[string]any)
	if plain, ok := fields["labels"]; ok {
		fields = map[string]any{"matchLabels": plain}
	}
	if len(fields) == 0 {
		return false
	}
	selector := selectorIn(withoutSources(fields))
	return selector.Matches(before) && !selector.Matches(after)
}

// withoutSources drops what Cilium puts before the keys of labels to say where these come from.
func withoutSources(selector map[string]any) map[string]any {
	plain := func(key string) string { return strings.TrimPrefix(strings.TrimPrefix(key, "k8s:"), "any:") }
	out := maps.Clone(selector)
	if matchLabels, ok := selector["matchLabels"].(map[string]any); ok {
		renamed := make(map[string]any, len(matchLabels))
		for key, value := range matchLabels {
			renamed[plain(key)] = value
		}
		out["matchLabels"] = renamed
	}
	if expressions, ok := selector["matchExpressions"].([]any); ok {
		renamed := make([]any, 0, len(expressions))
		for _, expression := range expressions {
			fields, _ := expression.(map[string]any)
			expression := maps.Clone(fields)
			if key, ok := fields["key"].(string); ok {
				expression["key"] = plain(key)
			}
			renamed = append(renamed, expression)
		}
		out["matchExpressions"] = renamed
	}
	return out
}

// otherServices are the Services, but the root and Weighlock's own, that find the workload's pods and not the copy's.
func (s *seen) otherServices(copied *unstructured.Unstructured) []string {
	if s.deployment == nil {
		return nil
	}
	before, after := labelsOf(s.deployment, podLabels(copied))
	var found []string
	for i := range s.neighbours {
		service := &s.neighbours[i]
		if service.Name == s.ref.Service || service.Labels[v1alpha1.LabelRollout] != "" || len(service.Spec.Selector) == 0 ||
			service.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		selector := labels.SelectorFromSet(service.Spec.Selector)
		if selector.Matches(before) && !selector.Matches(after) {
			found = append(found, "Service/"+service.Name)
		}
	}
	return found
}
