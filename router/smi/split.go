package smi

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router"
)

// split is what a TrafficSplit of any version asks for.
type split struct {
	service  string
	backends []backend
	// groups that say which requests are split; without any, all are.
	groups []reference
	mirror mirror
}

type backend struct {
	service string
	// milli is the weight in thousandths: v1alpha1 has fractions.
	milli int64
}

type reference struct {
	kind, name string
}

// mirror asks for copies of requests; the zero value for none.
type mirror struct {
	Service string  `json:"service"`
	Percent float64 `json:"percent"`
}

// ask is the TrafficSplit and the HTTPRouteGroup, nil for none, that ask for traffic. What SMI can't say is refused: nothing is
// dropped silently. Backends stand in a fixed order, the incumbent first: meshes name metric series by it.
func (r *Router) ask(target router.Target, traffic router.Traffic) (split, *routeGroup, error) {
	if err := r.refuse(traffic); err != nil {
		return split{}, nil, err
	}
	out := split{service: target.Service}
	backend := func(service string, weight int32) backend {
		return backend{service: service, milli: int64(weight) * 1000}
	}
	if traffic.Shadow > 0 {
		out.mirror = mirror{Service: traffic.Candidate, Percent: float64(traffic.Shadow)}
	}
	total := max(traffic.Total, 1)
	switch {
	case len(traffic.Match) > 0:
		// What matches is split, and the rest goes to the root's own endpoints.
		group, err := newRouteGroup(target, traffic.Match)
		if err != nil {
			return split{}, nil, err
		}
		out.groups = []reference{{kind: groupKind.Kind, name: group.name}}
		out.backends = append(out.backends, backend(traffic.Incumbent, 0), backend(traffic.Candidate, total))
		return out, group, nil
	case traffic.Candidate == "":
		out.backends = append(out.backends, backend(traffic.Incumbent, total))
	default:
		out.backends = append(out.backends, backend(traffic.Incumbent, traffic.Total-traffic.Weight), backend(traffic.Candidate, traffic.Weight))
	}
	return out, nil, nil
}

// refuse says what of traffic SMI, or the mesh, can't do.
func (r *Router) refuse(traffic router.Traffic) error {
	switch {
	case traffic.Incumbent == "":
		return errors.New("write a route without an incumbent: there is nothing to send traffic to")
	case traffic.Candidate == "" && (len(traffic.Match) > 0 || traffic.Shadow > 0):
		return errors.New("write a route that matches or copies requests without a candidate: there is nothing to send them to")
	case traffic.Candidate != "" && (traffic.Weight < 0 || traffic.Weight > traffic.Total):
		return fmt.Errorf("write a route with the weight %d out of %d: it is out of range", traffic.Weight, traffic.Total)
	case len(traffic.Match) > 0 && traffic.Weight > 0:
		return unsupported("SMI can't match requests and split the rest by weight: make two steps of it in spec.steps")
	case traffic.Shadow < 0 || traffic.Shadow > 100:
		return fmt.Errorf("write a route that copies %d%% of the requests: it is out of range", traffic.Shadow)
	case traffic.Shadow > 0 && !r.mirror:
		return unsupported("%s", noMirror)
	}
	return nil
}

// spec is how a split is written in a version. What isn't there in it is null, which removes it in a merge patch.
func (s split) spec(speak version) map[string]any {
	backends := make([]any, 0, len(s.backends))
	for _, b := range s.backends {
		backends = append(backends, map[string]any{"service": b.service, "weight": speak.weight(b.milli / 1000)})
	}
	spec := map[string]any{"service": s.service, "backends": backends}
	if !speak.matches {
		return spec
	}
	spec["matches"] = nil
	if len(s.groups) > 0 {
		matches := make([]any, 0, len(s.groups))
		for _, group := range s.groups {
			matches = append(matches, map[string]any{"kind": group.kind, "name": group.name})
		}
		spec["matches"] = matches
	}
	return spec
}

// annotation is how a mirror is written; nil for none.
func (m mirror) annotation() any {
	if m == (mirror{}) {
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // a string and a small number only
	}
	return string(text)
}

// read is what a TrafficSplit asks for.
func read(u *unstructured.Unstructured) (split, error) {
	spec, _ := u.Object["spec"].(map[string]any)
	var out split
	out.service, _ = spec["service"].(string)
	items, _ := spec["backends"].([]any)
	for _, item := range items {
		fields, _ := item.(map[string]any)
		name, _ := fields["service"].(string)
		milli, err := readWeight(fields["weight"])
		if err != nil {
			return split{}, fmt.Errorf("read a weight of TrafficSplit %s/%s: %w", u.GetNamespace(), u.GetName(), err)
		}
		out.backends = append(out.backends, backend{service: name, milli: milli})
	}
	items, _ = spec["matches"].([]any)
	for _, item := range items {
		fields, _ := item.(map[string]any)
		ref := reference{}
		ref.kind, _ = fields["kind"].(string)
		ref.name, _ = fields["name"].(string)
		out.groups = append(out.groups, ref)
	}
	if text := annotation(u, v1alpha1.AnnotationMirror); text != "" {
		if err := json.Unmarshal([]byte(text), &out.mirror); err != nil {
			return split{}, fmt.Errorf("read annotation %s of TrafficSplit %s/%s: %w", v1alpha1.AnnotationMirror, u.GetNamespace(), u.GetName(), err)
		}
	}
	return out, nil
}

// readWeight reads a weight, in thousandths, of any version.
func readWeight(weight any) (int64, error) {
	if whole, ok := weight.(int64); ok {
		return whole * 1000, nil
	}
	quantity, err := resource.ParseQuantity(fmt.Sprint(weight))
	return quantity.MilliValue(), err
}

func (s split) equal(other split) bool {
	return s.service == other.service && s.mirror == other.mirror &&
		slices.Equal(s.backends, other.backends) && slices.Equal(s.groups, other.groups)
}

// foreign says that somebody else wrote a split where that shows in what it asks for: the API server doesn't note who
// writes a fraction, which newer versions don't have.
func (s split) foreign() string {
	for _, b := range s.backends {
		if b.milli%1000 != 0 {
			return "a writer of v1alpha1"
		}
	}
	return ""
}

// names says whether a split names an HTTPRouteGroup.
func (s split) names(group string) bool {
	return slices.Contains(s.groups, reference{kind: groupKind.Kind, name: group})
}
