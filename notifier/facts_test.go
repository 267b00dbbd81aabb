package notifier_test

import (
	"testing"

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
