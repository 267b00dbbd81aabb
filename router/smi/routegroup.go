package smi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/router"
)

// routeGroup is an HTTPRouteGroup: the requests that meet one of its matches.
type routeGroup struct {
	name    string
	matches []match
}

// match is one alternative; all of its headers must be there.
type match struct {
	name    string
	headers []header
	// more says that there are conditions that Weighlock doesn't write.
	more bool
}

type header struct {
	name, regex string
}

// newRouteGroup is the group for what a step matches. Its name depends on what it says: a split goes from one group to
// another in a single write, and a group that a split names is never written while it says the right thing.
func newRouteGroup(target router.Target, asked []v1alpha1.RequestMatch) (*routeGroup, error) {
	group := &routeGroup{}
	for i, alternative := range asked {
		m := match{name: fmt.Sprintf("match-%d", i+1)}
		for _, h := range alternative.Headers {
			regex := h.Regex
			if h.Exact != "" {
				regex = regexp.QuoteMeta(h.Exact)
			}
			// Meshes differ in whether an expression is for the whole value.
			m.headers = append(m.headers, header{name: strings.ToLower(h.Name), regex: "^(?:" + regex + ")$"})
		}
		slices.SortFunc(m.headers, func(a, b header) int { return cmp.Compare(a.name, b.name) })
		for j := 1; j < len(m.headers); j++ {
			if m.headers[j].name == m.headers[j-1].name {
				return nil, unsupported("SMI can't ask for two things of one header: name %s once in each entry of match in spec.steps", m.headers[j].name)
			}
		}
		group.matches = append(group.matches, m)
	}
	text, err := json.Marshal(group.list())
	if err != nil {
		return nil, fmt.Errorf("encode what a step matches: %w", err)
	}
	group.name = naming.Join(target.Service, naming.Hash(text, 10))
	return group, nil
}

// list is how the matches are written: headers in the form of the CRD, an array of maps with one key each, in a fixed order.
func (g *routeGroup) list() []any {
	out := make([]any, 0, len(g.matches))
	for _, m := range g.matches {
		headers := make([]any, 0, len(m.headers))
		for _, h := range m.headers {
			headers = append(headers, map[string]any{h.name: h.regex})
		}
		out = append(out, map[string]any{"name": m.name, "headers": headers})
	}
	return out
}

// readRouteGroup is the inverse.
func readRouteGroup(u *unstructured.Unstructured) *routeGroup {
	group := &routeGroup{name: u.GetName()}
	spec, _ := u.Object["spec"].(map[string]any)
	items, _ := spec["matches"].([]any)
	for _, item := range items {
		fields, _ := item.(map[string]any)
		m := match{more: fields["pathRegex"] != nil || fields["methods"] != nil}
		m.name, _ = fields["name"].(string)
		headers, _ := fields["headers"].([]any)
		for _, entry := range headers {
			values, _ := entry.(map[string]any)
			m.more = m.more || len(values) != 1
			for name, value := range values {
				regex, _ := value.(string)
				m.headers = append(m.headers, header{name: name, regex: regex})
			}
		}
		group.matches = append(group.matches, m)
	}
	return group
}

// says tells whether two groups mean the same requests.
func (g *routeGroup) says(other *routeGroup) bool {
	return slices.EqualFunc(g.matches, other.matches, func(a, b match) bool {
		return a.name == b.name && a.more == b.more && slices.Equal(a.headers, b.headers)
	})
}
