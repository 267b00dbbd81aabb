package main

import (
	"slices"
	"testing"
)

func TestArguments_CompleteWordsUnderTheNameThatKubectlCalls(t *testing.T) {
	t.Parallel()
	for called, want := range map[string][]string{
		"/usr/local/bin/kubectl-weighlock":          {"get", ""},
		"/usr/local/bin/kubectl_complete-weighlock": {"__complete", "get", ""},
		"kubectl_complete-weighlock.exe":            {"__complete", "get", ""},
	} {
		if got := arguments([]string{called, "get", ""}); !slices.Equal(got, want) {
			t.Errorf("%s get: %q, want %q", called, got, want)
		}
	}
}
