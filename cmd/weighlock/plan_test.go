package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const planned = `apiVersion: weighlock.dev/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  workload: {name: shop}
  service: {name: shop, port: 80}
  router: [{smi: {}}]
  steps: [{weight: 20}]
  analysis: {}
`

// try runs the command, and returns its exit code, its output, and what it complains of.
func try(t *testing.T, stdin string, args ...string) (code int, out, problems string) {
	t.Helper()
	var written, complained strings.Builder
	code = runPlan(args, strings.NewReader(stdin), &written, &complained)
	return code, written.String(), complained.String()
}

func TestPlan_ForecastsTheRolloutOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rollout.yaml")
	if err := os.WriteFile(path, []byte(planned), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, problems := try(t, "", "-f", path, "--rps", "200", "--baseline-errors", "0.1%")
	if code != 0 || problems != "" || !strings.Contains(out, "A BAD RELEASE (5% ERRORS)") || !strings.Contains(out, "\n1/1   20%") {
		t.Errorf("exit code %d, %q, and\n%s", code, problems, out)
	}
}

func TestPlan_ReadsStandardInputAndWritesJSON(t *testing.T) {
	code, out, problems := try(t, planned, "-f", "-", "--rps", "200", "-o", "json", "--bad-errors", "10%", "--latency", "20ms/90ms", "--scrape-interval", "5s")
	var got struct {
		Rollout   string
		BadErrors float64
		Steps     []struct {
			Good struct{ MedianSeconds float64 }
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || problems != "" {
		t.Fatalf("exit code %d, %q, %v, and\n%s", code, problems, err, out)
	}
	if got.Rollout != "shop" || got.BadErrors != 0.1 || len(got.Steps) != 1 || got.Steps[0].Good.MedianSeconds <= 0 {
		t.Errorf("the forecast is %+v", got)
	}
}

func TestPlan_SaysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		stdin string
		args  []string
		code  int
		want  string
	}{
		"no file":            {"", []string{"--rps", "10"}, 2, "-f is needed"},
		"no rate":            {"", []string{"-f", "-"}, 2, "--rps is needed"},
		"an argument":        {"", []string{"-f", "-", "--rps", "10", "shop"}, 2, `unexpected argument "shop"`},
		"an unknown flag":    {"", []string{"--fast"}, 2, "--fast"},
		"a file that is not": {"", []string{"-f", "/nowhere.yaml", "--rps", "10"}, 1, "/nowhere.yaml"},
		"a wrong field":      {planned + "  stpes: []\n", []string{"-f", "-", "--rps", "10"}, 1, "standard input: line 10: Rollouts have no field spec.stpes"},
		"no percentage":      {planned, []string{"-f", "-", "--rps", "10", "--baseline-errors", "0.001"}, 2, "--baseline-errors 0.001: write a percentage"},
		"one latency":        {planned, []string{"-f", "-", "--rps", "10", "--latency", "20ms"}, 2, "--latency 20ms: write the median"},
		"another output":     {planned, []string{"-f", "-", "--rps", "10", "-o", "xml"}, 2, "write table, json or yaml"},
		"no traffic":         {planned, []string{"-f", "-", "--rps", "0"}, 2, "the rate must be above zero"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, problems := try(t, test.stdin, test.args...)
			if code != test.code || out != "" || !strings.Contains(problems, test.want) {
				t.Errorf("exit code %d, output %q, and %q; want %d and %q", code, out, problems, test.code, test.want)
			}
		})
	}
}

func TestPlan_Helps(t *testing.T) {
	code, _, problems := try(t, "", "--help")
	if code != 0 || !strings.Contains(problems, "--baseline-errors") || !strings.Contains(problems, "Usage: weighlock plan") {
		t.Errorf("exit code %d, and\n%s", code, problems)
	}
}
