package smi_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/local/mesh/routing"
	"github.com/weighlock/weighlock/local/mesh/smi"
)

// services are HTTP Services of the namespace shop, on port 80.
func services(names ...string) routing.Services {
	out := routing.Services{}
	for _, name := range names {
		out[types.NamespacedName{Namespace: "shop", Name: name}] = routing.Service{
			Namespace: "shop", Name: name, Address: netip.MustParseAddr("10.96.0.50"),
			Ports: []routing.Port{{Number: 80, HTTP: true}},
		}
	}
	return out
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// split is a TrafficSplit of the root Service checkout.
func split(t *testing.T, version, spec string) *smi.TrafficSplit {
	t.Helper()
	return smi.ReadSplit(object(t, `
apiVersion: split.smi-spec.io/`+version+`
kind: TrafficSplit
metadata: {name: checkout, namespace: shop, uid: "1", generation: 3}
spec: `+spec))
}

func group(t *testing.T, text string) *smi.HTTPRouteGroup {
	t.Helper()
	out, err := smi.ReadRouteGroup(object(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// translate gives the rules of the root Service, and what is wrong.
func translate(translator *smi.Translator, known routing.Services, groups []*smi.HTTPRouteGroup, splits ...*smi.TrafficSplit) ([]routing.Rule, string) {
	table := routing.NewTable(known)
	problems := translator.Translate(table, known, splits, groups)
	var messages []string
	for _, p := range problems {
		messages = append(messages, p.Message)
	}
	return table.Routes[to("checkout")].Rules, strings.Join(messages, "\n")
}

func to(service string) routing.Destination {
	return routing.Destination{Namespace: "shop", Service: service, Port: 80}
}

func weighted(one, two uint32) []routing.Backend {
	return []routing.Backend{{To: to("one"), Weight: one}, {To: to("two"), Weight: two}}
}

var ownEndpoints = []routing.Rule{{Backends: []routing.Backend{{To: to("checkout"), Weight: 1}}}}

func TestTranslate_ReadsTheWeightsOfAllVersions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		version, one, two string
		want              []routing.Backend
	}{
		"whole numbers":       {"v1alpha2", "95", "5", weighted(95, 5)},
		"of ten thousand":     {"v1alpha4", "9999", "1", weighted(9999, 1)},
		"nothing for one":     {"v1alpha3", "0", "7", weighted(0, 7)},
		"quantities":          {"v1alpha1", `"1"`, `"3"`, weighted(1, 3)},
		"fractions":           {"v1alpha1", "900m", "100m", weighted(900, 100)},
		"fractions and whole": {"v1alpha1", "500m", "1", weighted(500, 1000)},
		"thousands":           {"v1alpha1", "1k", "1", weighted(1000, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := split(t, tc.version, "{service: checkout, backends: [{service: one, weight: "+tc.one+"}, {service: two, weight: "+tc.two+"}]}")
			rules, problems := translate(smi.NewTranslator(), services("checkout", "one", "two"), nil, s)
			if problems != "" {
				t.Fatal(problems)
			}
			if diff := cmp.Diff([]routing.Rule{{Backends: tc.want}}, rules); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const pilots = `
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: pilots, namespace: shop}
spec:
  matches:
  - {name: tenant, methods: ["*"], headers: HEADERS}
  - {name: path, pathRegex: "/beta/.*", methods: [POST, GET]}
`

func TestTranslate_SplitsOnlyWhatMatches(t *testing.T) {
	t.Parallel()
	want := []routing.Rule{
		{
			Matches: []routing.Match{
				{Headers: []routing.HeaderMatch{{Name: "x-region", Regex: "eu.*"}, {Name: "x-tenant", Regex: "acme"}}},
				{PathRegex: "/beta/.*", Methods: []string{"GET", "POST"}},
			},
			Backends: weighted(0, 1),
		},
		ownEndpoints[0],
	}
	for name, headers := range map[string]string{
		"headers as an array of maps": `[{x-tenant: acme}, {X-Region: "eu.*"}]`,
		"headers as a map":            `{x-tenant: acme, X-Region: "eu.*"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := split(t, "v1alpha4", "{service: checkout, backends: [{service: one, weight: 0}, {service: two, weight: 1}], matches: [{kind: HTTPRouteGroup, name: pilots}]}")
			groups := []*smi.HTTPRouteGroup{group(t, strings.Replace(pilots, "HEADERS", headers, 1))}
			rules, problems := translate(smi.NewTranslator(), services("checkout", "one", "two"), groups, s)
			if problems != "" {
				t.Fatal(problems)
			}
			if diff := cmp.Diff(want, rules); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTranslate_MirrorsByAnnotation(t *testing.T) {
	t.Parallel()
	s := split(t, "v1alpha2", "{service: checkout, backends: [{service: one, weight: 1}, {service: two, weight: 0}]}")
	s.Annotations = map[string]string{smi.MirrorAnnotation: `{"service": "two", "percent": 0.5}`}
	rules, problems := translate(smi.NewTranslator(), services("checkout", "one", "two"), nil, s)
	if problems != "" {
		t.Fatal(problems)
	}
	want := []routing.Rule{{Backends: weighted(1, 0), Mirror: &routing.Mirror{To: to("two"), Share: 5000}}}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Error(diff)
	}
}

func TestTranslate_KeepsTheLastGoodSplitAndSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := "{service: checkout, backends: [{service: one, weight: 95}, {service: two, weight: 5}]}"
	both := "backends: [{service: one, weight: 1}, {service: two, weight: 1}]"
	for name, tc := range map[string]struct {
		spec, mirror string
		says         string
	}{
		"a missing backend":  {spec: "{service: checkout, backends: [{service: gone, weight: 1}]}", says: `"gone" does not exist`},
		"a sum of 0":         {spec: "{service: checkout, backends: [{service: one, weight: 0}]}", says: "sum up to 0"},
		"no backends":        {spec: "{service: checkout, backends: []}", says: "sum up to 0"},
		"a negative weight":  {spec: "{service: checkout, backends: [{service: one, weight: -1}]}", says: "out of range"},
		"no number":          {spec: "{service: checkout, backends: [{service: one, weight: many}]}", says: "read TrafficSplit shop/checkout"},
		"a missing group":    {spec: "{service: checkout, " + both + ", matches: [{kind: HTTPRouteGroup, name: gone}]}", says: `HTTPRouteGroup "gone" does not exist`},
		"another kind":       {spec: "{service: checkout, " + both + ", matches: [{kind: TCPRoute, name: x}]}", says: `kind "TCPRoute"`},
		"a bad expression":   {spec: "{service: checkout, " + both + ", matches: [{kind: HTTPRouteGroup, name: bad}]}", says: "header x-tenant"},
		"a mirror to none":   {spec: good, mirror: `{"service": "gone", "percent": 5}`, says: `"gone" does not exist`},
		"too much mirrored":  {spec: good, mirror: `{"service": "two", "percent": 101}`, says: "between 0 and 100"},
		"a mirror, not JSON": {spec: good, mirror: `two`, says: smi.MirrorAnnotation},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			translator, known := smi.NewTranslator(), services("checkout", "one", "two")
			if _, problems := translate(translator, known, nil, split(t, "v1alpha2", good)); problems != "" {
				t.Fatal(problems)
			}
			groups := []*smi.HTTPRouteGroup{group(t, strings.NewReplacer("name: pilots", "name: bad", "HEADERS", `[{x-tenant: "("}]`).Replace(pilots))}
			bad := split(t, "v1alpha4", tc.spec)
			bad.Generation = 4
			if tc.mirror != "" {
				bad.Annotations = map[string]string{smi.MirrorAnnotation: tc.mirror}
			}
			for range 2 {
				rules, problems := translate(translator, known, groups, bad)
				if !strings.Contains(problems, tc.says) || !strings.Contains(problems, "generation 3 stays in force") {
					t.Errorf("said %q, want it to say %q and what stays", problems, tc.says)
				}
				if diff := cmp.Diff([]routing.Rule{{Backends: weighted(95, 5)}}, rules); diff != "" {
					t.Error(diff)
				}
			}
			rules, problems := translate(translator, known, nil)
			if diff := cmp.Diff(ownEndpoints, rules); diff != "" || problems != "" {
				t.Errorf("after the split is deleted: %s %s", problems, diff)
			}
		})
	}
}

func TestTranslate_LeavesTheRootAloneWhenASplitWasNeverGood(t *testing.T) {
	t.Parallel()
	rules, problems := translate(smi.NewTranslator(), services("checkout"), nil, split(t, "v1alpha2", "{service: checkout, backends: [{service: gone, weight: 1}]}"))
	if !strings.Contains(problems, "root Service's own endpoints") {
		t.Errorf("said %q", problems)
	}
	if diff := cmp.Diff(ownEndpoints, rules); diff != "" {
		t.Error(diff)
	}
}

func TestTranslate_TheOldestOfSeveralSplitsCounts(t *testing.T) {
	t.Parallel()
	older := split(t, "v1alpha2", "{service: checkout, backends: [{service: one, weight: 1}]}")
	newer := split(t, "v1alpha2", "{service: checkout, backends: [{service: two, weight: 1}]}")
	older.Name, older.UID = "older", "2"
	newer.CreationTimestamp.Time = older.CreationTimestamp.Add(time.Second)
	rules, problems := translate(smi.NewTranslator(), services("checkout", "one", "two"), nil, newer, older)
	if want := []routing.Rule{{Backends: []routing.Backend{{To: to("one"), Weight: 1}}}}; cmp.Diff(want, rules) != "" {
		t.Error(cmp.Diff(want, rules))
	}
	if !strings.Contains(problems, "older was there first") {
		t.Errorf("said %q", problems)
	}
}
