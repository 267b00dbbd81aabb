package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
	"k8s.io/utils/clock"
)

// frame draws what was seen last, for a terminal of that many columns, as of a time.
type frame func(p palette, width int, at time.Time) []string

// repaint shows a frame on the terminal, and another one in its place whenever something changes, until the user has seen enough or
// what is shown is gone. The last frame stays on the terminal.
func (s *session) repaint(ctx context.Context, e *eye, look func(context.Context) (frame, error)) error {
	m := &screen{palette: s.palette(), clock: s.clock, width: s.width()}
	m.await = func() tea.Msg {
		select {
		case <-ctx.Done():
			return sawMsg{err: ctx.Err()}
		case <-e.changed:
		}
		seen, err := look(ctx)
		return sawMsg{frame: seen, err: err, trouble: e.trouble()}
	}
	options := []tea.ProgramOption{
		tea.WithContext(ctx), tea.WithOutput(s.Out), tea.WithoutSignalHandler(),
		// What is drawn has the colours already that the user wants.
		tea.WithColorProfile(colorprofile.TrueColor),
	}
	if m.width == 0 {
		// A serial console doesn't tell its size.
		m.width, m.height = 80, 24
		options = append(options, tea.WithWindowSize(m.width, m.height))
	}
	if in, ok := s.In.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		options = append(options, tea.WithInput(in))
	} else {
		options = append(options, tea.WithInput(nil))
	}
	if _, err := tea.NewProgram(m, options...).Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("paint on the terminal: %w", err)
	}
	switch {
	case errors.Is(m.err, errGone):
		return nil
	case m.interrupted:
		return exitWith(exitInterrupted)
	}
	return m.err
}

// screen is what is painted: a frame, as much of it as there is room for, and a line of what is wrong.
type screen struct {
	palette palette
	clock   clock.PassiveClock
	// await waits for a change and looks.
	await func() tea.Msg

	frame         frame
	trouble, err  error
	width, height int
	// top is the first line that is shown, where there is no room for all.
	top         int
	interrupted bool
}

// sawMsg brings what was seen.
type sawMsg struct {
	frame        frame
	trouble, err error
}

// tickMsg lets ages go on.
type tickMsg struct{}

// tick is how often ages are painted again.
const tick = time.Second

func nextTick() tea.Cmd {
	return tea.Tick(tick, func(time.Time) tea.Msg { return tickMsg{} })
}

// Init begins to wait for changes.
func (m *screen) Init() tea.Cmd { return tea.Batch(m.await, nextTick()) }

// Update takes in what happened.
func (m *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tickMsg:
		return m, nextTick()
	case sawMsg:
		m.trouble = msg.trouble
		if msg.err != nil {
			m.err = msg.err
			return m, tea.Quit
		}
		m.frame = msg.frame
		return m, m.await
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m, m.press(msg.String())
	}
	return m, nil
}

// press acts on a key.
func (m *screen) press(key string) tea.Cmd {
	switch key {
	case "ctrl+c":
		m.interrupted = true
		return tea.Quit
	case "q", "esc":
		return tea.Quit
	case "up", "k":
		m.top--
	case "down", "j":
		m.top++
	case "pgup":
		m.top -= m.height - 1
	case "pgdown", "space":
		m.top += m.height - 1
	case "home", "g":
		m.top = 0
	}
	m.top = max(0, m.top)
	return nil
}

// View is what is painted.
func (m *screen) View() tea.View {
	if m.frame == nil {
		return tea.NewView("")
	}
	lines := m.frame(m.palette, m.width, m.clock.Now())
	var foot []string
	switch {
	case errors.Is(m.err, errGone):
		foot = append(foot, m.palette.bad("deleted"))
	case m.trouble != nil:
		foot = append(foot, m.palette.bad(clean("the API server can't be heard, trying again: "+m.trouble.Error())))
	}
	if room := m.height - len(foot); m.height > 0 && len(lines) > room {
		room = max(1, room-1)
		m.top = min(m.top, len(lines)-room)
		foot = append(foot, m.palette.weak(fmt.Sprintf("lines %d to %d of %d, arrow keys for more, q to end", m.top+1, m.top+room, len(lines))))
		lines = lines[m.top : m.top+room]
	} else {
		m.top = 0
	}
	lines = append(lines, foot...)
	if m.width > 0 {
		for i := range lines {
			lines[i] = ansi.Truncate(lines[i], m.width, "…")
		}
	}
	return tea.NewView(strings.Join(lines, "\n"))
}
