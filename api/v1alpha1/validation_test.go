package v1alpha1_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/yaml"
)

const validRollout = `
apiVersion: weighlock.dev/v1alpha1
kind: Rollout
metadata: {name: checkout}
spec:
  workload: {name: checkout}
  service: {name: checkout, port: 8080}
  router: [{smi: {}}]
`

const validGitSource = `
apiVersion: weighlock.dev/v1alpha1
kind: GitSource
metadata: {name: shop}
spec:
  url: https://example.com/shop.git
  serviceAccountName: shop
`

// rule is one thing that the API server checks: changes to a valid spec that it
// takes, changes that it rejects, and words of the rejection.
type rule struct {
	words  string
	accept []string
	reject []string
}

var rolloutRules = []rule{
	{
		words:  "a step's weight can't be above totalWeight (100 unless spec.totalWeight says otherwise): lower the weight, or raise spec.totalWeight",
		accept: []string{`{steps: [{weight: 0}, {weight: 100}]}`, `{totalWeight: 10000, steps: [{weight: 1}, {weight: 10000}]}`},
		reject: []string{`{steps: [{weight: 101}]}`, `{totalWeight: 10, steps: [{weight: 5}, {weight: 11}]}`},
	},
	{
		words:  "two steps have the same name: give each its own, or none",
		accept: []string{`{steps: [{name: a, weight: 1}, {name: b, weight: 1}, {weight: 2}, {weight: 3}]}`},
		reject: []string{`{steps: [{name: a, weight: 1}, {weight: 2}, {name: a, weight: 3}]}`},
	},
	{
		words:  "a step needs something to do: set weight, match, shadow, replicas, hold or approval",
		accept: []string{`{steps: [{weight: 0}, {shadow: 1}, {replicas: 1}, {hold: 1s}, {approval: {}}, {match: [{headers: [{name: a, exact: b}]}]}]}`},
		reject: []string{`{steps: [{}]}`, `{steps: [{name: a}]}`, `{steps: [{deadline: 1m}]}`},
	},
	{
		words:  "onDeadline needs a deadline: add one, or remove onDeadline",
		accept: []string{`{steps: [{weight: 1, deadline: 1m, onDeadline: Rollback}]}`},
		reject: []string{`{steps: [{weight: 1, onDeadline: Rollback}]}`},
	},
	{
		words:  "deadline must be longer than hold: it counts from the same moment",
		accept: []string{`{steps: [{hold: 59s, deadline: 1m}]}`},
		reject: []string{`{steps: [{hold: 60s, deadline: 1m}]}`, `{steps: [{hold: 2m, deadline: 1m}]}`},
	},
	{
		words:  "hold must be above zero, written like 90s, 5m or 1h30m",
		accept: []string{`{steps: [{hold: 90s}, {hold: 1h30m}, {hold: 0.5s}]}`},
		reject: []string{`{steps: [{hold: 0s}]}`, `{steps: [{hold: -5s}]}`, `{steps: [{hold: soon}]}`, `{steps: [{hold: "5"}]}`, `{steps: [{hold: 1d}]}`},
	},
	{
		words:  "deadline must be above zero, written like 90s, 5m or 1h30m",
		accept: []string{`{steps: [{weight: 1, deadline: 5m}]}`},
		reject: []string{`{steps: [{weight: 1, deadline: 0s}]}`, `{steps: [{hold: 1s, deadline: "300"}]}`},
	},
	{
		words:  "replicas is a number of pods of at least 1, or a percentage from 1% to 100%",
		accept: []string{`{steps: [{replicas: 1}, {replicas: 10000}]}`},
		reject: []string{`{steps: [{replicas: 0}]}`, `{steps: [{replicas: -1}]}`, `{steps: [{replicas: 10001}]}`},
	},
	{
		words:  "spec.steps[0].replicas in body should match '^([1-9][0-9]?|100)%$'",
		accept: []string{`{steps: [{replicas: 1%}, {replicas: 100%}]}`},
		reject: []string{`{steps: [{replicas: 0%}]}`, `{steps: [{replicas: 101%}]}`, `{steps: [{replicas: "3"}]}`},
	},
	{
		words:  "a header is named twice in one entry, and both would have to match: put them into entries of their own, or into one regex",
		accept: []string{`{steps: [{match: [{headers: [{name: a, exact: x}, {name: b, exact: x}]}, {headers: [{name: a, exact: v2}]}]}]}`},
		reject: []string{`{steps: [{match: [{headers: [{name: a, exact: x}, {name: a, exact: v2}]}]}]}`, `{steps: [{match: [{headers: [{name: X-Tenant, exact: x}, {name: x-tenant, regex: v2}]}]}]}`},
	},
	{
		words:  "a header match needs exactly one of exact and regex",
		accept: []string{`{steps: [{match: [{headers: [{name: a, exact: b}, {name: c, regex: "d.*"}]}]}]}`},
		reject: []string{`{steps: [{match: [{headers: [{name: a}]}]}]}`, `{steps: [{match: [{headers: [{name: a, exact: b, regex: c}]}]}]}`},
	},
	{
		words:  "a header's name holds letters, digits and any of -_.!#$%&*+^|~, such as x-tenant",
		accept: []string{`{steps: [{match: [{headers: [{name: X-Tenant_1.a, exact: b}]}]}]}`},
		reject: []string{`{steps: [{match: [{headers: [{name: "x tenant", exact: b}]}]}]}`, `{steps: [{match: [{headers: [{name: ":path", exact: b}]}]}]}`, `{steps: [{match: [{headers: [{name: "", exact: b}]}]}]}`},
	},
	{
		words:  "regex must be an RE2 expression",
		accept: []string{`{steps: [{match: [{headers: [{name: a, regex: "acme|(?i)globex-[0-9]+"}]}]}]}`},
		reject: []string{`{steps: [{match: [{headers: [{name: a, regex: "(acme"}]}]}]}`, `{steps: [{match: [{headers: [{name: a, regex: "a(?!b)"}]}]}]}`},
	},
	{
		words:  "two router entries are smi: keep one",
		accept: []string{`{router: [{smi: {version: v1alpha2}}]}`},
		reject: []string{`{router: [{smi: {}}, {smi: {version: v1alpha4}}]}`},
	},
	{
		words:  "a router entry names exactly one router: write smi: {}",
		accept: []string{`{router: [{smi: {}}]}`},
		reject: []string{`{router: [{}]}`},
	},
	{
		words:  "smi.settle must be a time such as 500ms or 2s",
		accept: []string{`{router: [{smi: {settle: 0s}}]}`, `{router: [{smi: {settle: 500ms}}]}`},
		reject: []string{`{router: [{smi: {settle: "2"}}]}`, `{router: [{smi: {settle: -1s}}]}`},
	},
	{
		words:  "abortDelay must be a time such as 30s or 2m",
		accept: []string{`{abortDelay: 0s}`, `{abortDelay: 2m}`},
		reject: []string{`{abortDelay: long}`, `{abortDelay: -1s}`},
	},
	{
		words:  "routeDeadline must be at least 10s, written like 30s or 5m",
		accept: []string{`{routeDeadline: 10s}`},
		reject: []string{`{routeDeadline: 9s}`, `{routeDeadline: never}`},
	},
	{words: "spec.workload.name: Required value", reject: []string{`{workload: {name: null}}`}},
	{words: `supported values: "Deployment"`, accept: []string{`{workload: {kind: Deployment}}`}, reject: []string{`{workload: {kind: StatefulSet}}`}},
	{words: "spec.service.port in body should be less than or equal to 65535", accept: []string{`{service: {port: 65535}}`}, reject: []string{`{service: {port: 65536}}`}},
	{words: "spec.router: Required value", reject: []string{`{router: null}`}},
	{words: "spec.router in body should have at least 1 items", reject: []string{`{router: []}`}},
	{words: "spec.totalWeight in body should be less than or equal to 10000", accept: []string{`{totalWeight: 10000}`}, reject: []string{`{totalWeight: 10001}`}},
	{words: "spec.totalWeight in body should be greater than or equal to 2", accept: []string{`{totalWeight: 2}`}, reject: []string{`{totalWeight: 1}`}},
	{words: "spec.steps[0].weight in body should be greater than or equal to 0", reject: []string{`{steps: [{weight: -1}]}`}},
	{words: "spec.steps[0].shadow in body should be less than or equal to 100", accept: []string{`{steps: [{shadow: 100}]}`}, reject: []string{`{steps: [{shadow: 101}]}`}},
	{words: `supported values: "Pause", "Rollback", "Proceed"`, reject: []string{`{steps: [{weight: 1, deadline: 1m, onDeadline: Panic}]}`}},
	{words: `supported values: "Keep", "Release"`, accept: []string{`{deletionPolicy: Release}`}, reject: []string{`{deletionPolicy: Orphan}`}},
	{words: `supported values: "v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"`, reject: []string{`{router: [{smi: {version: v1}}]}`}},
	{words: `unknown field "spec.steps[0].wieght"`, reject: []string{`{steps: [{wieght: 5, weight: 1}]}`}},
}

