package cli_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/cli"
)

// terminal is a pseudo terminal: what a person types and sees, and what a program has.
type terminal struct {
	person, program *os.File
	seen            buffer
}

// newTerminal makes a terminal of 100 columns and 30 lines.
func newTerminal(t *testing.T) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	raw := int(person.Fd())
	number, err := unix.IoctlGetInt(raw, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(raw, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(raw, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{person: person, program: program}
	read := make(chan struct{})
	go func() {
		defer close(read)
		chunk := make([]byte, 4096)
		for {
			n, err := person.Read(chunk)
			if err != nil {
				return
			}
			term.seen.Write(chunk[:n]) //nolint:errcheck // it never fails.
		}
	}()
	t.Cleanup(func() {
		program.Close()
		<-read
		person.Close()
	})
	return term
}

// expect waits until words were painted.
func (term *terminal) expect(t *testing.T, words string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(term.seen.String(), words) {
			return
		}
	}
	t.Fatalf("%q isn't painted, but:\n%q", words, term.seen.String())
}

func TestWatch_RepaintsOnATerminal(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	makeWorkload(t, namespace)
	path := kubeconfig(t, namespace, "ada", administrators)
	for name, args := range map[string][]string{"get": {"get", "checkout", "--watch"}, "list": {"list", "--watch"}} {
		t.Run(name, func(t *testing.T) {
			setStatus(t, r, func(s *v1alpha1.RolloutStatus) { *s = resting("checkout") })
			term := newTerminal(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			code := make(chan int, 1)
			options := cli.Options{
				Streams: genericiooptions.IOStreams{In: term.program, Out: term.program, ErrOut: term.program},
				Getenv:  func(key string) string { return map[string]string{"TERM": "xterm-256color"}[key] },
			}
			go func() { code <- cli.Run(ctx, options, append(args, "--kubeconfig", path)) }()
			term.expect(t, "Idle")
			if name == "get" {
				term.expect(t, "checkout-broken")
			}
			setStatus(t, r, tried)
			term.expect(t, "Progressing")
			term.expect(t, "\x1b[36m")
			if _, err := term.person.WriteString("q"); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-code:
				if got != 0 {
					t.Errorf("it exits with %d", got)
				}
			case <-time.After(patience):
				t.Error("q doesn't end it")
			}
		})
	}
}

func TestGet_SuitsTheTerminal(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	makeRollout(t, namespace, "checkout", resting("checkout"))
	path := kubeconfig(t, namespace, "ada", administrators)
	for name, c := range map[string]struct {
		environment map[string]string
		args        []string
		coloured    bool
		glyph       string
	}{
		"a terminal":             {environment: map[string]string{"TERM": "xterm"}, coloured: true, glyph: "└─"},
		"NO_COLOR":               {environment: map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, glyph: "└─"},
		"--color=never":          {environment: map[string]string{"TERM": "xterm"}, args: []string{"--color=never"}, glyph: "└─"},
		"NO_COLOR, asked for it": {environment: map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, args: []string{"--color=always"}, coloured: true, glyph: "└─"},
		"a dumb terminal":        {environment: map[string]string{"TERM": "dumb"}, glyph: "`-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term := newTerminal(t)
			options := cli.Options{
				Streams: genericiooptions.IOStreams{In: term.program, Out: term.program, ErrOut: term.program},
				Getenv:  func(key string) string { return c.environment[key] },
			}
			if code := cli.Run(t.Context(), options, append([]string{"get", "--kubeconfig", path}, c.args...)); code != 0 {
				t.Errorf("it exits with %d", code)
			}
			term.expect(t, c.glyph+" ")
			term.expect(t, "50%")
			if got := strings.Contains(term.seen.String(), "\x1b["); got != c.coloured {
				t.Errorf("colours are %t:\n%q", got, term.seen.String())
			}
		})
	}
}
