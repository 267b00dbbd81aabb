package cli

import (
	"strings"
	"testing"
)

func TestClean_LeavesWordsAndTakesOutWhatHides(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"می\u200cخواهم", "क्\u200dष", "👩\u200d🚒", "co\u00adoperate"} {
		if got := clean(words); got != words {
			t.Errorf("of %q it leaves %q", words, got)
		}
	}
	for _, hides := range []string{"\u202e", "\u2066", "\u200f", "\u061c", "\u200b", "\ufeff", "\U000e0041", "\x1b", "\u0085"} {
		if got := clean("a" + hides + "b"); got != "a\ufffdb" {
			t.Errorf("of %q it leaves %q", hides, got)
		}
	}
}

func TestShorten_CountsColumns(t *testing.T) {
	t.Parallel()
	for sentence, want := range map[string]string{
		strings.Repeat("a", 60):               strings.Repeat("a", 60),
		strings.Repeat("a", 61):               strings.Repeat("a", 59) + "…",
		strings.Repeat("語", 30):               strings.Repeat("語", 30),
		strings.Repeat("語", 31):               strings.Repeat("語", 29) + "…",
		strings.Repeat("a", 58) + " and more": strings.Repeat("a", 58) + "…",
	} {
		if got := shorten(sentence); got != want {
			t.Errorf("%s\nis\n%s, want\n%s", sentence, got, want)
		}
	}
}
