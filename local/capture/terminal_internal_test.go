package capture

import (
	"strings"
	"testing"
)

func TestPicture_KeepsColumnsColoursAndWhatIsNoMarkup(t *testing.T) {
	t.Parallel()
	got := picture("a <title>", "\x1b[1mbold\x1b[0m <plain> \x1b[32mgood\x1b[0m\n\nend", narrow)
	for _, part := range []string{
		`aria-label="a &lt;title&gt;"`,
		`<tspan x="16.0" textLength="33.6" lengthAdjust="spacingAndGlyphs" font-weight="bold">bold</tspan>`,
		`> &lt;plain&gt; </tspan>`,
		`<tspan x="125.2" textLength="33.6" lengthAdjust="spacingAndGlyphs" fill="#7ee787">good</tspan>`,
		`y="68"><tspan x="16.0" textLength="25.2" lengthAdjust="spacingAndGlyphs">end</tspan></text>`,
	} {
		if !strings.Contains(got, part) {
			t.Errorf("the picture lacks %s:\n%s", part, got)
		}
	}
}

func TestPicture_WrapsAsATerminalDoes(t *testing.T) {
	t.Parallel()
	got := wrapped("\x1b[31m"+strings.Repeat("x", narrow)+"yz\x1b[0m", narrow)
	if len(got) != 2 || got[1] != "\x1b[31myz\x1b[0m" || !strings.HasSuffix(got[0], "xx") {
		t.Errorf("it is wrapped as %q", got)
	}
}
