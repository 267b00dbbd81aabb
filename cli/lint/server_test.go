package lint_test

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/cli/lint"
	"github.com/weighlock/weighlock/internal/apiservertest"
)

// server is a real API server with the CustomResourceDefinitions, which is asked the same as lint.
var server client.Client

func TestMain(m *testing.M) {
	apiservertest.Main(m, apiservertest.Options{CRDs: true}, func(started *apiservertest.Server) (err error) {
		started.Config.QPS = -1 // thousands of objects are tried
		server, err = client.New(started.Config, client.Options{})
		return err
	})
}

// What the tests of the API try on the API server, lint must judge likewise.
func TestCheck_AgreesWithTheAPIServerOnItsRules(t *testing.T) {
	tried := 0
	for _, table := range ruleTables(t) {
		for _, changes := range table.changes {
			content := fragment(t, table.valid)
			spec, _ := content["spec"].(map[string]any)
			content["spec"] = merge(spec, fragment(t, changes))
			tried++
			agree(t, changes, content)
		}
	}
	if tried < 250 {
		t.Errorf("found %d cases in the tests of the API", tried)
	}
}

const wholeRollout = `
apiVersion: weighlock.dev/v1alpha1
kind: Rollout
metadata: {name: checkout, labels: {team: shop}, annotations: {weighlock.dev/notify: "a,b"}}
spec:
  workload: {kind: Deployment, name: checkout, trackLabel: app}
  service: {name: checkout, port: 8080}
  router: [{smi: {version: v1alpha4, settle: 2s, mirror: true}}]
  totalWeight: 1000
  steps:
  - {name: ghost, shadow: 50, hold: 2m, deadline: 5m, onDeadline: Rollback, replicas: 50%}
  - {name: pilot, match: [{headers: [{name: x-tenant, exact: acme}, {name: x-region, regex: "eu-.*"}]}], replicas: 2}
  - {weight: 25, approval: {approvers: [{user: alice}, {group: leads}], quorum: 1, expires: 24h}}
  analysis:
    errors: {slo: "99.5", margin: "1.25", ignoreBelow: "0.1", dryRun: false}
    latency: {quantile: p99, threshold: 500ms, margin: "1.25", warmUp: 60s, dryRun: false}
    metrics:
    - {name: lag, threshold: {query: "max(lag)", min: "0", max: "5", times: 3}}
    - {name: carts, ratio: {bad: 'a{s="{service}"}', total: 'b{s="{service}"}', slo: "99", margin: "2"}, dryRun: true}
    templates: [{name: queue, args: [{name: max, value: "5"}]}]
    interval: 5s
    source: {address: "http://prometheus:9090", counters: {requests: 'r{s="{service}"}', errors: 'e{s="{service}"}', latency: 'l{s="{service}"}', unit: ms}}
  abortDelay: 30s
  routeDeadline: 5m
  deletionPolicy: Release
  suspend: false
`

const wholeGitSource = `
apiVersion: weighlock.dev/v1alpha1
kind: GitSource
metadata: {name: shop}
spec: {url: "https://example.com/shop.git", branch: main, path: ./deploy, interval: 1m, timeout: 2m, prune: true, serviceAccountName: shop, secretRef: {name: key}, suspend: false}
`

const wholeTemplate = `
apiVersion: weighlock.dev/v1alpha1
kind: AnalysisTemplate
metadata: {name: queue}
spec:
  args: [{name: max, default: "5"}, {name: queue}]
  metrics: [{name: lag, threshold: {query: 'max(lag{q="{args.queue}"})', max: "{args.max}"}}]
`

const wholeDecision = `
apiVersion: weighlock.dev/v1alpha1
kind: Decision
metadata: {name: checkout-approve}
spec: {rollout: checkout, verb: approve, revision: mpq7g6qxkh, step: 1, actor: alice, groups: [leads], via: kubectl, reason: fine, full: false}
`

