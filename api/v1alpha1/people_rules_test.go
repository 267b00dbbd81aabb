package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

const validDecision = `
apiVersion: weighlock.dev/v1alpha1
kind: Decision
metadata: {name: checkout-approve}
spec: {rollout: checkout, verb: approve, revision: mpq7g6qxkh, step: 1, actor: alice}
`

// approvalRules are those of a step's approval in a Rollout.
var approvalRules = []rule{
	{
		words: "quorum asks for more people than approvers names: lower it, or name more",
		accept: []string{
			`{steps: [{approval: {quorum: 10}}]}`, `{steps: [{approval: {approvers: [{user: alice}, {user: bob}], quorum: 2}}]}`,
			`{steps: [{approval: {approvers: [{user: alice}, {group: leads}], quorum: 5}}]}`,
		},
		reject: []string{`{steps: [{approval: {approvers: [{user: alice}, {user: bob}], quorum: 3}}]}`},
	},
	{
		words: "an approver is named twice: leave one out",
		accept: []string{
			`{steps: [{approval: {approvers: [{user: alice}, {group: alice}, {user: bob}]}}]}`,
		},
		reject: []string{
			`{steps: [{approval: {approvers: [{user: alice}, {user: alice}], quorum: 2}}]}`, `{steps: [{approval: {approvers: [{group: leads}, {user: alice}, {group: leads}]}}]}`,
		},
	},
	{
		words:  "expires must be above zero, written like 30m or 24h",
		accept: []string{`{steps: [{approval: {expires: 24h}}]}`, `{steps: [{approval: {expires: 90s}}]}`},
		reject: []string{`{steps: [{approval: {expires: 0s}}]}`, `{steps: [{approval: {expires: -1h}}]}`, `{steps: [{approval: {expires: 1d}}]}`},
	},
	{
		words:  "an approver is either a user or a group: set one of them",
		accept: []string{`{steps: [{approval: {approvers: [{user: "system:serviceaccount:ci:deployer"}, {group: "oidc:leads"}]}}]}`},
		reject: []string{`{steps: [{approval: {approvers: [{}]}}]}`, `{steps: [{approval: {approvers: [{user: alice, group: leads}]}}]}`},
	},
	{
		words:  "a member of Slack is named by id, which begins with U or W, such as slack:U012AB3CD",
		accept: []string{`{steps: [{approval: {approvers: [{user: "slack:U012AB3CD"}, {user: "slack:W7"}]}}]}`},
		reject: []string{`{steps: [{approval: {approvers: [{user: "slack:alice"}]}}]}`, `{steps: [{approval: {approvers: [{user: "slack:S0614TZR7"}]}}]}`, `{steps: [{approval: {approvers: [{user: "slack:"}]}}]}`},
	},
	{
		words:  "a user group of Slack is named by id, which begins with S, such as slack:S0614TZR7",
		accept: []string{`{steps: [{approval: {approvers: [{group: "slack:S0614TZR7"}]}}]}`},
		reject: []string{`{steps: [{approval: {approvers: [{group: "slack:leads"}]}}]}`, `{steps: [{approval: {approvers: [{group: "slack:U012AB3CD"}]}}]}`},
	},
	{words: "spec.steps[0].approval.quorum in body should be greater than or equal to 1", accept: []string{`{steps: [{approval: {quorum: 1}}]}`}, reject: []string{`{steps: [{approval: {quorum: 0}}]}`}},
	{words: "spec.steps[0].approval.quorum in body should be less than or equal to 10", reject: []string{`{steps: [{approval: {quorum: 11}}]}`}},
	{words: "spec.steps[0].approval.approvers in body should have at least 1 items", reject: []string{`{steps: [{approval: {approvers: []}}]}`}},
}

