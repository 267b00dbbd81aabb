package lint_test

import (
	"os"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/cli/lint"
)

// Whatever a file holds, lint comes to an end, and tells of places that are in it.
func FuzzCheck(f *testing.F) {
	wrong, err := os.ReadFile("testdata/wrong.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for document := range strings.SplitSeq(string(wrong), "---\n") {
		f.Add(document)
	}
	for _, text := range []string{
		wholeRollout, wholeTemplate, wholeGitSource, wholeDecision, "items: [&a {items: [*a]}]\n", "&a {<<: *a, apiVersion: weighlock.dev/v1alpha1}",
		"apiVersion: weighlock.dev/v1alpha1\nkind: Rollout\n<<: {spec: {steps: 5}}\nmetadata: &b [*b]\n", "{\"apiVersion\": \"weighlock.dev/v1alpha1\"", "---\n---\n...\n---",
		"apiVersion: weighlock.dev/v1alpha1\nkind: Rollout\nmetadata: {labels: {1: 2, ? [a] : b}}\n",
		"kind: Rollout\nspec: {service: a}", "apiVersion: weighlok.dev/v1\nkind: Rollout", "apiVersion: {}\nkind: RolloutList\nitems: [{spec: {}, metadata: {}}, &a [*a]]\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.TrimSpace(text) == "" {
			return
		}
		report, err := lint.Check([]string{"-"}, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		lines := 1 // YAML has more ends of lines than one.
		for _, char := range text {
			if strings.ContainsRune("\n\r\u0085\u2028\u2029", char) {
				lines++
			}
		}
		for _, finding := range report.Findings {
			if finding.Line < 1 || finding.Line > lines || finding.Column < 1 || finding.Message == "" {
				t.Errorf("%s, of %d lines", finding, lines)
			}
		}
	})
}
