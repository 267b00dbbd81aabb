// Package smi reads the traffic APIs of the Service Mesh Interface,
// TrafficSplit and HTTPRouteGroup, into the mesh's routes.
//
// The types here read all served versions of both: a weight may be a whole
// number or a quantity ("500m", v1alpha1), headers an array of maps (the CRD)
// or a map (the prose of the specification).
package smi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The API groups and resources that this package reads.
const (
	SplitGroup         = "split.smi-spec.io"
	SplitResource      = "trafficsplits"
	RouteGroupGroup    = "specs.smi-spec.io"
	RouteGroupResource = "httproutegroups"
	routeGroupKind     = "HTTPRouteGroup"
	splitKind          = "TrafficSplit"
)

// MirrorAnnotation on a TrafficSplit asks this mesh for copies of requests:
// `{"service": "<name>", "percent": <0..100>}`. SMI itself has no mirroring.
const MirrorAnnotation = "weighlock.dev/mirror"

// TrafficSplit is a TrafficSplit of any version.
type TrafficSplit struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              SplitSpec `json:"spec"`

	unreadable error
}

// SplitSpec is the union of all versions' specs.
type SplitSpec struct {
	Service  string         `json:"service"`
	Backends []SplitBackend `json:"backends"`
	Matches  []MatchRef     `json:"matches,omitempty"`
}

// SplitBackend is a Service and its relative weight.
type SplitBackend struct {
	Service string            `json:"service"`
	Weight  resource.Quantity `json:"weight"`
}

// MatchRef names an HTTPRouteGroup.
type MatchRef struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// HTTPRouteGroup is an HTTPRouteGroup of any version.
type HTTPRouteGroup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Matches []HTTPMatch `json:"matches,omitempty"`
	} `json:"spec"`
	// Matches stood beside metadata before v1alpha3.
	Matches []HTTPMatch `json:"matches,omitempty"`
}

// HTTPMatch is one alternative of a group; its conditions are ANDed.
type HTTPMatch struct {
	Name      string   `json:"name"`
	PathRegex string   `json:"pathRegex,omitempty"`
	Methods   []string `json:"methods,omitempty"`
	Headers   Headers  `json:"headers,omitempty"`
}

// Headers are regular expressions by header name.
type Headers map[string]string

// UnmarshalJSON reads both forms that are found in the wild.
func (h *Headers) UnmarshalJSON(data []byte) error {
	*h = Headers{}
	var one map[string]string
	if err := json.Unmarshal(data, &one); err == nil {
		maps.Copy(*h, one)
		return nil
	}
	var many []map[string]string
	if err := json.Unmarshal(data, &many); err != nil {
		return fmt.Errorf("read headers: %w", err)
	}
	for _, m := range many {
		maps.Copy(*h, m)
	}
	return nil
}

// names are the header names in a fixed order, so that the same group always
// gives the same configuration.
func (h Headers) names() []string { return slices.Sorted(maps.Keys(h)) }

// ReadSplit reads a TrafficSplit as the API server gave it. One that cannot be
// read, whatever its schema let through, is a problem for Translate to tell.
func ReadSplit(u *unstructured.Unstructured) *TrafficSplit {
	split, err := read[TrafficSplit](u)
	if err == nil {
		return split
	}
	split = &TrafficSplit{unreadable: err}
	split.APIVersion, split.Kind = u.GetAPIVersion(), u.GetKind()
	split.Namespace, split.Name, split.UID = u.GetNamespace(), u.GetName(), u.GetUID()
	split.Generation, split.ResourceVersion, split.CreationTimestamp = u.GetGeneration(), u.GetResourceVersion(), u.GetCreationTimestamp()
	return split
}

// ReadRouteGroup reads an HTTPRouteGroup as the API server gave it.
func ReadRouteGroup(u *unstructured.Unstructured) (*HTTPRouteGroup, error) {
	return read[HTTPRouteGroup](u)
}

func read[T any](u *unstructured.Unstructured) (*T, error) {
	data, err := u.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	out := new(T)
	if err := json.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("read %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	return out, nil
}
