// Package process runs a program as a container's main process: in a root
// folder of its own that holds nothing but the program, its volumes and the
// few files that every program expects, and in mount, pid and host name
// namespaces of its own. It needs to be root, or root of a user namespace.
//
// Being pid 1 of a pid namespace, the process takes along whatever it has
// started when it ends, and the kernel ends it when the process that started
// it is gone. The network is that of the caller.
//
// The namespaces are furnished by this program itself, run again by the hidden
// command that Command returns:
//
//	Start --clone--> helper: mounts, pivots, execs --> the program
package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// maxComplaint bounds what the helper may say about its failure, in bytes.
const maxComplaint = 4096

// Spec says what to run and what it finds in its root folder.
type Spec struct {
	// Root is an empty folder that becomes the mount point of the root.
	Root string `json:"root"`
	// Program is the program's path outside, Entry its path inside.
	Program string `json:"program"`
	Entry   string `json:"entry"`
	// Args are the arguments after the program's name.
	Args []string `json:"args,omitempty"`
	// Env is the whole environment, as NAME=value.
	Env []string `json:"env,omitempty"`
	// Dir is the working folder inside; it is made if it is missing.
	Dir string `json:"dir,omitempty"`
	// Hostname is what the kernel says the machine is called.
	Hostname string `json:"hostname,omitempty"`
	// Files maps a path inside to its content.
	Files map[string]string `json:"files,omitempty"`
	// Mounts are made in this order.
	Mounts []Mount `json:"mounts,omitempty"`
	// ReadOnlyRoot lets the program write to its writable mounts only.
	ReadOnlyRoot bool `json:"readOnlyRoot,omitempty"`
}

// Mount shows a file or folder from outside at a path inside.
type Mount struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Process is a program that was started.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Start runs the program and returns once it is really running, or with what
// prevented it. helper is the command line that runs Command's command; output
// receives what the program prints.
func Start(helper []string, spec Spec, output *os.File) (*Process, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("write the process's specification: %w", err)
	}
	specOut, specIn, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer closeAll(specOut, specIn)
	complaintOut, complaintIn, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer closeAll(complaintOut, complaintIn)

	cmd := exec.Command(helper[0], helper[1:]...) //nolint:noctx // its own program; it outlives the caller's contexts and is stopped by Signal
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = []string{}
	cmd.ExtraFiles = []*os.File{specOut, complaintIn}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		Setpgid:    true,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := startOnLastingThread(cmd); err != nil {
		return nil, fmt.Errorf("start a process in its own namespaces: %w", err)
	}
	closeAll(specOut, complaintIn)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go p.wait()

	_, writeErr := specIn.Write(text)
	closeAll(specIn)
	complaint, readErr := io.ReadAll(io.LimitReader(complaintOut, maxComplaint))
	if len(complaint) > 0 {
		writeErr, readErr = nil, errors.New(strings.TrimSpace(string(complaint)))
	}
	if err := errors.Join(writeErr, readErr); err != nil {
		p.Signal(syscall.SIGKILL)
		<-p.done
		return nil, err
	}
	return p, nil
}

// Pid is the process's id in the caller's pid namespace.
func (p *Process) Pid() int {
	return p.cmd.Process.Pid
}

// Signal sends a signal to the process; one that has ended is left alone.
func (p *Process) Signal(signal syscall.Signal) {
	// Its only errors are that the process has ended, and a caller that is
	// not allowed to, which the parent always is.
	_ = p.cmd.Process.Signal(signal)
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} {
	return p.done
}

// ExitCode is the exit code of a process that has ended, with 128 + n for one
// that was ended by signal n.
func (p *Process) ExitCode() int {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *Process) wait() {
	// The exit code says all that its error would.
	_ = p.cmd.Wait()
	close(p.done)
}

// starts carries commands to the thread that starts them.
var starts = sync.OnceValue(func() chan<- start {
	queue := make(chan start)
	go func() {
		runtime.LockOSThread()
		for s := range queue {
			s.result <- s.cmd.Start()
		}
	}()
	return queue
})

type start struct {
	cmd    *exec.Cmd
	result chan error
}

// startOnLastingThread starts a command from one thread that never ends: to
// the kernel the parent whose death ends the child is a thread, and the Go
// runtime may end threads.
func startOnLastingThread(cmd *exec.Cmd) error {
	s := start{cmd: cmd, result: make(chan error, 1)}
	starts() <- s
	return <-s.result
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		// Closing twice is harmless, and there is nothing to lose in a pipe.
		_ = f.Close()
	}
}
