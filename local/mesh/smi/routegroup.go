package smi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/weighlock/weighlock/local/mesh/routing"
)

// matches are the alternatives of all groups that a split names.
func (in input) matches(s *TrafficSplit) ([]routing.Match, error) {
	var out []routing.Match
	for _, ref := range s.Spec.Matches {
		if ref.Kind != routeGroupKind {
			return nil, fmt.Errorf("matches of kind %q are not known; use %s", ref.Kind, routeGroupKind)
		}
		group, ok := in.groups[types.NamespacedName{Namespace: s.Namespace, Name: ref.Name}]
		if !ok {
			return nil, fmt.Errorf("the %s %q does not exist", routeGroupKind, ref.Name)
		}
		for _, m := range slices.Concat(group.Spec.Matches, group.Matches) {
			match, err := m.match()
			if err != nil {
				return nil, fmt.Errorf("%s %q, match %q: %w", routeGroupKind, ref.Name, m.Name, err)
			}
			out = append(out, match)
		}
	}
	if len(s.Spec.Matches) > 0 && len(out) == 0 {
		return nil, fmt.Errorf("the %s named by matches hold no match", routeGroupKind)
	}
	return out, nil
}

// match checks expressions here, so that Envoy never has to refuse a
// configuration that holds other people's routes too.
func (m HTTPMatch) match() (routing.Match, error) {
	out := routing.Match{PathRegex: m.PathRegex}
	if _, err := regexp.Compile(m.PathRegex); err != nil {
		return routing.Match{}, fmt.Errorf("path: %w", err)
	}
	if !slices.Contains(m.Methods, "*") {
		out.Methods = slices.Clone(m.Methods)
		slices.Sort(out.Methods)
	}
	for _, name := range m.Headers.names() {
		if _, err := regexp.Compile(m.Headers[name]); err != nil {
			return routing.Match{}, fmt.Errorf("header %s: %w", name, err)
		}
		out.Headers = append(out.Headers, routing.HeaderMatch{Name: strings.ToLower(name), Regex: m.Headers[name]})
	}
	return out, nil
}
