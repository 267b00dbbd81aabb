package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// runInit is pid 1 of the sandbox. It returns the exit code of the program
// proper; the kernel ends all else when pid 1 is gone.
func runInit(ctx context.Context) int {
	complaint := os.NewFile(firstFile, "complaint")
	// Signals that come early wait in the channel until there is a process
	// to pass them to.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGWINCH)
	pid, err := setUp(ctx)
	if err != nil {
		_, _ = complaint.WriteString(explain(err).Error())
		return 1
	}
	_ = complaint.Close()
	if pid == 0 {
		return 0
	}
	go func() {
		for s := range signals {
			_ = syscall.Kill(pid, s.(syscall.Signal))
		}
	}()
	return reap(pid)
}

// setUp prepares the namespaces and starts the program proper, unless this is
// only to be tried.
func setUp(ctx context.Context) (int, error) {
	syscall.CloseOnExec(firstFile)
	var p plot
	if err := takePlot(&p); err != nil {
		return 0, err
	}
	if err := mountAll(); err != nil {
		return 0, err
	}
	if err := setUpNetwork(); err != nil {
		return 0, err
	}
	if p.TryOnly {
		return 0, nil
	}
	for i, port := range p.Ports {
		number := firstFile + 1 + i
		syscall.CloseOnExec(number)
		file := os.NewFile(uintptr(number), port.Name)
		listener, err := net.FileListener(file)
		_ = file.Close()
		if err != nil {
			return 0, fmt.Errorf("take over the port for %s: %w", port.Name, err)
		}
		go forward(ctx, listener, port.To)
	}
	env, err := environment(stageInside, p)
	if err != nil {
		return 0, err
	}
	// Not os/exec: its Wait and the reaping of orphans would take each
	// other's children.
	pid, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2}}) //nolint:gosec // it starts itself again
	if err != nil {
		return 0, fmt.Errorf("start the program inside the sandbox: %w", err)
	}
	return pid, nil
}

// reap collects every process that ends, orphans included, until the program
// proper does.
func reap(pid int) int {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1
		case ended == pid:
			return exitCode(status)
		}
	}
}
