package cli

import (
	"fmt"
	"os"

	"golang.org/x/term"
)

// palette paints words, or leaves them as they are.
type palette struct {
	colours bool
	glyphs  glyphs
}

// glyphs draw trees and marks.
type glyphs struct {
	branch, last, trunk, blank        string
	good, bad, waiting, present, todo string
	arrow                             string
}

var (
	drawn = glyphs{
		branch: "├─ ", last: "└─ ", trunk: "│  ", blank: "   ",
		good: "✔", bad: "✖", waiting: "◷", present: "▶", todo: "·", arrow: "→",
	}
	plain = glyphs{
		branch: "|- ", last: "`- ", trunk: "|  ", blank: "   ",
		good: "+", bad: "x", waiting: "~", present: ">", todo: ".", arrow: "->",
	}
)

// The codes of colours that terminals know, from ECMA-48.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint gives text a colour, or the like.
func (p palette) paint(code, text string) string {
	if !p.colours || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// The colours by what they say.
func (p palette) weak(text string) string { return p.paint(faint, text) }
func (p palette) good(text string) string { return p.paint(green, text) }
func (p palette) bad(text string) string  { return p.paint(red, text) }
func (p palette) wait(text string) string { return p.paint(yellow, text) }

// checkColour tells what --color may be.
func (s *session) checkColour() error {
	switch s.colour {
	case "auto", "always", "never":
		return nil
	}
	return usagef("--color %s is unknown: it is auto, always or never", s.colour)
}

// palette is what suits where the session writes to: colours on a terminal, unless NO_COLOR is set or --color says otherwise, and
// letters of ASCII on a terminal that is dumb.
func (s *session) palette() palette {
	dumb := s.getenv("TERM") == "dumb"
	p := palette{glyphs: drawn}
	if dumb {
		p.glyphs = plain
	}
	switch s.colour {
	case "always":
		p.colours = true
	case "auto":
		p.colours = s.onTerminal() && s.getenv("NO_COLOR") == "" && !dumb
	}
	return p
}

// onTerminal says whether what is written is read by a person at a terminal.
func (s *session) onTerminal() bool {
	file, ok := s.Out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// line writes one line of output.
func (s *session) line(format string, args ...any) {
	fmt.Fprintf(s.Out, format+"\n", args...)
}
