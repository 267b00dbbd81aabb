package lint_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/cli/lint"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// found are the findings in a text, without the name of the file.
func found(t *testing.T, text string) []string {
	t.Helper()
	report, err := lint.Check([]string{"-"}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, finding := range report.Findings {
		lines = append(lines, strings.TrimPrefix(finding.String(), "standard input:"))
	}
	return lines
}

func TestCheck_TellsWhatIsWrongAndWhere(t *testing.T) {
	report, err := lint.Check([]string{"testdata/wrong.yaml"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, finding := range report.Findings {
		lines.WriteString(finding.String() + "\n")
	}
	const golden = "testdata/wrong.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), lines.String()); diff != "" {
		t.Errorf("findings differ (-want +got); -update rewrites them:\n%s", diff)
	}
}

const head = `apiVersion: weighlock.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  workload: {name: shop}
  service: {name: shop, port: 80}
  router: [{smi: {}}]
`

const template = `apiVersion: weighlock.dev/v1alpha1
kind: AnalysisTemplate
metadata: {name: queue}
spec:
`

// All that the API server would take.
func TestCheck_KnowsWhatOnlyWeighlockKnows(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"nothing wrong": {head + "  steps: [{weight: 5}]\n  analysis: {}\n", []string{}},
		"no steps":      {head, []string{"4:1: warning: Rollout/shop: spec: has no steps: a candidate gets all traffic as soon as it is ready, and nothing is weighed"}},
		"a step without gates": {
			head + "  steps:\n  - {weight: 5, hold: 1m}\n  - {weight: 50}\n",
			[]string{"10:5: warning: Rollout/shop: spec.steps[1]: is left at once: add a hold or an approval, or spec.analysis"},
		},
		"a match with a weight": {
			head + "  steps: [{weight: 5, match: [{headers: [{name: a, exact: b}]}], hold: 1m}]\n",
			[]string{"8:23: Rollout/shop: spec.steps[0].match: can't stand together with a weight in SMI: make two steps of it"},
		},
		"a match in an old version": {
			strings.Replace(head, "smi: {}", "smi: {version: v1alpha2}", 1) + "  steps: [{match: [{headers: [{name: a, exact: b}]}], hold: 1m}]\n",
			[]string{"8:12: Rollout/shop: spec.steps[0].match: can't be done by a TrafficSplit of version v1alpha2: set smi.version in spec.router to v1alpha3 or v1alpha4, or leave it out"},
		},
		"copies that SMI can't make": {
			head + "  steps: [{shadow: 5, hold: 1m}]\n",
			[]string{"8:20: Rollout/shop: spec.steps[0].shadow: can't be done by SMI: leave it out, or set smi.mirror: true in spec.router if the mesh understands the annotation weighlock.dev/mirror"},
		},
		"copies that the mesh makes": {strings.Replace(head, "smi: {}", "smi: {mirror: true}", 1) + "  steps: [{shadow: 5, hold: 1m}]\n", []string{}},
		"a selector that computes": {
			head + "  steps: [{weight: 5}]\n  analysis:\n    source: {counters: {requests: 'sum(a{s=\"{service}\"})', errors: 'b{s=\"{service}\"}'}}\n",
			[]string{`10:35: Rollout/shop: spec.analysis.source.counters.requests: must be a series selector that names one metric, such as http_requests_total{service="{service}"}, without functions, ranges or operators`},
		},
		"a query with an unknown placeholder": {
			head + "  steps: [{weight: 5}]\n  analysis: {metrics: [{name: lag, threshold: {query: 'x{a=\"{servce}\"}', max: \"1\"}}]}\n",
			[]string{"9:55: Rollout/shop: spec.analysis.metrics[0].threshold.query: has an unknown placeholder {servce}: there are {candidate.service}, {candidate.workload}, {incumbent.service}, {incumbent.workload}, {namespace}, {port}"},
		},
		"a name that nothing can have": {
			strings.Replace(head, "service: {name: shop,", "service: {name: Shop,", 1) + "  steps: [{weight: 5}]\n  analysis: {}\n",
			[]string{`6:19: Rollout/shop: spec.service.name: is "Shop", which is no name of Kubernetes`},
		},
		"two of one workload": {
			head + "  steps: [{weight: 5}]\n  analysis: {}\n---\n" + strings.Replace(strings.Replace(head, "metadata: {name: shop}", "metadata: {name: other}", 1), "service: {name: shop", "service: {name: other", 1) + "  steps: [{weight: 5}]\n  analysis: {}\n",
			[]string{"15:20: Rollout/other: spec.workload.name: names the workload shop, which Rollout/shop in standard input:5 has: one of them would be stalled"},
		},
		"the same name twice": {
			template + "  metrics: [{name: a, threshold: {query: x, max: \"1\"}}]\n---\n" + template + "  metrics: [{name: a, threshold: {query: x, max: \"1\"}}]\n",
			[]string{"9:18: AnalysisTemplate/queue: metadata.name: is there twice: the other one is in standard input:3"},
		},
		"a template by itself, with arguments of any value": {
			template + "  args: [{name: low}, {name: high, default: \"0.5\"}]\n  metrics: [{name: a, threshold: {query: x, min: \"{args.low}\", max: \"{args.high}\"}}]\n", []string{},
		},
		"a default that doesn't fit": {
			template + "  args: [{name: high, default: ten}]\n  metrics: [{name: a, threshold: {query: x, max: \"{args.high}\"}}]\n",
			[]string{`6:50: AnalysisTemplate/queue: spec.metrics[0].threshold.max: is "ten" with its arguments, and must be a number, written like "0.5"`},
		},
		"a template's metric that has the name of the Rollout's": {
			template + "  metrics: [{name: lag, threshold: {query: x, max: \"1\"}}]\n---\n" + head + "  steps: [{weight: 5}]\n  analysis:\n    metrics: [{name: lag, threshold: {query: x, max: \"1\"}}]\n    templates:\n    - name: queue\n",
			[]string{`18:7: Rollout/shop: spec.analysis.templates[0]: metric "lag" of AnalysisTemplate "queue": has the name of a metric of the Rollout: rename one of them`},
		},
		"a template that isn't there": {head + "  steps: [{weight: 5}]\n  analysis: {templates: [{name: elsewhere}]}\n", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, found(t, test.text)); diff != "" {
				t.Errorf("findings differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheck_ReadsWhatKubectlReads(t *testing.T) {
	steps := "  steps: [{weight: 105}]\n  analysis: {}\n"
	const wrong = "can't be 105: a step's weight can't be above totalWeight (100 unless spec.totalWeight says otherwise): lower the weight, or raise spec.totalWeight"
	indented := "  " + strings.ReplaceAll(strings.TrimSuffix(head+steps, "\n"), "\n", "\n  ") + "\n"
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"several documents":  {"# first\n---\na: b\n--- # and then\n" + head + steps, []string{"12:20: Rollout/shop: spec.steps[0].weight: " + wrong}},
		"a list":             {"apiVersion: v1\nkind: List\nitems:\n-" + indented[1:], []string{"11:22: Rollout/shop: spec.steps[0].weight: " + wrong}},
		"a list of Rollouts": {"apiVersion: weighlock.dev/v1alpha1\nkind: RolloutList\nitems:\n-" + indented[1:], []string{"11:22: Rollout/shop: spec.steps[0].weight: " + wrong}},
		"a list that says of what once": {
			"apiVersion: weighlock.dev/v1alpha1\nkind: RolloutList\nitems:\n- " + strings.SplitN(indented, "\n  ", 3)[2],
			[]string{"9:22: Rollout/shop: spec.steps[0].weight: " + wrong},
		},
		"lines of Windows":   {strings.ReplaceAll(head+steps, "\n", "\r\n"), []string{"8:20: Rollout/shop: spec.steps[0].weight: " + wrong}},
		"anchors":            {head + "  steps: [&a {weight: 105}, *a]\n  analysis: {}\n", []string{"8:23: Rollout/shop: spec.steps[0].weight: " + wrong}},
		"JSON":               {`{"apiVersion": "weighlock.dev/v1alpha1", "kind": "GitSource", "metadata": {"name": "a"}, "spec": {"url": 5}}`, []string{`1:90: GitSource/a: spec.serviceAccountName: is missing`, `1:106: GitSource/a: spec.url: must be of type string: "integer"`}},
		"truth of YAML 1.1":  {head + "  suspend: yes\n  steps: [{weight: 5}]\n  analysis: {}\n", []string{}},
		"what is of others":  {"a: b\n---\napiVersion: v1\nkind: Pod\nspec: {unknown: field}\n---\n- a\n---\n", []string{}},
		"a word that is not": {head + "  suspend: ja\n  steps: [{weight: 5}]\n  analysis: {}\n", []string{`8:12: Rollout/shop: spec.suspend: must be of type boolean: "string"`}},
		"a tab":              {head + "\tsteps: []\n", []string{"8:1: is no YAML: found character that cannot start any token"}},
		"an unknown kind":    {"apiVersion: weighlock.dev/v1alpha1\nkind: Release\n", []string{`2:7: Release: kind: can't be "Release": of weighlock.dev there are AnalysisTemplate, Decision, GitSource, Rollout`}},
		"status":             {head + "  steps: [{weight: 5}]\n  analysis: {}\nstatus: {state: Idle}\n", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, found(t, test.text)); diff != "" {
				t.Errorf("findings differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheck_KnowsWhatIsMeantForWeighlockByAnotherName(t *testing.T) {
	steps := "  steps: [{weight: 5}]\n  analysis: {}\n"
	as := func(apiVersion, text string) string {
		return strings.Replace(text, "apiVersion: weighlock.dev/v1alpha1\n", apiVersion, 1)
	}
	const write, meant = ": write weighlock.dev/v1alpha1", ": weighlock.dev/v1alpha1 may be meant"
	whole := template + "  metrics: [{name: a, threshold: {query: x, max: \"1\"}}]\n"
	const argoTemplate = "kind: AnalysisTemplate\nmetadata: {name: a}\nspec: {metrics: [{name: a, provider: {prometheus: {query: x}}}]}\n"
	const argo = "kind: Rollout\nmetadata: {name: a}\nspec: {replicas: 5, analysis: {}, strategy: {canary: {}}, template: {}}\n"
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"no apiVersion":                 {"---\n" + as("", head+steps), []string{"2:1: Rollout/shop: apiVersion: is missing" + write}},
		"an empty one":                  {as("apiVersion:\n", head+steps), []string{"1:12: Rollout/shop: apiVersion: is missing" + write}},
		"the group only":                {as("apiVersion: weighlock.dev\n", head+steps), []string{`1:13: Rollout/shop: apiVersion: can't be "weighlock.dev"` + write}},
		"the version only":              {as("apiVersion: v1alpha1\n", head+steps), []string{`1:13: Rollout/shop: apiVersion: can't be "v1alpha1"` + write}},
		"too many parts":                {as("apiVersion: weighlock.dev/v1/alpha1\n", head+steps), []string{`1:13: Rollout/shop: apiVersion: can't be "weighlock.dev/v1/alpha1"` + write}},
		"a slip":                        {as("apiVersion: weighlok.dev/v1alpha1\n", head+steps), []string{`1:13: Rollout/shop: apiVersion: can't be "weighlok.dev/v1alpha1"` + meant}},
		"a slip without a version":      {as("apiVersion: weightlock.dev\n", head+steps), []string{`1:13: Rollout/shop: apiVersion: can't be "weightlock.dev"` + meant}},
		"a slip, of any kind":           {"apiVersion: Weighlock.dev/v1alpha1\nkind: Rolout\n", []string{`1:13: Rolout: apiVersion: can't be "Weighlock.dev/v1alpha1"` + meant}},
		"another ending":                {as("apiVersion: weighlock.io/v1alpha1\n", head+steps), []string{`1:13: Rollout/shop: apiVersion: can't be "weighlock.io/v1alpha1"` + meant}},
		"no ending":                     {as("apiVersion: weighlock/v1alpha1\n", head+steps), []string{`1:13: Rollout/shop: apiVersion: can't be "weighlock/v1alpha1"` + meant}},
		"a template without":            {as("", whole), []string{"1:1: AnalysisTemplate/queue: apiVersion: is missing" + write}},
		"a GitSource without":           {"kind: GitSource\nmetadata: {name: a}\n", []string{"1:1: GitSource/a: apiVersion: is missing" + write}},
		"a Decision without":            {"kind: Decision\nmetadata: {name: a}\nspec: {verb: abort}\n", []string{"1:1: Decision/a: apiVersion: is missing" + write}},
		"in a list":                     {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n- {kind: GitSource, metadata: {name: a}}\n", []string{"5:3: GitSource/a: apiVersion: is missing" + write}},
		"a list that says of what once": {"kind: GitSourceList\nitems:\n- {metadata: {name: a}}\n", []string{"3:3: GitSource/a: apiVersion: is missing" + write}},
		"and what else is wrong":        {as("apiVersion: weighlock.dev\n", head+"  suspend: true\n  suspend: true\n"), []string{`1:13: Rollout/shop: apiVersion: can't be "weighlock.dev"` + write, "9:3: spec.suspend: is there twice: remove it, or the one a line before"}},

		"Argo's":                    {"apiVersion: argoproj.io/v1alpha1\n" + argo + "---\napiVersion: argoproj.io/v1alpha1\n" + argoTemplate, []string{}},
		"Argo's without apiVersion": {argo + "---\n" + argoTemplate, []string{}},
		"ours, of others":           {as("apiVersion: rollouts.example.com/v1\n", head+steps), []string{}},
		"of our kind and no object": {"kind: Rollout\nreplicas: 5\nreplicas: 6\n", []string{}},
		"a group of its own":        {"apiVersion: weighlock.shop.example/v1\nkind: Rollout\nspec: {service: a}\n", []string{}},
		"merged from elsewhere":     {"base: &a {apiVersion: argoproj.io/v1alpha1}\n<<: *a\nkind: Rollout\nspec: {service: a}\n", []string{}},
		"a Deployment of ours":      {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {labels: {weighlock.dev/source: a}}\nspec: {service: a}\n", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, found(t, test.text)); diff != "" {
				t.Errorf("findings differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheck_TellsOfBrokenFilesThatAreMeantForWeighlock(t *testing.T) {
	broken := head + "\tsteps: []\n"
	for apiVersion, want := range map[string]int{
		"apiVersion: weighlock.dev/v1alpha1": 1, "apiVersion: weighlock.dev": 1, "apiVersion: 'weighlok.dev/v1alpha1'": 1, "apiVersion: weighlock.io/v1": 1, "": 1,
		"apiVersion: argoproj.io/v1alpha1": 0, "apiVersion: {{ .Values.api }}": 0, "apiVersion: apps/v1": 0,
	} {
		folder := t.TempDir()
		text := strings.Replace(broken, "apiVersion: weighlock.dev/v1alpha1", apiVersion, 1)
		if err := os.WriteFile(filepath.Join(folder, "rollout.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := lint.Check([]string{folder}, nil)
		if err != nil || report.Errors() != want {
			t.Errorf("%q: %v, and %d errors, not %d: %v", apiVersion, err, report.Errors(), want, report.Findings)
		}
	}
}

func TestCheck_LooksThroughFolders(t *testing.T) {
	folder := t.TempDir()
	bad := strings.Replace(head, "port: 80", "port: 0", 1)
	for path, content := range map[string]string{
		"a/rollout.yaml": bad, "a/rollout.yml": bad, "a/notes.txt": bad, "a/.git/rollout.yaml": bad,
		"a/chart/rollout.yaml":  "{{ if .Values.rollout }}\n" + bad + "{{ end }}\n",
		"a/chart/service.yaml":  "{{ if .Values.service }}\nkind: Service\n{{ end }}\n",
		"b/kustomization.yaml":  "resources: [../a]\npatches: [{path: patch.yaml}, {path: bare.yaml, target: {kind: Rollout}}]\npatchesStrategicMerge: [old.yaml]\n",
		"b/patch.yaml":          "apiVersion: weighlock.dev/v1alpha1\nkind: Rollout\nmetadata: {name: shop}\nspec: {suspend: true}\n",
		"b/bare.yaml":           "kind: Rollout\nmetadata: {name: shop}\nspec: {service: {port: 80}}\n",
		"b/old.yaml":            "apiVersion: weighlock.dev/v1alpha1\nkind: Rollout\nmetadata: {name: shop}\nspec: {suspend: true}\n",
		"b/other/rollout.yaml":  head + "  steps: [{weight: 5}]\n  analysis: {}\n",
		"b/another/deploy.yaml": head + "  steps: [{weight: 5}]\n  analysis: {}\n", // for another cluster, perhaps
	} {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report, err := lint.Check([]string{folder, filepath.Join(folder, "a")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := []string{}
	for _, finding := range report.Findings {
		path, err := filepath.Rel(folder, finding.File)
		if err != nil {
			t.Fatal(err)
		}
		if finding.Severity == lint.Error {
			files = append(files, path)
		}
	}
	if diff := cmp.Diff([]string{"a/chart/rollout.yaml", "a/rollout.yaml", "a/rollout.yml"}, files); diff != "" {
		t.Errorf("files with errors differ (-want +got):\n%s", diff)
	}
	if report.Objects != 4 {
		t.Errorf("found %d objects, want 4", report.Objects)
	}
}

func TestCheck_FollowsLinks(t *testing.T) {
	folder := t.TempDir()
	rollout := head + "  steps: [{weight: 5}]\n  analysis: {}\n"
	for path, content := range map[string]string{"real/rollout.yaml": rollout, "real/large.json": strings.Repeat(" ", 5<<20), "elsewhere.txt": strings.Replace(rollout, "port: 80", "port: 0", 1)} {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"deploy": "real", "real/linked.yaml": "../elsewhere.txt", "real/again.yaml": "rollout.yaml", "real/.#rollout.yaml": "ada@laptop.1234"} {
		if err := os.Symlink(to, filepath.Join(folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(folder)
	report, err := lint.Check([]string{"deploy", "real", "real/rollout.yaml"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, finding := range report.Findings {
		lines = append(lines, finding.String())
	}
	want := []string{
		"deploy/large.json:1:1: warning: is larger than 4 MiB, and was not looked at: name it, or split it",
		`deploy/linked.yaml:6:31: Rollout/shop: spec.service.port: can't be 0: it should be greater than or equal to 1`,
	}
	if diff := cmp.Diff(want, lines); diff != "" || report.Objects != 2 {
		t.Errorf("%d objects; findings differ (-want +got):\n%s", report.Objects, diff)
	}
}

func TestCheck_ReadsThePipesOfShells(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	path := fmt.Sprintf("/dev/fd/%d", reader.Fd())
	if _, err := os.Stat(path); err != nil {
		t.Skip("there is no /dev/fd")
	}
	if _, err := writer.WriteString(head + "  steps: [{weight: 5}]\n  analysis: {}\n"); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	report, err := lint.Check([]string{path}, nil)
	if err != nil || report.Objects != 1 {
		t.Errorf("it finds %d objects, %v", report.Objects, err)
	}
}

func TestCheck_SaysWhatItCantRead(t *testing.T) {
	if _, err := lint.Check([]string{"-"}, strings.NewReader("\n")); err == nil || !strings.Contains(err.Error(), "standard input: it is empty") {
		t.Errorf("of nothing it says %v", err)
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, []byte(strings.Repeat("a", 5<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"nowhere.yaml": "nowhere.yaml", large: "it is larger than 4 MiB"} {
		if _, err := lint.Check([]string{path}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}