var decisionRules = []rule{
	{
		words: "step is missing: a decision to approve or promote names the step that it is about, from 0 (or says full: true, to promote past all steps)",
		accept: []string{
			`{step: 0}`, `{verb: promote}`, `{verb: promote, step: null, full: true}`, `{verb: abort, step: null}`, `{verb: pause, step: null}`,
			`{verb: resume, step: null}`, `{verb: retry, step: null}`,
		},
		reject: []string{`{step: null}`, `{verb: promote, step: null}`, `{verb: promote, step: null, full: false}`},
	},
	{
		words:  "full goes with the verb promote only: leave it out",
		accept: []string{`{verb: promote, full: true}`, `{full: false}`},
		reject: []string{`{full: true}`, `{verb: retry, full: true}`},
	},
	{
		words:  "person is for decisions that are made through slack: leave it out",
		accept: []string{`{actor: "slack:U012AB3CD", via: slack, person: alice}`},
		reject: []string{`{person: alice}`, `{via: kubectl, person: alice}`},
	},
	{
		words:  `supported values: "promote", "approve", "abort", "pause", "resume", "retry"`,
		reject: []string{`{verb: rollback}`, `{verb: ""}`, `{verb: Approve}`},
	},
	{
		words:  "spec.via in body should match '^[a-z][-a-z0-9]{0,62}$'",
		accept: []string{`{via: kubectl}`, `{via: pipeline-7}`},
		reject: []string{`{via: ""}`, `{via: "my pipeline"}`, `{via: Slack}`},
	},
	{words: "spec.rollout: Required value", reject: []string{`{rollout: null}`}},
	{words: "spec.revision: Required value", reject: []string{`{revision: null}`}},
	{words: "spec.revision in body should be at least 1 chars long", reject: []string{`{revision: ""}`}},
	{words: "spec.actor: Required value", reject: []string{`{actor: null}`}},
	{words: "spec.actor in body should be at least 1 chars long", reject: []string{`{actor: ""}`}},
	{words: "spec.step in body should be greater than or equal to 0", reject: []string{`{step: -1}`}},
	{words: "Duplicate value", accept: []string{`{groups: [leads, oncall]}`}, reject: []string{`{groups: [leads, leads]}`}},
	{words: "Too long", accept: []string{`{reason: "the graphs look good"}`}, reject: []string{`{reason: "` + strings.Repeat("a", 1025) + `"}`}},
}

func TestApproval_IsCheckedByTheAPIServer(t *testing.T) {
	check(t, validRollout, approvalRules)
}

func TestDecision_IsCheckedByTheAPIServer(t *testing.T) {
	check(t, validDecision, decisionRules)
}

func TestDecision_CannotBeChanged(t *testing.T) {
	made := object(t, validDecision, `{}`)
	made.SetName("immutable")
	if err := server.Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	for _, changes := range []string{`{verb: abort}`, `{step: 2}`, `{revision: other}`, `{actor: bob}`, `{reason: another}`, `{groups: [leads]}`, `{via: kubectl}`} {
		changed := made.DeepCopy()
		spec, _ := changed.Object["spec"].(map[string]any)
		changed.Object["spec"] = merge(spec, fragment(t, changes))
		if err := server.Update(t.Context(), changed, client.DryRunAll); err == nil || !strings.Contains(err.Error(), decisionIsFixed) {
			t.Errorf("changing %s: got %v, want a rejection that says %q", changes, err, decisionIsFixed)
		}
	}
	labelled := made.DeepCopy()
	labelled.SetLabels(map[string]string{"team": "shop"})
	if err := server.Update(t.Context(), labelled, client.DryRunAll); err != nil {
		t.Errorf("labelling a decision: %v", err)
	}
}

const decisionIsFixed = "a decision can't be changed: make another"

func TestDecision_GetsDefaultsAndNoOutcome(t *testing.T) {
	made := object(t, validDecision, `{}`)
	made.SetName("defaults")
	made.Object["status"] = map[string]any{"outcome": "Applied"}
	if err := server.Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	stored := &v1alpha1.Decision{}
	if err := server.Get(t.Context(), client.ObjectKeyFromObject(made), stored); err != nil {
		t.Fatal(err)
	}
	if stored.Spec.Via != "api" {
		t.Errorf("via is %q, want api", stored.Spec.Via)
	}
	if stored.Status.Outcome != "" {
		t.Errorf("it is made with the outcome %s", stored.Status.Outcome)
	}
}

func TestApproval_AsksForOnePersonByDefault(t *testing.T) {
	made := object(t, validRollout, `{steps: [{approval: {}}]}`)
	made.SetName("approval-defaults")
	if err := server.Create(t.Context(), made, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	steps, _ := made.Object["spec"].(map[string]any)["steps"].([]any)
	approval, _ := steps[0].(map[string]any)["approval"].(map[string]any)
	if approval["quorum"] != int64(1) {
		t.Errorf("approval is %v, want a quorum of 1", approval)
	}
}

// What people copy must be taken.
func TestExamples_AreTakenByTheAPIServer(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/git/rollout.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no examples (%v)", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(file))), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := admit(t.Context(), object(t, string(text), `{}`)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPage_ShowsWhatIsTaken(t *testing.T) {
	blocks := 0
	for _, page := range []string{"../../docs/people.md", "../../examples/approval/README.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			valid, changes := block, `{}`
			switch {
			case strings.HasPrefix(strings.TrimSpace(block), "- "):
				valid, changes = validRollout, "steps:\n"+block
			case !strings.Contains(block, "weighlock.dev/v1alpha1"):
				continue // of Kubernetes itself
			}
			blocks++
			if err := admit(t.Context(), object(t, valid, changes)); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, block)
			}
		}
	}
	if blocks < 3 {
		t.Errorf("found %d blocks", blocks)
	}
}
