package deployment

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// The parts that twins of one policy have: what it does for the copy's own pods, the way to the copy's pods for
// those that it selects, and the lifting of what it does to the copy's pods though not to the workload's.
const (
	partOwn  = "own"
	partPeer = "peer"
	partOpen = "open"
)

// directions are the two halves of a policy: its type, its rules, and where a rule names its peers.
var directions = []struct{ kind, rules, peers string }{
	{"Ingress", "ingress", "from"},
	{"Egress", "egress", "to"},
}

// sibling is a copy as network policies see its pods.
type sibling struct {
	namespace string
	// around are the labels of the namespace.
	around labels.Set
	// track is the label that the copy's pods have and no others in the namespace.
	track string
	// before are the labels that the pods would have in the workload, after the ones that they have.
	before, after labels.Set
}

// escapes says that a selector finds the workload's pods, and for the changed label misses the copy's.
func (s *sibling) escapes(selector labels.Selector) bool {
	return selector.Matches(s.before) && !selector.Matches(s.after)
}

// enters says that a selector misses the workload's pods, and for the changed label finds the copy's. One that asks for
// Weighlock's labels is meant for copies.
func (s *sibling) enters(selector labels.Selector) bool {
	return !selector.Matches(s.before) && selector.Matches(withoutOwn(s.after))
}

// withoutOwn are labels without those that Weighlock writes.
func withoutOwn(in labels.Set) labels.Set {
	out := maps.Clone(in)
	maps.DeleteFunc(out, func(key, _ string) bool { return strings.HasPrefix(key, ownPrefix) })
	return out
}

// selector finds the copy's pods in their namespace.
func (s *sibling) selector() map[string]any {
	return map[string]any{"matchLabels": map[string]any{v1alpha1.LabelTrack: s.track}}
}

// as is the peer by which a rule names the copy's pods where the given one names only the workload's.
func (s *sibling) as(peer any, namespace string) (map[string]any, bool) {
	fields, _ := peer.(map[string]any)
	pods, named := fields["podSelector"]
	if !named || !s.escapes(selectorIn(pods)) {
		return nil, false
	}
	out := map[string]any{"podSelector": s.selector()}
	around, elsewhere := fields["namespaceSelector"]
	switch {
	case elsewhere && selectorIn(around).Matches(s.around):
		// By its name: another namespace may have a copy of the same name.
		out["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{corev1.LabelMetadataName: s.namespace}}
	case elsewhere || namespace != s.namespace:
		return nil, false
	}
	return out, true
}

// selectorIn reads a label selector; one that can't be read finds nothing.
func selectorIn(value any) labels.Selector {
	fields, _ := value.(map[string]any)
	selector := &metav1.LabelSelector{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, selector); err != nil {
		return labels.Nothing()
	}
	out, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Nothing()
	}
	return out
}

// twin is what a network policy needs beside it for a copy.
type twin struct {
	of   *unstructured.Unstructured
	part string
	spec map[string]any
}

// twinsFor are the twins that the policies need for the copy own. They only add: with them the copy's pods may do
// what the workload's may, and no more. All are the copies in the cluster, own among them: two candidates may be
// each other's peers.
func twinsFor(policies []unstructured.Unstructured, own *sibling, all []*sibling) []twin {
	var twins []twin
	for i := range policies {
		u := &policies[i]
		spec, _ := u.Object["spec"].(map[string]any)
		if u.GetDeletionTimestamp() != nil || isTwin(u) || spec == nil {
			continue
		}
		if u.GetNamespace() == own.namespace {
			selector := selectorIn(spec["podSelector"])
			if own.escapes(selector) {
				twins = append(twins, twin{u, partOwn, ownSpec(spec, own, all)})
			}
			if own.enters(selector) {
				if open := openSpec(policies, spec, own); open != nil {
					twins = append(twins, twin{u, partOpen, open})
				}
			}
		}
		if peer := peerSpec(spec, u.GetNamespace(), own); peer != nil {
			twins = append(twins, twin{u, partPeer, peer})
		}
	}
	return twins
}

func isTwin(u *unstructured.Unstructured) bool {
	return u.GetLabels()[v1alpha1.LabelRollout] != ""
}

// ownSpec is spec for the copy's pods instead of the workload's.
func ownSpec(spec map[string]any, own *sibling, all []*sibling) map[string]any {
	out := runtime.DeepCopyJSON(spec)
	out["podSelector"] = own.selector()
	for _, direction := range directions {
		for _, rule := range list(out, direction.rules) {
			fields, _ := rule.(map[string]any)
			if peers := list(fields, direction.peers); len(peers) > 0 {
				fields[direction.peers] = append(peers, siblingsIn(peers, own.namespace, all)...)
			}
		}
	}
	return out
}

// peerSpec is what spec, of a policy in namespace, lets its pods do with the workload's, with the copy's instead;
// nil where that is nothing.
func peerSpec(spec map[string]any, namespace string, own *sibling) map[string]any {
	out := map[string]any{}
	var types []any
	for _, direction := range directions {
		if !hasType(spec, direction.kind) {
			continue
		}
		var rules []any
		for _, rule := range list(spec, direction.rules) {
			fields, _ := rule.(map[string]any)
			peers := siblingsIn(list(fields, direction.peers), namespace, []*sibling{own})
			if len(peers) == 0 {
				continue
			}
			added := map[string]any{direction.peers: peers}
			if ports, ok := fields["ports"]; ok {
				added["ports"] = runtime.DeepCopyJSONValue(ports)
			}
			rules = append(rules, added)
		}
		if len(rules) > 0 {
			types = append(types, direction.kind)
			out[direction.rules] = rules
		}
	}
	if len(types) == 0 {
		return nil
	}
	out["policyTypes"] = types
	out["podSelector"] = map[string]any{}
	if selector, ok := spec["podSelector"].(map[string]any); ok {
		out["podSelector"] = runtime.DeepCopyJSON(selector)
	}
	return out
}

// openSpec lets the copy's pods do all in the directions in which spec, of a policy that misses the workload's
// pods, cuts them off, and nothing cuts off the workload's; nil where there are none.
func openSpec(policies []unstructured.Unstructured, spec map[string]any, own *sibling) map[string]any {
	out := map[string]any{"podSelector": own.selector()}
	var types []any
	for _, direction := range directions {
		isolated := slices.ContainsFunc(policies, func(u unstructured.Unstructured) bool {
			other, _ := u.Object["spec"].(map[string]any)
			return u.GetNamespace() == own.namespace && hasType(other, direction.kind) && selectorIn(other["podSelector"]).Matches(own.before)
		})
		if hasType(spec, direction.kind) && !isolated {
			types = append(types, direction.kind)
			out[direction.rules] = []any{map[string]any{}}
		}
	}
	if len(types) == 0 {
		return nil
	}
	out["policyTypes"] = types
	return out
}

// siblingsIn are the peers that name the pods of copies where peers name the workloads'.
func siblingsIn(peers []any, namespace string, all []*sibling) []any {
	var out []any
	for _, sibling := range all {
		for _, peer := range peers {
			named, ok := sibling.as(peer, namespace)
			if ok && !slices.ContainsFunc(out, func(there any) bool { return equalJSON(there, named) }) {
				out = append(out, named)
			}
		}
	}
	return out
}

// hasType says that a policy is about a direction: the API server fills the field in.
func hasType(spec map[string]any, kind string) bool {
	return slices.Contains(list(spec, "policyTypes"), any(kind))
}
