package smi

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weighlock/weighlock/router"
)

// The API groups of SMI that are spoken.
const (
	splitGroup = "split.smi-spec.io"
	specsGroup = "specs.smi-spec.io"
)

var (
	// splitKind is the kind that moves traffic, in any version.
	splitKind = schema.GroupKind{Group: splitGroup, Kind: "TrafficSplit"}
	// groupKind is the kind that says which requests are meant, in any version.
	groupKind = schema.GroupKind{Group: specsGroup, Kind: "HTTPRouteGroup"}
)

// version is what differs between the versions of TrafficSplit.
type version struct {
	name string
	// matches says that a split can name HTTPRouteGroups.
	matches bool
	// weight writes a backend's weight.
	weight func(int64) any
}

// splitVersions that Weighlock speaks, the newest first.
var splitVersions = []version{
	{name: "v1alpha4", matches: true, weight: wholeNumber},
	{name: "v1alpha3", matches: true, weight: wholeNumber},
	{name: "v1alpha2", weight: wholeNumber},
	{name: "v1alpha1", weight: quantity},
}

// groupVersions that Weighlock speaks, the newest first. Older ones keep matches elsewhere, and go with splits that can't
// name them.
var groupVersions = []string{"v1alpha4", "v1alpha3"}

func wholeNumber(weight int64) any { return weight }

// quantity is a weight of v1alpha1, a resource quantity, in its canonical form.
func quantity(weight int64) any { return fmt.Sprint(weight) }

// speech is the versions of TrafficSplit to speak. Any version can be read through any other, but the older ones hide matches:
// a split that sends few requests to the candidate would look as if it sent all of them. So reading
// is always done in the newest that the cluster serves, and so is writing unless a version is forced.
type speech struct {
	read, write version
}

// speech is how to speak to the cluster. None is a router.UnsupportedError.
func (r *Router) speech() (speech, error) {
	served, err := r.served(splitKind)
	if err != nil {
		return speech{}, err
	}
	if len(served) == 0 {
		return speech{}, unsupported("the cluster serves no TrafficSplit (%s): install a mesh that speaks SMI, or the TrafficSplit CRD that your mesh reads", splitGroup)
	}
	var known []version
	for _, candidate := range splitVersions {
		if slices.Contains(served, candidate.name) {
			known = append(known, candidate)
		}
	}
	if len(known) == 0 {
		return speech{}, unsupported("the cluster serves TrafficSplit only as %s, which Weighlock doesn't speak: serve one of v1alpha1 to v1alpha4", strings.Join(served, ", "))
	}
	if r.forced == "" {
		return speech{read: known[0], write: known[0]}, nil
	}
	for _, candidate := range known {
		if candidate.name == r.forced {
			return speech{read: known[0], write: candidate}, nil
		}
	}
	return speech{}, unsupported("the cluster serves no TrafficSplit of version %s (spec.router's smi.version); it serves %s: set smi.version to one of them, or remove it",
		r.forced, strings.Join(served, ", "))
}

// groupVersion is the version of HTTPRouteGroup to speak; empty when the cluster serves none that Weighlock speaks.
func (r *Router) groupVersion() (string, error) {
	served, err := r.served(groupKind)
	if err != nil {
		return "", err
	}
	for _, candidate := range groupVersions {
		if slices.Contains(served, candidate) {
			return candidate, nil
		}
	}
	return "", nil
}

// unmatchable says why requests can't be matched here, and what to do about it; nil when they can.
func (r *Router) unmatchable(speak speech, groups string) error {
	switch {
	case speak.write.matches && groups != "":
		return nil
	case speak.write.matches:
		return unsupported("the cluster serves no HTTPRouteGroup (%s) of version %s, which match needs: install the CRD that your mesh reads, or use weight",
			specsGroup, strings.Join(groupVersions, " or "))
	case r.forced != "" && speak.read.matches:
		return unsupported("a TrafficSplit of version %s (spec.router's smi.version) can't match requests: remove smi.version or set it to %s, or use weight",
			speak.write.name, speak.read.name)
	}
	return unsupported("a TrafficSplit of version %s, the newest that the cluster serves, can't match requests: use weight, or a mesh that reads v1alpha3 or v1alpha4",
		speak.read.name)
}

// served are the versions of a kind that the cluster serves; none when it doesn't know the kind.
func (r *Router) served(kind schema.GroupKind) ([]string, error) {
	mappings, err := r.mapper.RESTMappings(kind)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask which versions of %s the cluster serves: %w", kind.Kind, err)
	}
	names := make([]string, 0, len(mappings))
	for _, mapping := range mappings {
		names = append(names, mapping.GroupVersionKind.Version)
	}
	slices.Sort(names)
	return names, nil
}

func unsupported(format string, args ...any) error {
	return &router.UnsupportedError{Message: fmt.Sprintf(format, args...)}
}
