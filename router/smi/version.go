package smi

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weighlock/weighlock/router"
)

// group is the API group of TrafficSplits.
const group = "split.smi-spec.io"

// splitKind is the kind that moves traffic, in any version.
var splitKind = schema.GroupKind{Group: group, Kind: "TrafficSplit"}

// version is what differs between the versions of TrafficSplit.
type version struct {
	name string
	// weight writes a backend's weight.
	weight func(int64) any
}

// versions that Weighlock speaks, the one it prefers first: every mesh that spoke SMI knew v1alpha2; of the
// others the newest is best.
var versions = []version{
	{name: "v1alpha2", weight: wholeNumber},
	{name: "v1alpha4", weight: wholeNumber},
	{name: "v1alpha3", weight: wholeNumber},
	{name: "v1alpha1", weight: quantity},
}

func wholeNumber(weight int64) any { return weight }

// quantity is a weight of v1alpha1, a resource quantity, in its canonical form.
func quantity(weight int64) any { return fmt.Sprint(weight) }

// version is the version of TrafficSplit to speak: the forced one, or else the best that the cluster
// serves. None is a router.UnsupportedError.
func (r *Router) version() (version, error) {
	served, err := r.served()
	if err != nil {
		return version{}, err
	}
	if len(served) == 0 {
		return version{}, unsupported("the cluster serves no TrafficSplit (%s): install a mesh that speaks SMI, or the TrafficSplit CRD that your mesh reads", group)
	}
	for _, candidate := range versions {
		if slices.Contains(served, candidate.name) && (r.forced == "" || r.forced == candidate.name) {
			return candidate, nil
		}
	}
	if r.forced != "" {
		return version{}, unsupported("the cluster serves no TrafficSplit of version %s (spec.router's smi.version); it serves %s: set smi.version to one of them, or remove it",
			r.forced, strings.Join(served, ", "))
	}
	return version{}, unsupported("the cluster serves TrafficSplit only as %s, which Weighlock doesn't speak: serve one of v1alpha1 to v1alpha4", strings.Join(served, ", "))
}

// served are the versions of TrafficSplit that the cluster serves; none when it doesn't know the kind.
func (r *Router) served() ([]string, error) {
	mappings, err := r.mapper.RESTMappings(splitKind)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask which versions of TrafficSplit the cluster serves: %w", err)
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