var gitSourceRules = []rule{
	{
		words:  "an ssh URL needs secretRef: a Secret with identity and known_hosts",
		accept: []string{`{url: "ssh://git@example.com/shop.git", secretRef: {name: key}}`},
		reject: []string{`{url: "ssh://git@example.com/shop.git"}`},
	},
	{
		words:  "url must start with http://, https:// or ssh:// (for ssh write ssh://git@host/path, not git@host:path)",
		accept: []string{`{url: "http://git.git.svc/shop.git"}`},
		reject: []string{`{url: "git@example.com:shop.git"}`, `{url: "file:///etc"}`, `{url: ""}`},
	},
	{
		words:  "url must not hold credentials: put username and password into a Secret, and name it in secretRef",
		accept: []string{`{url: "https://example.com/a@b.git"}`},
		reject: []string{`{url: "https://user:secret@example.com/shop.git"}`, `{url: "https://token@example.com/shop.git"}`},
	},
	{
		words:  "path is relative to the repository and can't leave it: remove the leading / and any ..",
		accept: []string{`{path: ./deploy/shop}`, `{path: deploy..shop}`},
		reject: []string{`{path: /etc}`, `{path: ../other}`, `{path: a/../../b}`},
	},
	{
		words:  "interval must be at least 1s, written like 30s or 5m",
		accept: []string{`{interval: 1s}`},
		reject: []string{`{interval: 500ms}`, `{interval: hourly}`},
	},
	{
		words:  "timeout must be at least 1s, written like 30s or 2m",
		accept: []string{`{timeout: 1s}`},
		reject: []string{`{timeout: 0s}`, `{timeout: forever}`},
	},
	{words: "spec.serviceAccountName: Required value", reject: []string{`{serviceAccountName: null}`}},
	{words: "spec.serviceAccountName in body should be at least 1 chars long", reject: []string{`{serviceAccountName: ""}`}},
	{words: "spec.secretRef.name: Required value", accept: []string{`{secretRef: {name: a}}`}, reject: []string{`{secretRef: {}}`}},
}

