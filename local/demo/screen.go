package demo

import (
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

const (
	// quiet is how long a pipe gets no line while nothing happens.
	quiet = 5 * time.Second
	// defaultWidth is that of a terminal that doesn't say.
	defaultWidth = 120
	// sentenceWidth is how wide sentences get in a pipe.
	sentenceWidth = 140

	clearLine = "\r\x1b[2K"
	lineUp    = "\x1b[1A"
)

// screen shows the table. On a terminal its last row is painted anew in place,
// with the totals below; in a pipe a row is a line, written when something
// happened, and every few seconds.
type screen struct {
	out io.Writer
	// width of the terminal; nil for a pipe.
	width func() int

	headed  bool
	last    row
	printed time.Time
	// live are the lines at the end that are to be painted over.
	live []string
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("TERM") == "dumb" {
		return s
	}
	s.width = func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 {
			return defaultWidth
		}
		return width
	}
	return s
}

// say writes lines that stay.
func (s *screen) say(text string) {
	live := s.live
	s.erase()
	s.write(strings.TrimRight(text, "\n") + "\n")
	s.paint(live)
}

// row shows the table's present row.
func (s *screen) row(r row) {
	happened := r.key != s.last.key
	if s.width == nil {
		if happened || time.Since(s.printed) >= quiet {
			s.head()
			s.write(strings.Join(r.lines(s.columns()), "\n") + "\n")
			s.printed = time.Now()
		}
		s.last = r
		return
	}
	s.erase()
	s.head()
	if happened && s.last.text != "" {
		// What a step came to stays.
		for _, line := range s.last.lines(s.columns()) {
			s.write(s.cut(line) + "\n")
		}
	}
	s.last = r
	lines := r.lines(s.columns())
	if r.totals != "" {
		lines = append(lines, r.totals)
	}
	s.paint(lines)
}

// end leaves what is painted as it is.
func (s *screen) end() {
	s.live = nil
}

func (s *screen) head() {
	if !s.headed {
		s.headed = true
		s.write(s.cut(header()) + "\n")
	}
}

func (s *screen) paint(lines []string) {
	for _, line := range lines {
		s.write(s.cut(line) + "\n")
	}
	s.live = lines
}

func (s *screen) erase() {
	for range s.live {
		s.write(lineUp + clearLine)
	}
	s.live = nil
}

// cut keeps a line from being wrapped, so that painting over it works.
func (s *screen) cut(line string) string {
	if s.width == nil {
		return line
	}
	runes := []rune(line)
	return string(runes[:min(len(runes), s.columns())])
}

// columns are how wide a line may be.
func (s *screen) columns() int {
	if s.width == nil {
		return sentenceWidth
	}
	return max(s.width()-1, 1)
}

// write ignores errors: a reader who is gone is no reason to fail.
func (s *screen) write(text string) {
	_, _ = io.WriteString(s.out, text)
}