// Every field of every kind is given what it can't be, and what it may be perhaps, is left out, and gets a neighbour that is unknown.
func TestCheck_AgreesWithTheAPIServerOnEveryFieldGoneWrong(t *testing.T) {
	for _, whole := range []string{wholeRollout, wholeGitSource, wholeTemplate, wholeDecision} {
		valid := fragment(t, whole)
		if !agree(t, "as it is", valid) {
			t.Fatalf("this is not valid:\n%s", whole)
		}
		tried := 0
		for _, path := range paths(valid, nil) {
			for _, bad := range []any{nil, "", "x", "-1", int64(0), int64(-1), int64(1 << 40), 1.5, true, []any{}, []any{"x"}, map[string]any{}, map[string]any{"x": "y"}} {
				content := runtime.DeepCopyJSON(valid)
				set(content, path, bad)
				tried++
				agree(t, fmt.Sprintf("%s: %#v", strings.Join(path, "."), bad), content)
			}
			content := runtime.DeepCopyJSON(valid)
			set(content, append(slices.Clone(path[:len(path)-1]), "unknown"), "x")
			agree(t, strings.Join(path, ".")+" beside unknown", content)
		}
		if tried < 100 {
			t.Errorf("tried only %d", tried)
		}
	}
}

func TestCheck_AgreesWithTheAPIServerOnMetadata(t *testing.T) {
	for _, metadata := range []string{
		`{name: Checkout}`, `{name: "a b"}`, `{name: a.b}`, `{name: -a}`, `{}`, `{generateName: checkout-}`, `{name: a, labels: {"a b": c}}`,
		`{name: a, labels: {team: "a b"}}`, `{name: a, labels: {team: 1}}`, `{name: a, annotations: {"a b": c}}`, `{name: a, annotations: {a: 1}}`,
		`{name: a, lables: {a: b}}`, `{name: a, finalizers: [a]}`, `{name: a, finalizers: ["a/b", "a b"]}`, `{name: 5}`,
		`{name: a, ownerReferences: [{apiVersion: v1, kind: Pod, name: b, uid: c}]}`, `{name: a, ownerReferences: [{name: b}]}`,
		`{name: ` + strings.Repeat("a", 253) + `}`, `{name: ` + strings.Repeat("a", 254) + `}`,
	} {
		content := fragment(t, wholeTemplate)
		content["metadata"] = fragment(t, metadata)
		agree(t, metadata, content)
	}
}

// agree asks both, and says whether the object is taken.
func agree(t *testing.T, what string, content map[string]any) bool {
	t.Helper()
	// Both read JSON, which has no types of Go's.
	body, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(body); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	object.SetNamespace(metav1.NamespaceDefault)
	refused := server.Create(context.WithoutCancel(t.Context()), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	if refused != nil && !apierrors.IsInvalid(refused) && !apierrors.IsBadRequest(refused) {
		t.Fatalf("%s: the API server fails otherwise: %v", what, refused)
	}
	report, err := lint.Check([]string{"-"}, strings.NewReader(string(body)))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if report.Objects != 1 {
		t.Errorf("%s: %d objects are found", what, report.Objects)
	}
	if refused != nil && report.Errors() == 0 {
		t.Errorf("%s: lint finds nothing, and the API server says %v", what, refused)
	}
	if refused == nil {
		for _, finding := range report.Findings {
			if finding.Severity == lint.Error && !knownToWeighlockOnly(finding) {
				t.Errorf("%s: the API server takes it, and lint says %s", what, finding)
			}
		}
	}
	return refused == nil
}

// knownToWeighlockOnly says whether the API server can't know.
func knownToWeighlockOnly(finding lint.Finding) bool {
	for _, words := range []string{"by SMI", "in SMI", "a TrafficSplit of version", "placeholder", "series selector", "AnalysisTemplate", "is the name of another metric", "regular expression", "no name of Kubernetes", "with its arguments"} {
		if strings.Contains(finding.Message, words) {
			return true
		}
	}
	return false
}

// table is one of the tests of the API.
type table struct {
	valid   string
	changes []string
}

// ruleTables reads the tables of the API's tests out of their source: they are the one place where cases stand.
func ruleTables(t *testing.T) []table {
	t.Helper()
	files, err := filepath.Glob("../../api/v1alpha1/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of the API: %v", err)
	}
	texts, changes := map[string]string{}, map[string][]string{}
	var checks [][2]string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.ValueSpec:
				if len(node.Values) == 1 {
					if text, is := literal(node.Values[0]); is {
						texts[node.Names[0].Name] = text
					}
					changes[node.Names[0].Name] = append(cases(node.Values[0], "accept"), cases(node.Values[0], "reject")...)
				}
			case *ast.CallExpr:
				if called, is := node.Fun.(*ast.Ident); is && called.Name == "check" && len(node.Args) == 3 {
					valid, _ := node.Args[1].(*ast.Ident)
					rules, _ := node.Args[2].(*ast.Ident)
					checks = append(checks, [2]string{valid.Name, rules.Name})
				}
			}
			return true
		})
	}
	var tables []table
	for _, check := range checks {
		if texts[check[0]] == "" || len(changes[check[1]]) == 0 {
			t.Fatalf("the tests of the API have no %s, or no cases in %s", check[0], check[1])
		}
		tables = append(tables, table{texts[check[0]], changes[check[1]]})
	}
	return tables
}

