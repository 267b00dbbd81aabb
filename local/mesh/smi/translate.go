package smi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/weighlock/weighlock/local/mesh/routing"
)

// Problem says why a TrafficSplit is not in force as written.
type Problem struct {
	Split   *TrafficSplit
	Message string
}

// Translator lays TrafficSplits over a table. It remembers the last good
// routes of each split, and keeps to them while the split is not usable.
type Translator struct {
	good map[types.UID][]routing.Route
}

// NewTranslator makes a translator that remembers nothing yet.
func NewTranslator() *Translator {
	return &Translator{good: map[types.UID][]routing.Route{}}
}

// Translate replaces the table's routes of all root Services that a usable
// TrafficSplit names, and returns what is wrong with the others. When several
// splits name one root, which SMI leaves undefined, the oldest counts.
func (t *Translator) Translate(table routing.Table, services routing.Services, splits []*TrafficSplit, groups []*HTTPRouteGroup) []Problem {
	splits = slices.Clone(splits)
	slices.SortFunc(splits, func(a, b *TrafficSplit) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	in := input{services: services, groups: map[types.NamespacedName]*HTTPRouteGroup{}}
	for _, g := range groups {
		in.groups[types.NamespacedName{Namespace: g.Namespace, Name: g.Name}] = g
	}
	var problems []Problem
	claimed := map[types.NamespacedName]string{}
	good := map[types.UID][]routing.Route{}
	for _, s := range splits {
		root := types.NamespacedName{Namespace: s.Namespace, Name: t.root(s)}
		if first, taken := claimed[root]; taken {
			problems = append(problems, Problem{s, fmt.Sprintf("TrafficSplit %s was there first for Service %s; this one is not applied", first, root.Name)})
			continue
		}
		claimed[root] = s.Name
		routes, err := in.routes(s)
		if err != nil {
			routes = t.good[s.UID]
			problems = append(problems, Problem{s, err.Error() + kept(routes)})
		}
		good[s.UID] = routes
		for _, r := range routes {
			// A Service that is gone, or was moved, is no longer listened on.
			if old, ok := table.Routes[r.Root]; ok {
				r.Listen = old.Listen
				table.Routes[r.Root] = r
			}
		}
	}
	t.good = good
	return problems
}

// root is the Service that a split is for, as far as it can be known.
func (t *Translator) root(s *TrafficSplit) string {
	if old := t.good[s.UID]; s.unreadable != nil && len(old) > 0 {
		return old[0].Root.Service
	}
	return s.Spec.Service
}

func kept(routes []routing.Route) string {
	if len(routes) == 0 {
		return "; not applied, requests go to the root Service's own endpoints"
	}
	return fmt.Sprintf("; not applied, generation %d stays in force", routes[0].Source.Generation)
}

type input struct {
	services routing.Services
	groups   map[types.NamespacedName]*HTTPRouteGroup
}

// routes are the routes of a split, one for each HTTP port of its root.
func (in input) routes(s *TrafficSplit) ([]routing.Route, error) {
	if s.unreadable != nil {
		return nil, s.unreadable
	}
	root, ok := in.services[types.NamespacedName{Namespace: s.Namespace, Name: s.Spec.Service}]
	if !ok {
		return nil, fmt.Errorf("the root Service %q does not exist, or has no selector or cluster address", s.Spec.Service)
	}
	weights, err := weights(s.Spec.Backends)
	if err != nil {
		return nil, err
	}
	matches, err := in.matches(s)
	if err != nil {
		return nil, err
	}
	var out []routing.Route
	for _, port := range root.Ports {
		if !port.HTTP {
			continue
		}
		rules, err := in.rules(s, root, port.Number, weights, matches)
		if err != nil {
			return nil, err
		}
		out = append(out, routing.Route{
			Root:   root.Destination(port.Number),
			Rules:  rules,
			Source: routing.Source{Kind: splitKind, Name: s.Name, UID: string(s.UID), Generation: s.Generation},
		})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the root Service %q has no HTTP port; set appProtocol: http, or name the port http", root.Name)
	}
	return out, nil
}

func (in input) rules(s *TrafficSplit, root routing.Service, port uint16, weights []uint32, matches []routing.Match) ([]routing.Rule, error) {
	split := routing.Rule{Matches: matches}
	for i, b := range s.Spec.Backends {
		to, err := in.backend(s, b.Service, port)
		if err != nil {
			return nil, err
		}
		split.Backends = append(split.Backends, routing.Backend{To: to, Weight: weights[i]})
	}
	mirror, err := in.mirror(s, port)
	if err != nil {
		return nil, err
	}
	split.Mirror = mirror
	rules := []routing.Rule{split}
	if len(s.Spec.Matches) > 0 {
		rules = append(rules, routing.Rule{Backends: []routing.Backend{{To: root.Destination(port), Weight: 1}}, Mirror: mirror})
	}
	return rules, nil
}

func (in input) backend(s *TrafficSplit, name string, port uint16) (routing.Destination, error) {
	svc, ok := in.services[types.NamespacedName{Namespace: s.Namespace, Name: name}]
	if !ok {
		return routing.Destination{}, fmt.Errorf("the Service %q does not exist, or has no selector or cluster address", name)
	}
	if _, ok := svc.Port(port); !ok {
		return routing.Destination{}, fmt.Errorf("the Service %q lacks the root Service's port %d", name, port)
	}
	return svc.Destination(port), nil
}

func (in input) mirror(s *TrafficSplit, port uint16) (*routing.Mirror, error) {
	text, ok := s.Annotations[MirrorAnnotation]
	if !ok || text == "" {
		return nil, nil //nolint:nilnil // No mirror is asked for.
	}
	var asked struct {
		Service string  `json:"service"`
		Percent float64 `json:"percent"`
	}
	if err := json.Unmarshal([]byte(text), &asked); err != nil {
		return nil, fmt.Errorf("read annotation %s: %w", MirrorAnnotation, err)
	}
	if !(asked.Percent >= 0 && asked.Percent <= 100) {
		return nil, fmt.Errorf("annotation %s: percent must be between 0 and 100", MirrorAnnotation)
	}
	if asked.Percent == 0 {
		return nil, nil //nolint:nilnil // A mirror of nothing is none.
	}
	to, err := in.backend(s, asked.Service, port)
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w", MirrorAnnotation, err)
	}
	return &routing.Mirror{To: to, Share: uint32(math.Round(asked.Percent * routing.Million / 100))}, nil
}

// weights are the backends' weights as whole numbers that keep their ratio.
// Only fractions, which v1alpha1 allows, make them larger than written.
func weights(backends []SplitBackend) ([]uint32, error) {
	milli := make([]int64, len(backends))
	unit, sum := int64(1000), int64(0)
	for i, b := range backends {
		milli[i] = b.Weight.MilliValue()
		if milli[i] < 0 || milli[i] > math.MaxUint32 {
			return nil, fmt.Errorf("the weight %s of %q is out of range", b.Weight.String(), b.Service)
		}
		if milli[i]%1000 != 0 {
			unit = 1
		}
		sum += milli[i]
	}
	if sum == 0 {
		return nil, fmt.Errorf("the weights of %d backends sum up to 0", len(backends))
	}
	if sum/unit > math.MaxUint32 {
		return nil, fmt.Errorf("the weights sum up to more than %d", uint32(math.MaxUint32))
	}
	out := make([]uint32, len(milli))
	for i, m := range milli {
		out[i] = uint32(m / unit) //nolint:gosec // In range, see above.
	}
	return out, nil
}
