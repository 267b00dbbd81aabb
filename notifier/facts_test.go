package notifier_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/notifier"
)

func TestShortCommit_CutsHashesOnly(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef01234567"
	for commit, want := range map[string]string{
		hash:                    "0123456789ab",
		"main@sha1:" + hash:     "main@sha1:0123456789ab",
		"main:c0ffee":           "main:c0ffee",
		"release-2024.10.11":    "release-2024.10.11",
		"main:release-für-alle": "main:release-für-alle",
		"":                      "",
	} {
		if got := notifier.ShortCommit(commit); got != want {
			t.Errorf("%q became %q, want %q", commit, got, want)
		}
	}
}

func TestEvent_FactsAreWhatPeopleAskFor(t *testing.T) {
	event := notifier.Event{Rollout: checkout()}
	want := []notifier.Fact{
		{Name: "Candidate", Value: "7d4b9"},
		{Name: "Step", Value: "2/3 half"},
		{Name: "Traffic", Value: "50%"},
		{Name: "Measured", Value: "49.8%"},
		{Name: "errors", Value: "4.6% (incumbent: 0%)"},
		{Name: "latency", Value: "nothing measured (incumbent: p99 80 ms)"},
		{Name: "Commit", Value: "main@sha1:0123456789ab"},
		{Name: "Author", Value: "Alice"},
	}
	if diff := cmp.Diff(want, event.Facts()); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	event.Rollout.Status.Candidate.Commit = "0123456789abcdef0123456789abcdef01234567"
	if got := event.Facts()[6].Value; got != "0123456789ab" {
		t.Errorf("the commit is %q", got)
	}
}

func TestCut_MarksWhereItDoes(t *testing.T) {
	if got := notifier.Cut("äöü", 3); got != "äöü" {
		t.Errorf("got %q", got)
	}
	if got := notifier.Cut("äöüß", 3); got != "äö…" {
		t.Errorf("got %q", got)
	}
}
