package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
)

// newScreen is a screen that shows lines, numbered, of which the last one tells the time.
func newScreen(lines int) (*screen, *clocktesting.FakePassiveClock) {
	clock := clocktesting.NewFakePassiveClock(now)
	m := &screen{palette: palette{glyphs: drawn}, clock: clock, await: func() tea.Msg { return nil }}
	m.Update(tea.WindowSizeMsg{Width: 40, Height: 10})
	m.Update(sawMsg{frame: func(_ palette, width int, at time.Time) []string {
		var drawn []string
		for i := range lines - 1 {
			drawn = append(drawn, fmt.Sprintf("line %d of a terminal of %d", i+1, width))
		}
		return append(drawn, "it is "+at.Format(time.TimeOnly))
	}})
	return m, clock
}

// shown are the lines that a screen shows.
func shown(m *screen) []string { return strings.Split(m.View().Content, "\n") }

func key(code rune, mod tea.KeyMod) tea.KeyPressMsg {
	press := tea.KeyPressMsg{Code: code, Mod: mod}
	if mod == 0 && code >= ' ' && code < 0x80 {
		press.Text = string(code)
	}
	return press
}

func TestScreen_PaintsAgainAsTimeGoesOn(t *testing.T) {
	t.Parallel()
	m, clock := newScreen(2)
	if got := shown(m); len(got) != 2 || got[1] != "it is 20:30:00" {
		t.Errorf("it shows %q", got)
	}
	clock.SetTime(now.Add(time.Second))
	if _, again := m.Update(tickMsg{}); again == nil {
		t.Error("it ticks once only")
	}
	if got := shown(m); got[1] != "it is 20:30:01" {
		t.Errorf("it shows %q a second later", got)
	}
}

func TestScreen_FitsTheTerminal(t *testing.T) {
	t.Parallel()
	m, _ := newScreen(30)
	got := shown(m)
	if len(got) != 10 || got[0] != "line 1 of a terminal of 40" || !strings.HasPrefix(got[9], "lines 1 to 9 of 30") {
		t.Errorf("it shows %q", got)
	}
	for _, press := range []tea.KeyPressMsg{key(tea.KeyDown, 0), key('j', 0), key(tea.KeyUp, 0)} {
		m.Update(press)
	}
	if got := shown(m); got[0] != "line 2 of a terminal of 40" {
		t.Errorf("two lines down and one up it begins with %q", got[0])
	}
	for range 9 {
		m.Update(key(tea.KeyPgDown, 0))
	}
	if got := shown(m); got[8] != "it is 20:30:00" || !strings.HasPrefix(got[9], "lines 22 to 30 of 30") {
		t.Errorf("at the end it shows %q", got)
	}
	for range 9 {
		m.Update(key(tea.KeyPgUp, 0))
	}
	m.Update(tea.WindowSizeMsg{Width: 12, Height: 40})
	if got := shown(m); len(got) != 30 || got[0] != "line 1 of a…" {
		t.Errorf("on a narrow and high terminal it shows %q", got)
	}
}

func TestScreen_TellsOfTroubleAndKeepsWhatItKnew(t *testing.T) {
	t.Parallel()
	m, _ := newScreen(2)
	m.Update(sawMsg{frame: m.frame, trouble: errors.New("connection refused")})
	if got := shown(m); len(got) != 3 || got[0] != "line 1 of a terminal of 40" || !strings.Contains(got[2], "the API server can't be heard") {
		t.Errorf("it shows %q", got)
	}
	m.Update(sawMsg{frame: m.frame})
	if got := shown(m); len(got) != 2 {
		t.Errorf("after that it shows %q", got)
	}
}

func TestScreen_EndsWhenTheUserHasSeenEnough(t *testing.T) {
	t.Parallel()
	for name, press := range map[string]tea.KeyPressMsg{"q": key('q', 0), "escape": key(tea.KeyEscape, 0), "ctrl+c": key('c', tea.ModCtrl)} {
		m, _ := newScreen(2)
		_, cmd := m.Update(press)
		if cmd == nil {
			t.Errorf("%s doesn't end it", name)
		} else if _, quits := cmd().(tea.QuitMsg); !quits {
			t.Errorf("%s doesn't end it", name)
		}
		if m.interrupted != (name == "ctrl+c") {
			t.Errorf("%s: interrupted is %t", name, m.interrupted)
		}
	}
}

func TestRepaint_ShowsChangesUntilWhatIsShownIsGone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newSession(Options{Streams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out}, Clock: clocktesting.NewFakeClock(now), Getenv: func(string) string { return "" }})
	e := &eye{changed: make(chan struct{}, 1)}
	e.tell()
	looks := 0
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	err := s.repaint(ctx, e, func(context.Context) (frame, error) {
		if looks++; looks > 3 {
			return nil, errGone
		}
		seen := fmt.Sprintf("look %d", looks)
		time.AfterFunc(100*time.Millisecond, e.tell)
		return func(palette, int, time.Time) []string { return []string{seen} }, nil
	})
	if err != nil {
		t.Errorf("the end is an error: %v", err)
	}
	if !strings.Contains(out.String(), "look 1") || !strings.Contains(out.String(), "deleted") {
		t.Errorf("it painted %q", out.String())
	}
}
