package fetch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	// repaint is how often a line on a terminal is brought up to date, and
	// report how often a pipe gets one.
	repaint = time.Second
	report  = 15 * time.Second
	// kept is how many lines of complaints are kept.
	kept = 15
)

// progress follows a go build -v and says how far it is.
type progress struct {
	out      *os.File
	terminal bool
	what     string
	start    time.Time

	mu         sync.Mutex
	compiled   int
	downloaded int
	complaints []string
	// shown says that something stands on the line, or was reported.
	shown bool
}

func newProgress(out *os.File, what string) *progress {
	return &progress{out: out, terminal: term.IsTerminal(int(out.Fd())), what: what, start: time.Now()}
}

// follow reads what go says until it ends.
func (p *progress) follow(output io.Reader) {
	stop := make(chan struct{})
	var painter sync.WaitGroup
	painter.Go(func() {
		every := report
		if p.terminal {
			every = repaint
		}
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				p.show()
			}
		}
	})
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.line(lines.Text())
	}
	// A line beyond the buffer ends the scan, but go must be able to go on.
	_, _ = io.Copy(io.Discard, output)
	close(stop)
	painter.Wait()
}

func (p *progress) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case strings.HasPrefix(text, "go: downloading "):
		p.downloaded++
	case text != "" && !strings.ContainsAny(text, " :\t#"):
		p.compiled++
	default:
		p.complaints = append(p.complaints, text)
		if len(p.complaints) > kept {
			p.complaints = p.complaints[1:]
		}
	}
}

func (p *progress) show() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown = true
	text := fmt.Sprintf("building %s: %s, %d packages compiled", p.what, elapsed(p.start), p.compiled)
	if p.compiled == 0 && p.downloaded > 0 {
		text = fmt.Sprintf("building %s: %s, %d modules downloaded", p.what, elapsed(p.start), p.downloaded)
	}
	if p.terminal {
		_, _ = io.WriteString(p.out, "\r\x1b[K"+text)
		return
	}
	_, _ = io.WriteString(p.out, text+"\n")
}

// done says that it is built, if that took long enough to be worth it.
func (p *progress) done() {
	p.clear()
	if p.shown || time.Since(p.start) > 2*time.Second {
		_, _ = io.WriteString(p.out, fmt.Sprintf("built %s in %s\n", p.what, elapsed(p.start)))
	}
}

// clear takes away what stands on the terminal's line.
func (p *progress) clear() {
	if p.terminal && p.shown {
		_, _ = io.WriteString(p.out, "\r\x1b[K")
	}
}

// explain turns a failed build into one error with what go said, and with the
// way out where it is known.
func (p *progress) explain(err error) error {
	p.clear()
	said := strings.Join(p.complaints, "\n")
	switch {
	case strings.Contains(said, "no space left on device"):
		return errors.New("the disk is full: make room, or set GOCACHE, GOMODCACHE and WEIGHLOCK_CACHE to folders on another disk")
	case strings.Contains(said, "GOTOOLCHAIN=local"):
		return fmt.Errorf("go is too old: %s; install a newer one, or let Go get it with GOTOOLCHAIN=auto", lastLine([]byte(said)))
	case strings.Contains(said, "dial tcp") || strings.Contains(said, "i/o timeout"):
		return fmt.Errorf("modules can't be downloaded (is there a way to the Go module proxy? see GOPROXY): %s", lastLine([]byte(said)))
	}
	return fmt.Errorf("%w:\n%s", err, said)
}

// elapsed is the time since then as a person says it.
func elapsed(start time.Time) string {
	d := time.Since(start)
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// size is what a folder holds, in bytes; what can't be read counts as nothing.
func size(folder string) uint64 {
	var sum uint64
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a rough number is enough
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			sum += uint64(info.Size()) //nolint:gosec // a size is not negative
		}
		return nil
	})
	return sum
}