func TestRollout_IsCheckedByTheAPIServer(t *testing.T) {
	check(t, validRollout, rolloutRules)
	check(t, validRollout, analysisRules)
}

func TestGitSource_IsCheckedByTheAPIServer(t *testing.T) {
	check(t, validGitSource, gitSourceRules)
}

func check(t *testing.T, valid string, rules []rule) {
	t.Helper()
	if err := admit(t.Context(), object(t, valid, `{}`)); err != nil {
		t.Fatalf("the valid object is rejected: %v", err)
	}
	for _, rule := range rules {
		for _, changes := range rule.accept {
			t.Run("accepts "+changes, func(t *testing.T) {
				if err := admit(t.Context(), object(t, valid, changes)); err != nil {
					t.Errorf("rejected: %v", err)
				}
			})
		}
		for _, changes := range rule.reject {
			t.Run("rejects "+changes, func(t *testing.T) {
				err := admit(t.Context(), object(t, valid, changes))
				switch {
				case err == nil:
					t.Errorf("accepted, want a rejection that says %q", rule.words)
				case !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
					t.Errorf("failed otherwise than by a rejection: %v", err)
				case !strings.Contains(err.Error(), rule.words):
					t.Errorf("rejected with %q, want the words %q", err, rule.words)
				}
			})
		}
	}
}

// A rule that nobody tried may reject everything, or nothing.
func TestRules_AreAllTried(t *testing.T) {
	tried := map[string]bool{
		// Tried by the tests of updates.
		"spec.workload can't be changed: delete this Rollout (its workload goes on serving) and make another": true,
		"spec.service can't be changed: delete this Rollout (its workload goes on serving) and make another":  true,
		decisionIsFixed: true,
	}
	for _, rule := range slices.Concat(rolloutRules, analysisRules, approvalRules, decisionRules, templateRules, gitSourceRules) {
		tried[rule.words] = true
	}
	found := 0
	for _, file := range crdFiles(t) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd any
		if err := yaml.Unmarshal(content, &crd); err != nil {
			t.Fatal(err)
		}
		for _, message := range messages(crd) {
			found++
			if !tried[message] {
				t.Errorf("no test tries the rule of %s that says %q", file, message)
			}
		}
	}
	if found == 0 {
		t.Error("found no rule at all")
	}
}

// messages are those of all CEL rules in a CRD, a rule without one included as "".
func messages(node any) []string {
	var found []string
	switch node := node.(type) {
	case []any:
		for _, item := range node {
			found = append(found, messages(item)...)
		}
	case map[string]any:
		for key, value := range node {
			rules, isList := value.([]any)
			if key != "x-kubernetes-validations" || !isList {
				found = append(found, messages(value)...)
				continue
			}
			for _, rule := range rules {
				content, _ := rule.(map[string]any)
				message, _ := content["message"].(string)
				found = append(found, message)
			}
		}
	}
	return found
}
