package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file writes a file that only the test has, and gives its path.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rollout.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const goodRollout = `apiVersion: weighlock.dev/v1alpha1
kind: Rollout
metadata: {name: checkout}
spec:
  workload: {name: checkout}
  service: {name: checkout, port: 8080}
  router: [{smi: {}}]
  steps: [{weight: 20}]
  analysis: {}
`

func TestLint_ExitsAsItFinds(t *testing.T) {
	nowhere := caller{kubeconfig: filepath.Join(t.TempDir(), "none")} // It asks no cluster.
	good := file(t, goodRollout)
	nowhere.run(t, "lint", good).says(t, 0, "1 object of Weighlock in 1 file: no fault found\n", "")
	bad := file(t, strings.Replace(goodRollout, "weight: 20", "wieght: 20", 1))
	nowhere.run(t, "lint", good, bad).says(t, 1,
		bad+":8:11: Rollout/checkout: spec.steps[0]: is wrong: a step needs something to do: set weight, match, shadow, replicas, hold or approval\n"+
			bad+":8:12: Rollout/checkout: spec.steps[0].wieght: is no field of a Rollout: weight may be meant\n",
		"2 objects of Weighlock in 2 files: 2 errors, 0 warnings\n")
	doubtful := file(t, strings.Replace(goodRollout, "  steps: [{weight: 20}]\n", "", 1))
	warning := doubtful + ":4:1: warning: Rollout/checkout: spec: has no steps: a candidate gets all traffic as soon as it is ready, and nothing is weighed\n"
	nowhere.run(t, "lint", doubtful).says(t, 0, warning, "1 object of Weighlock in 1 file: 0 errors, 1 warning\n")
	nowhere.run(t, "lint", "--strict", doubtful).says(t, 1, warning, "1 object of Weighlock in 1 file: 0 errors, 1 warning\n")
	const nothing = "nothing to check: 0 objects of Weighlock in 1 file\n"
	nowhere.run(t, "lint", file(t, "a: b\n")).says(t, 0, "", nothing)
	nowhere.run(t, "lint", "--strict", file(t, "a: b\n")).says(t, 1, "", nothing)
	nameless := file(t, strings.Replace(goodRollout, "apiVersion: weighlock.dev/v1alpha1\n", "", 1))
	nowhere.run(t, "lint", nameless).says(t, 1, nameless+":1:1: Rollout/checkout: apiVersion: is missing: write weighlock.dev/v1alpha1\n",
		"1 object of Weighlock in 1 file: 1 error, 0 warnings\n")
	hostile := nowhere.run(t, "lint", file(t, strings.Replace(goodRollout, "{name: checkout}", `{name: "a\e[31mb\n::error::c", "d\e]0;e\a": f}`, 1)))
	if got := hostile.out.String(); hostile.code != 1 || strings.ContainsAny(got, "\x1b\a") || strings.Contains(got, "\n::error") || !strings.Contains(got, "[31mb ::error::c") {
		t.Errorf("exit code %d, and\n%q", hostile.code, got)
	}
	if call := nowhere.run(t, "lint", "/nowhere.yaml"); call.code != 1 || !strings.Contains(call.errOut.String(), "/nowhere.yaml") {
		t.Errorf("exit code %d, and %s", call.code, call.errOut.String())
	}
	if call := nowhere.run(t, "lint"); call.code != 2 {
		t.Errorf("without arguments the exit code is %d", call.code)
	}
	if call := nowhere.run(t, "lint", "-o", "xml", good); call.code != 2 {
		t.Errorf("with another output the exit code is %d", call.code)
	}
	var report struct {
		Files, Objects int
		Findings       []struct {
			File, Severity, Object, Field, Message string
			Line, Column                           int
		}
	}
	call := nowhere.run(t, "lint", "-o", "json", doubtful)
	if err := json.Unmarshal([]byte(call.out.String()), &report); err != nil || len(report.Findings) != 1 || report.Findings[0].Line != 4 || report.Findings[0].Severity != "warning" {
		t.Errorf("%v, and %+v", err, report)
	}
	if call := nowhere.run(t, "lint", "-o", "json", good); call.code != 0 || !strings.Contains(call.out.String(), `"findings": []`) {
		t.Errorf("exit code %d, and %s", call.code, call.out.String())
	}
}

func TestPlan_ForecastsWithoutACluster(t *testing.T) {
	nowhere := caller{kubeconfig: filepath.Join(t.TempDir(), "none")}
	call := nowhere.run(t, "plan", "-f", file(t, goodRollout), "--rps", "200")
	if call.code != 0 || !strings.Contains(call.out.String(), "A BAD RELEASE (5% ERRORS)") || !strings.Contains(call.out.String(), "\n1/1   20%") {
		t.Errorf("exit code %d, and\n%s%s", call.code, call.out.String(), call.errOut.String())
	}
	nowhere.run(t, "plan", "-f", file(t, goodRollout), "--rps", "200", "-o", "yaml").want(t, 0, "\nrollout: checkout\nsteps:\n- ")
	hostile := nowhere.run(t, "plan", "-f", file(t, strings.Replace(goodRollout, "{weight: 20}", `{weight: 20, name: "a\e[31mb"}`, 1)), "--rps", "200")
	if got := hostile.out.String(); hostile.code != 0 || strings.Contains(got, "\x1b") || !strings.Contains(got, "[31mb") {
		t.Errorf("exit code %d, and\n%q", hostile.code, got)
	}
	for _, args := range [][]string{{"-o", "xml"}, {"--latency", "5"}, {"--baseline-errors", "5"}, {"--rps", "-1"}} {
		nowhere.run(t, append([]string{"plan", "-f", "/nowhere.yaml", "--rps", "200"}, args...)...).want(t, 2, "see kubectl weighlock plan --help")
	}
	nowhere.run(t, "plan", "-f", "rollout.yaml").says(t, 2, "", "error: --rps is needed: how many requests users send per second\nsee kubectl weighlock plan --help\n")
}

func TestLint_TakesWhatThePluginPrints(t *testing.T) {
	namespace := newNamespace(t)
	setStatus(t, makeRollout(t, namespace, "checkout", resting("checkout")), tried)
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	for _, args := range [][]string{{"list", "-o", "yaml"}, {"list", "-o", "json"}, {"get", "-o", "yaml"}} {
		printed := file(t, me.run(t, args...).out.String())
		me.run(t, "lint", printed).want(t, 0, "1 object of Weighlock in 1 file")
		me.run(t, "plan", "-f", printed, "--rps", "200").want(t, 0, "\n1/2 pilot  5%")
	}
}
