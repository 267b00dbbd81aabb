package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// maxSetupMessage bounds what is read of init's complaint about the set-up.
const maxSetupMessage = 16 << 10

// firstFile is the number of the first file that a child is handed beyond
// stdin, stdout and stderr: the pipe for complaints. The ports follow it.
const firstFile = 3

// Check tries whether this machine lets the sandbox be made, so that nobody
// waits for long builds first. Like Run it starts this program again, so a call
// of Run must follow it; inside it does nothing.
func Check(ctx context.Context) error {
	if !Outside() {
		return nil
	}
	return enter(ctx, Options{StopTimeout: 10 * time.Second}, true)
}

// enter starts init in namespaces of its own and waits for it.
func enter(ctx context.Context, options Options, tryOnly bool) error {
	files, ports, err := openPorts(ctx, options.Ports)
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	env, err := environment(stageInit, plot{Ports: ports, Values: options.Values, TryOnly: tryOnly})
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGWINCH)
	defer signal.Stop(signals)

	// The child's parent-death signal is bound to the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, complaint, err := startInit(env, files)
	if err != nil {
		return err
	}
	defer func() { _ = complaint.Close() }()
	done := make(chan struct{})
	go pass(ctx, cmd.Process, signals, options.StopTimeout, done)
	message, readErr := io.ReadAll(io.LimitReader(complaint, maxSetupMessage))
	waitErr := cmd.Wait()
	close(done)
	if len(message) > 0 {
		return errors.New(string(message))
	}
	if readErr != nil {
		return fmt.Errorf("read the sandbox's state: %w", readErr)
	}
	if exit, ok := errors.AsType[*exec.ExitError](waitErr); ok {
		return &ExitError{Code: exitCode(exit.Sys().(syscall.WaitStatus))}
	}
	if waitErr != nil {
		return fmt.Errorf("wait for the sandbox: %w", waitErr)
	}
	return nil
}

// startInit starts init; root needs no user namespace, unless it is a root
// that lacks the right to make the other ones.
func startInit(env []string, ports []*os.File) (*exec.Cmd, *os.File, error) {
	cmd, complaint, err := tryInit(env, ports, os.Geteuid() != 0)
	if err != nil && os.Geteuid() == 0 && errors.Is(err, syscall.EPERM) {
		cmd, complaint, err = tryInit(env, ports, true)
	}
	if err != nil {
		return nil, nil, explain(fmt.Errorf("make namespaces for the local stack: %w", err))
	}
	return cmd, complaint, nil
}

func tryInit(env []string, ports []*os.File, userNamespace bool) (*exec.Cmd, *os.File, error) {
	complaint, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer func() { _ = writer.Close() }()
	// No context: init is stopped by signals first, and killed only by pass.
	cmd := exec.Command("/proc/self/exe") //nolint:noctx // the program itself, stopped by pass
	cmd.Args = os.Args
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = append([]*os.File{writer}, ports...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
		// A session of its own keeps what is typed on the terminal from
		// reaching the processes inside a second time, past this process.
		Setsid: true,
	}
	if userNamespace {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		_ = complaint.Close()
		return nil, nil, err
	}
	return cmd, complaint, nil
}

// pass hands signals and the end of the context in, and kills what has not
// stopped in time. A second request to stop kills at once.
func pass(ctx context.Context, init *os.Process, signals <-chan os.Signal, timeout time.Duration, done <-chan struct{}) {
	var deadline <-chan time.Time
	ended := ctx.Done()
	for {
		select {
		case <-done:
			return
		case <-ended:
			ended = nil
			deadline = time.After(timeout)
			_ = init.Signal(syscall.SIGTERM)
		case <-deadline:
			_ = init.Kill()
			return
		case s := <-signals:
			if s == syscall.SIGWINCH {
				_ = init.Signal(s)
				continue
			}
			if deadline != nil {
				_ = init.Kill()
				return
			}
			deadline = time.After(timeout)
			if s == syscall.SIGHUP {
				s = syscall.SIGTERM
			}
			_ = init.Signal(s)
		}
	}
}

// openPorts opens the ports and returns their sockets as files.
func openPorts(ctx context.Context, ports []Port) ([]*os.File, []openPort, error) {
	var files []*os.File
	var open []openPort
	for _, p := range ports {
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", p.Listen)
		if err != nil {
			return files, nil, fmt.Errorf("open the port for %s: %w", p.Name, err)
		}
		file, err := listener.(*net.TCPListener).File()
		_ = listener.Close()
		if err != nil {
			return files, nil, fmt.Errorf("hand in the port for %s: %w", p.Name, err)
		}
		files = append(files, file)
		open = append(open, openPort{Name: p.Name, Outside: listener.Addr().String(), To: p.To})
	}
	return files, open, nil
}

// exitCode is what a shell would say of a process that ended so.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