// cases are the texts in all lists of a name.
func cases(within ast.Expr, name string) []string {
	var found []string
	ast.Inspect(within, func(node ast.Node) bool {
		pair, is := node.(*ast.KeyValueExpr)
		if !is {
			return true
		}
		key, _ := pair.Key.(*ast.Ident)
		list, _ := pair.Value.(*ast.CompositeLit)
		if key == nil || key.Name != name || list == nil {
			return true
		}
		for _, element := range list.Elts {
			if text, is := literal(element); is {
				found = append(found, text)
			}
		}
		return false
	})
	return found
}

// literal is the text that an expression stands for, if it is a simple one.
func literal(expression ast.Expr) (string, bool) {
	switch expression := expression.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(expression.Value)
		return text, err == nil && expression.Kind == token.STRING
	case *ast.BinaryExpr:
		left, first := literal(expression.X)
		right, second := literal(expression.Y)
		return left + right, first && second
	case *ast.CallExpr: // strings.Repeat
		if len(expression.Args) == 2 {
			text, is := literal(expression.Args[0])
			if count, number := expression.Args[1].(*ast.BasicLit); is && number {
				times, err := strconv.Atoi(count.Value)
				return strings.Repeat(text, times), err == nil
			}
		}
	}
	return "", false
}

func fragment(t *testing.T, text string) map[string]any {
	t.Helper()
	content := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		t.Fatalf("reading %q: %v", text, err)
	}
	return content
}

// merge lays changes over base: maps are merged, null removes, all else replaces.
func merge(base, changes map[string]any) map[string]any {
	for key, change := range changes {
		inner, isMap := change.(map[string]any)
		present, wasMap := base[key].(map[string]any)
		switch {
		case change == nil:
			delete(base, key)
		case isMap && wasMap:
			base[key] = merge(present, inner)
		default:
			base[key] = change
		}
	}
	return base
}

// paths lead to all fields of spec.
func paths(node any, to []string) [][]string {
	var found [][]string
	switch node := node.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			if len(to) > 0 || key == "spec" {
				at := append(slices.Clone(to), key)
				found = append(append(found, at), paths(node[key], at)...)
			}
		}
	case []any:
		for i := range node {
			at := append(slices.Clone(to), strconv.Itoa(i))
			found = append(append(found, at), paths(node[i], at)...)
		}
	}
	return found
}

// set puts a value where a path leads.
func set(node any, path []string, value any) {
	last := len(path) == 1
	switch node := node.(type) {
	case map[string]any:
		if last {
			node[path[0]] = value
			return
		}
		set(node[path[0]], path[1:], value)
	case []any:
		index, err := strconv.Atoi(path[0])
		if err != nil {
			return // A list has no field that is unknown.
		}
		if last {
			node[index] = value
			return
		}
		set(node[index], path[1:], value)
	}
}
