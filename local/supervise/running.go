package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// tailLines is how much of a log is shown when its part dies, found in
	// the last tailBytes.
	tailLines = 15
	tailBytes = 16 << 10
)

// running is a part and the process that it is at the moment.
type running struct {
	part Part
	log  string
	died func(error)

	mu      sync.Mutex
	process *process
}

// process is one run of a part.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	// asked says that its end is wanted, and death is set before done is
	// closed if it wasn't.
	asked bool
	death *DeathError
}

// start starts the part's process.
func (r *running) start() error {
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // as the folder
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", r.part.Name, err)
	}
	// No context: the part is stopped in order, by signals.
	cmd := exec.Command(r.part.Path, r.part.Args...) //nolint:noctx // the stack's own programs
	cmd.Env = append(os.Environ(), r.part.Env...)
	cmd.Dir = r.part.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal is bound to this thread, so it must last
		// as long as the process.
		runtime.LockOSThread()
		err := cmd.Start()
		_ = log.Close()
		started <- err
		if err == nil {
			r.watch(p)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", r.part.Name, err)
	}
	r.mu.Lock()
	r.process = p
	r.mu.Unlock()
	return nil
}

// watch waits for the end of a process and reports it if nobody asked for it.
func (r *running) watch(p *process) {
	reason := "exit status 0"
	if err := p.cmd.Wait(); err != nil {
		reason = err.Error()
	}
	r.mu.Lock()
	asked := p.asked
	if !asked {
		p.death = &DeathError{Name: r.part.Name, Reason: reason, Log: r.log, Tail: tail(r.log)}
	}
	close(p.done)
	r.mu.Unlock()
	if !asked {
		r.died(p.death)
	}
}

// awaitReady waits until the part is ready, or can't be.
func (r *running) awaitReady(ctx context.Context) error {
	if r.part.Ready == nil {
		return nil
	}
	timeout := r.part.ReadyTimeout
	if timeout == 0 {
		timeout = defaultReady
	}
	r.mu.Lock()
	p := r.process
	r.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	last := errNotReady
	for {
		err := r.part.Ready(limited)
		if err == nil {
			return nil
		}
		if limited.Err() == nil {
			last = err
		}
		select {
		case <-p.done:
			if p.death != nil {
				return p.death
			}
			return fmt.Errorf("start %s: it was stopped", r.part.Name)
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%s was not ready after %v: %w; its log %s ends:\n%s", r.part.Name, timeout, last, r.log, tail(r.log))
		case <-time.After(readyPoll):
		}
	}
}

// ask notes that the process's end is wanted, and returns it; nil when it does
// not run.
func (r *running) ask() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.process
	if p == nil {
		return nil
	}
	p.asked = true
	return p
}

// stop asks the process to end, and kills it when it doesn't in time.
func (r *running) stop() {
	p := r.ask()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timeout := r.part.StopTimeout
	if timeout == 0 {
		timeout = defaultStop
	}
	select {
	case <-p.done:
	case <-time.After(timeout):
		r.kill()
	}
}

// kill ends the process group, so that what the part started ends too.
func (r *running) kill() {
	p := r.ask()
	if p == nil {
		return
	}
	select {
	case <-p.done:
		// Its group's number may be another's by now.
		return
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

func (r *running) signal(signal syscall.Signal) error {
	r.mu.Lock()
	p := r.process
	r.mu.Unlock()
	if p == nil {
		return errors.New("it does not run")
	}
	return p.cmd.Process.Signal(signal)
}

// pid is the process's, or 0 when it has ended.
func (r *running) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return 0
	}
	select {
	case <-r.process.done:
		return 0
	default:
		return r.process.cmd.Process.Pid
	}
}

// tail is the end of a log, indented to stand out in an error.
func tail(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > tailBytes {
		if _, err := file.Seek(-tailBytes, io.SeekEnd); err != nil {
			return ""
		}
	}
	content, err := io.ReadAll(io.LimitReader(file, tailBytes))
	if err != nil {
		return ""
	}
	text := strings.TrimRight(string(content), "\n")
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return "    " + strings.Join(lines, "\n    ")
}
