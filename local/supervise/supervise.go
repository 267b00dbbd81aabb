// Package supervise runs the parts of the local stack as processes: each with
// a log file, started when those before it are ready, reported at once with
// the end of its log when it dies, and stopped in the reverse order.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// readyPoll is how often a part that starts is asked whether it is ready.
	readyPoll = 20 * time.Millisecond
	// defaultReady and defaultStop bound starting and stopping.
	defaultReady = 60 * time.Second
	defaultStop  = 10 * time.Second
)

// Part is a process of the stack.
type Part struct {
	// Name is also the name of its log file, <name>.log.
	Name string
	Path string
	Args []string
	// Env is added to the environment of this process.
	Env []string
	// Dir is the working folder.
	Dir string
	// Ready returns nil once the part serves; nil means at once. What it
	// returned last is part of the error when ReadyTimeout (60 s) is over.
	Ready        func(ctx context.Context) error
	ReadyTimeout time.Duration
	// StopTimeout is the time between SIGTERM and SIGKILL (10 s).
	StopTimeout time.Duration
}

// Status is how a part is.
type Status struct {
	Name string
	// Log is the path of its log file.
	Log string
	// PID is 0 when it does not run.
	PID int
}

// Supervisor starts, watches and stops parts. Its methods can be called from
// several goroutines, but Start and Restart of one part only from one.
type Supervisor struct {
	logs string
	died chan error

	mu    sync.Mutex
	parts []*running
}

// New makes a supervisor that writes its parts' logs into a folder.
func New(logs string) (*Supervisor, error) {
	if err := os.MkdirAll(logs, 0o755); err != nil { //nolint:gosec // logs are for everyone who may see the folder
		return nil, fmt.Errorf("make the folder for logs: %w", err)
	}
	return &Supervisor{logs: logs, died: make(chan error, 1)}, nil
}

// Died gives the first death that nobody asked for: a *DeathError.
func (s *Supervisor) Died() <-chan error {
	return s.died
}

// Start starts a part and waits until it is ready.
func (s *Supervisor) Start(ctx context.Context, part Part) error {
	if s.find(part.Name) != nil {
		return fmt.Errorf("start %s: it was started already", part.Name)
	}
	r := &running{part: part, log: filepath.Join(s.logs, part.Name+".log"), died: s.report}
	if err := r.start(); err != nil {
		return err
	}
	s.mu.Lock()
	s.parts = append(s.parts, r)
	s.mu.Unlock()
	return r.awaitReady(ctx)
}

// Restart stops a part, unless it is down, starts it again and waits until it
// is ready. Its log goes on in the same file.
func (s *Supervisor) Restart(ctx context.Context, name string) error {
	r := s.find(name)
	if r == nil {
		return fmt.Errorf("restart %s: there is no such part", name)
	}
	r.stop()
	if err := r.start(); err != nil {
		return err
	}
	return r.awaitReady(ctx)
}

// Kill ends a part at once, by SIGKILL, and leaves it down. It is how tests
// make a part fail.
func (s *Supervisor) Kill(name string) error {
	r := s.find(name)
	if r == nil {
		return fmt.Errorf("kill %s: there is no such part", name)
	}
	r.kill()
	return nil
}

// Signal sends a running part a signal, such as SIGSTOP and SIGCONT.
func (s *Supervisor) Signal(name string, signal syscall.Signal) error {
	r := s.find(name)
	if r == nil {
		return fmt.Errorf("signal %s: there is no such part", name)
	}
	if err := r.signal(signal); err != nil {
		return fmt.Errorf("signal %s: %w", name, err)
	}
	return nil
}

// Stop stops all parts, the last one first.
func (s *Supervisor) Stop() {
	s.mu.Lock()
	parts := s.parts
	s.mu.Unlock()
	for _, part := range slices.Backward(parts) {
		part.stop()
	}
}

// Parts lists the parts in the order they were started.
func (s *Supervisor) Parts() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Status
	for _, r := range s.parts {
		all = append(all, Status{Name: r.part.Name, Log: r.log, PID: r.pid()})
	}
	return all
}

func (s *Supervisor) find(name string) *running {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.parts {
		if r.part.Name == name {
			return r
		}
	}
	return nil
}

// report keeps the first death; those after it mostly follow from it.
func (s *Supervisor) report(err error) {
	select {
	case s.died <- err:
	default:
	}
}

// DeathError says that a part ended though nobody asked it to.
type DeathError struct {
	// Name is the part's, Reason how it ended.
	Name, Reason string
	// Log is its log file, and Tail the last lines of it.
	Log, Tail string
}

// Error names the part and ends with the end of its log.
func (e *DeathError) Error() string {
	if e.Tail == "" {
		return fmt.Sprintf("%s died (%s) and left no log", e.Name, e.Reason)
	}
	return fmt.Sprintf("%s died (%s); its log %s ends:\n%s", e.Name, e.Reason, e.Log, e.Tail)
}

// errNotReady stands for a part whose Ready was never asked.
var errNotReady = errors.New("it did not start serving")
