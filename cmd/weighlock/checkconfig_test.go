package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const checked = `apiVersion: weighlock.dev/v1alpha1
kind: Configuration
sinks:
- name: audit
  webhook: {url: {file: /etc/weighlock/secrets/audit}}
- name: spare
  teams: {url: {env: TEAMS}}
routes:
- sinks: [audit]
`

func TestCheckConfig_SaysWhatIsWrongAndWhere(t *testing.T) {
	for name, test := range map[string]struct {
		stdin string
		args  []string
		code  int
		want  string
	}{
		"no file":            {"", nil, 2, "one FILE is needed"},
		"two files":          {"", []string{"a", "b"}, 2, "one FILE is needed"},
		"an unknown flag":    {"", []string{"--fast"}, 2, "--fast"},
		"a file that is not": {"", []string{"/nowhere.yaml"}, 1, "/nowhere.yaml"},
		"help":               {"", []string{"--help"}, 0, "Usage: weighlock check-config FILE"},
		"a wrong field": {
			strings.Replace(checked, "teams:", "team:", 1) + "- sinks: [other]\n",
			[]string{"-"},
			1,
			"standard input:7: sinks[1].team: there is no such field",
		},
		"two problems": {
			checked + "- sinks: [other]\n- sinks: [another]\n",
			[]string{"-"},
			1,
			"standard input:10: routes[1].sinks[0]: there is no sink \"other\"\nstandard input:11: routes[2].sinks[0]: there is no sink \"another\"\n",
		},
		"no YAML": {"a: [", []string{"-"}, 1, "standard input: reading YAML: "},
		"empty":   {"", []string{"-"}, 1, "standard input:1: the file is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, problems strings.Builder
			code := runCheckConfig(test.args, strings.NewReader(test.stdin), &out, &problems)
			if code != test.code || out.Len() > 0 || !strings.Contains(problems.String(), test.want) {
				t.Errorf("exit code %d, %q and\n%s", code, out.String(), problems.String())
			}
		})
	}
}

func TestCheckConfig_SaysWhatIsValidAndWhatIsOfNoUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(checked), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, problems strings.Builder
	code := runCheckConfig([]string{path}, nil, &out, &problems)
	if code != 0 || out.String() != path+" is valid: 2 sinks, 1 route\n" || !strings.Contains(problems.String(), `the sink "spare" is told of nothing`) {
		t.Errorf("exit code %d, %q and %q", code, out.String(), problems.String())
	}
}
