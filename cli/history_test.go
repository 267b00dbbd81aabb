package cli_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// moments are written as they are, and differ from run to run.
var moments = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z`)

func timeless(text string) string { return moments.ReplaceAllString(text, "WHEN") }

// written compares with a file, or writes it.
func written(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is written in another way (-golden +got), -update writes it:\n%s", name, diff)
	}
}

// recorded keeps a revision as Weighlock does.
func recorded(t *testing.T, namespace, revision, author, failed, template string) {
	t.Helper()
	content, err := yaml.YAMLToJSON([]byte(template))
	if err != nil {
		t.Fatal(err)
	}
	record := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: "checkout-" + revision, Namespace: namespace,
			Labels:      map[string]string{v1alpha1.LabelRollout: "checkout", v1alpha1.LabelRevision: revision},
			Annotations: map[string]string{v1alpha1.AnnotationCommit: strings.Repeat(revision[:2], 20), v1alpha1.AnnotationAuthor: author},
		},
		Revision: 1, Data: runtime.RawExtension{Raw: content},
	}
	if failed != "" {
		record.Annotations[v1alpha1.AnnotationFailed] = failed
	}
	if err := admin.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
}

// decided is a decision with an outcome; an empty one for none.
func decided(t *testing.T, rollout *v1alpha1.Rollout, name string, spec v1alpha1.DecisionSpec, outcome v1alpha1.DecisionOutcome, message string) {
	t.Helper()
	spec.Rollout, spec.Revision = rollout.Name, rollout.Status.Candidate.Revision
	d := &v1alpha1.Decision{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: rollout.Namespace}, Spec: spec}
	if err := admin.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if outcome == "" {
		return
	}
	d.Status = v1alpha1.DecisionStatus{Outcome: outcome, Message: message}
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// eventful is a Rollout of which there is much to tell. Its decisions are the administrator's, whom the API server takes nothing else from.
func eventful(t *testing.T, namespace string) *v1alpha1.Rollout {
	t.Helper()
	soon := time.Now().Add(time.Minute).Truncate(time.Second)
	rollout := waitingRollout(t, namespace, func(r *v1alpha1.Rollout) {
		left := metav1.NewMicroTime(soon.Add(time.Minute))
		r.Status.AnalysisHistory = []v1alpha1.AnalysisRecord{
			{Candidate: "7c4bh2aaaa", Step: 0, Name: "tenth", Traffic: "10%", Since: metav1.NewMicroTime(soon), Until: &left, Outcome: v1alpha1.OutcomePass, Message: "no worse"},
			{Candidate: "7c4bh2aaaa", Step: 1, Name: "half", Traffic: "50%", Since: left, Outcome: v1alpha1.OutcomeInconclusive, Message: "20 requests more"},
		}
	})
	recorded(t, namespace, "5d9f2cbbbb", "Ada", "", "spec: {containers: [{name: shop, image: shop:1}]}")
	recorded(t, namespace, "6a1bbbbbbb", "Eve", "the error rate rose", "spec: {containers: [{name: shop, image: shop:2}]}")
	recorded(t, namespace, "7c4bh2aaaa", "Ben", "", "spec: {containers: [{name: shop, image: shop:3, env: [{name: A, value: b}]}]}")
	decided(t, rollout, "first", v1alpha1.DecisionSpec{Verb: v1alpha1.VerbApprove, Step: new(int32(1)), Actor: "admin", Via: "kubectl", Reason: "looks\x1b[2J fine"}, v1alpha1.DecisionRejected, "step 2/3 asks for nobody")
	decided(t, rollout, "second", v1alpha1.DecisionSpec{Verb: v1alpha1.VerbPromote, Full: true, Actor: "admin", Via: "kubectl"}, "", "")
	return rollout
}

func TestHistory_TellsWhatWasTriedAndWhoDecided(t *testing.T) {
	namespace := newNamespace(t)
	eventful(t, namespace)
	user := caller{kubeconfig: kubeconfig(t, namespace, "ann", administrators)}
	short := user.run(t, "history")
	written(t, "history.golden", timeless(short.out.String()))
	written(t, "history-wide.golden", timeless(user.run(t, "history", "checkout", "-o", "wide").out.String()))
	if short.code != 0 || short.errOut.String() != "" {
		t.Errorf("exit code %d, and %s", short.code, short.errOut.String())
	}
	var fromJSON, fromYAML []map[string]any
	if err := json.Unmarshal([]byte(user.run(t, "history", "-o", "json").out.String()), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(user.run(t, "history", "-o", "yaml").out.String()), &fromYAML); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"json", "yaml"} {
		made := waitingRollout(t, newNamespace(t), nil)
		user.run(t, "history", "-n", made.Namespace, "-o", format).says(t, 0, "[]\n", "")
		user.run(t, "logs", "-n", made.Namespace, "-o", format).says(t, 0, "[]\n", "")
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" || len(fromJSON) != 7 || fromJSON[3]["kind"] != "Decision" || fromJSON[3]["by"] != "admin" {
		t.Errorf("JSON and YAML differ:\n%s\nor tell otherwise:\n%v", diff, fromJSON)
	}
	user.run(t, "history", "-o", "tree").says(t, 2, "", "error: --output tree is unknown: it is one of wide, json, yaml\nsee kubectl weighlock history --help\n")
}

// seesOnlyRollouts is a user who may read Rollouts, and nothing besides.
func seesOnlyRollouts(t *testing.T, namespace string) caller {
	t.Helper()
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "rollouts", Namespace: namespace},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"rollouts"}, Verbs: []string{"get", "list", "watch"}}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "rollouts", Namespace: namespace}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "rollouts"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "sam"}},
	}
	if err := admin.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	if err := admin.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	return caller{kubeconfig: kubeconfig(t, namespace, "sam")}
}

func TestHistory_SaysWhatTheUserMayNotSee(t *testing.T) {
	namespace := newNamespace(t)
	eventful(t, namespace)
	sam := seesOnlyRollouts(t, namespace)
	call := sam.run(t, "history")
	const without = "this is without decisions.weighlock.dev, which you may not list\n"
	if got := call.out.String(); call.code != 0 || strings.Count(got, "\n") != 3 || !strings.Contains(got, "step 2 half (50%), now") {
		t.Errorf("exit code %d, and\n%s", call.code, got)
	}
	if got := call.errOut.String(); got != without+"this is without controllerrevisions.apps, which you may not list\n" {
		t.Errorf("it says\n%s", got)
	}
	if got := sam.run(t, "logs").errOut.String(); got != without+"this is without events, which you may not list\n" {
		t.Errorf("logs says\n%s", got)
	}
}

func TestLogs_TellWhyInTheOrderOfTime(t *testing.T) {
	namespace := newNamespace(t)
	rollout := eventful(t, namespace)
	long := time.Now().Add(-time.Hour)
	happened(t, rollout, long, corev1.EventTypeNormal, "Started", "7c4bh2aaaa starts")
	happened(t, rollout, time.Now().Add(3*time.Minute), corev1.EventTypeWarning, "RolledBack", "the error rate rose")
	happened(t, rollout, time.Now().Add(2*time.Minute), corev1.EventTypeNormal, "StepEntered", "step 2/3: 50%; step 1/3 passed: no worse") // which tells the verdict
	happened(t, rollout, long, corev1.EventTypeWarning, "DecisionRejected", "step 2/3 asks for nobody")                                    // which is told with the decision
	other := rollout.DeepCopy()
	other.UID = "another"
	happened(t, other, long, corev1.EventTypeNormal, "Started", "a Rollout of that name which is gone")
	user := caller{kubeconfig: kubeconfig(t, namespace, "ann", administrators)}
	all := timeless(user.run(t, "logs").out.String())
	written(t, "logs.golden", all)
	if got, want := timeless(user.run(t, "logs", "--since", "10m").out.String()), all[strings.Index(all, "\n")+1:]; got != want {
		t.Errorf("--since 10m gives\n%s\nwant\n%s", got, want)
	}
	if got := timeless(user.run(t, "logs", "--tail", "1").out.String()); got != "WHEN  RolledBack        the error rate rose\n" {
		t.Errorf("--tail 1 gives\n%s", got)
	}
	var told []map[string]any
	if err := json.Unmarshal([]byte(user.run(t, "logs", "-o", "json").out.String()), &told); err != nil || len(told) != strings.Count(all, "\n") || told[0]["kind"] != "Event" || told[0]["what"] != "Started" {
		t.Errorf("-o json gives %v, %v", told, err)
	}
	if err := yaml.Unmarshal([]byte(user.run(t, "logs", "-o", "yaml", "--tail", "1").out.String()), &told); err != nil || len(told) != 1 || told[0]["why"] != "the error rate rose" {
		t.Errorf("-o yaml gives %v, %v", told, err)
	}
	user.run(t, "logs", "-o", "wide").says(t, 2, "", "error: --output wide is unknown: it is one of json, yaml\nsee kubectl weighlock logs --help\n")
	if got := user.run(t, "logs", "--tail", "0"); got.code != 0 || got.out.String() != "" {
		t.Errorf("--tail 0 gives\n%s", got.out.String())
	}
	user.run(t, "logs", "--since", "-1m").says(t, 2, "", "error: --since -1m0s is no time that has passed: write 10m or 2h\nsee kubectl weighlock logs --help\n")
}

func TestLogs_GoOn(t *testing.T) {
	namespace := newNamespace(t)
	rollout := eventful(t, namespace)
	user := caller{kubeconfig: kubeconfig(t, namespace, "ann", administrators)}
	data := user.start(t, "logs", "--follow", "--tail", "1", "-o", "json")
	data.expect(t, "20 requests more")
	call := user.start(t, "logs", "--follow", "--tail", "1")
	call.expect(t, "step 2 half (50%), now of 7c4bh2aaaa: Inconclusive, 20 requests more")
	// What is said of a step with each poll isn't told again, but its outcome is.
	rollout.Status.AnalysisHistory[1].Message = "10 requests more"
	if err := admin.Status().Update(t.Context(), rollout); err != nil {
		t.Fatal(err)
	}
	happened(t, rollout, time.Now(), corev1.EventTypeNormal, "Paused", "7c4bh2aaaa is paused")
	call.expect(t, "7c4bh2aaaa is paused")
	decided(t, rollout, "third", v1alpha1.DecisionSpec{Verb: v1alpha1.VerbAbort, Actor: "admin", Via: "kubectl", Reason: "enough"}, v1alpha1.DecisionApplied, "it is over")
	call.expect(t, "admin through kubectl: abort of 7c4bh2aaaa, because enough: Applied\n")
	rollout.Status.AnalysisHistory[1].Outcome, rollout.Status.AnalysisHistory[1].Message = v1alpha1.OutcomeFail, "the error rate rose"
	if err := admin.Status().Update(t.Context(), rollout); err != nil {
		t.Fatal(err)
	}
	call.expect(t, "Fail, the error rate rose")
	if err := admin.Delete(t.Context(), rollout); err != nil {
		t.Fatal(err)
	}
	call.wait(t)
	got := call.out.String()
	if call.code != 0 || !strings.HasSuffix(got, "checkout: deleted\n") || strings.Contains(got, "10 requests more") || strings.Contains(got, "asks for nobody") {
		t.Errorf("exit code %d, and\n%s\n%s", call.code, got, call.errOut.String())
	}
	data.wait(t)
	var whats []string
	for decoder := json.NewDecoder(strings.NewReader(data.out.String())); decoder.More(); {
		var one struct{ What string }
		if err := decoder.Decode(&one); err != nil {
			t.Fatal(err)
		}
		whats = append(whats, one.What)
	}
	if got := strings.Join(slices.Compact(whats), ", "); got != "step 2 half (50%), now, Paused, abort, step 2 half (50%), now" {
		t.Errorf("as data it tells of %s", got)
	}
	if strings.Count(got, "is paused") != 1 || strings.Count(got, "Applied\n") != 1 {
		t.Errorf("something is told twice:\n%s", got)
	}
}

func TestDiff_ShowsWhatTheCandidateHas(t *testing.T) {
	namespace := newNamespace(t)
	eventful(t, namespace)
	user := caller{kubeconfig: kubeconfig(t, namespace, "ann", administrators)}
	call := user.run(t, "diff", "checkout")
	written(t, "diff.golden", call.out.String())
	if call.code != 0 {
		t.Errorf("exit code %d", call.code)
	}
	if call := user.run(t, "diff", "--exit-code", "--color", "always"); call.code != 1 || !strings.Contains(call.out.String(), "\x1b[32m+  - env:\x1b[0m\n") {
		t.Errorf("exit code %d, and\n%q", call.code, call.out.String())
	}
	user.run(t, "diff", "--from", "7c4b", "--exit-code").says(t, 0, "", "no difference\n")
	if got := user.run(t, "diff", "--from", "6a6a6a6a", "--to", "5d9f2cbbbb", "-U", "0").out.String(); !strings.HasSuffix(got, "\n@@ -3 +3 @@\n-  - image: shop:2\n+  - image: shop:1\n") {
		t.Errorf("two that were named give\n%s", got)
	}
	const unknown = "error: checkout: revision 9999 isn't kept, but 5d9f2cbbbb, 6a1bbbbbbb, 7c4bh2aaaa\n"
	user.run(t, "diff", "--to", "9999").says(t, 1, "", unknown)
	// As 1 says that they differ.
	user.run(t, "diff", "--to", "9999", "--exit-code").says(t, 128, "", unknown)
	user.run(t, "diff", "nowhere", "--exit-code").want(t, 128, "there is no Rollout nowhere")
	user.run(t, "diff", "--exit-code", "-U", "-1").want(t, 2, "it is a number of lines")
	recorded(t, namespace, "7c4bccccccc", "Eve", "", "spec: {}")
	user.run(t, "diff", "--to", "7c4b").says(t, 1, "", "error: checkout: --to 7c4b may be each of 7c4bccccccc (commit 7c7c7c7c), 7c4bh2aaaa (commit 7c7c7c7c): write more of it\n")
	user.run(t, "diff", "--to", "7c4bccccccc").want(t, 0, "+++ revision 7c4bccccccc")
}

func TestDiff_SaysThatThereIsNoCandidate(t *testing.T) {
	namespace := newNamespace(t)
	waitingRollout(t, namespace, func(r *v1alpha1.Rollout) { r.Status.Candidate, r.Status.State = nil, v1alpha1.StateIdle })
	recorded(t, namespace, "5d9f2cbbbb", "Ada", "", "spec: {}")
	user := caller{kubeconfig: kubeconfig(t, namespace, "ann", administrators)}
	user.run(t, "diff").says(t, 1, "", "error: checkout: there is no candidate: it is Idle, and 5d9f2cbbbb (commit 55555555) serves (--to names a revision, and history tells of them)\n")
}
