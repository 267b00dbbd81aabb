package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/node/process"
	"github.com/weighlock/weighlock/local/sandbox"
)

// helper runs this test binary as the hidden command.
var helper = []string{"/proc/self/exe", "become"}

// The test binary is also the helper, the program that it becomes, and a node
// that dies. The tests run in a sandbox, so that an ordinary user may mount.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "become":
			fmt.Fprintln(os.Stderr, process.Become())
			os.Exit(1)
		case "program":
			os.Exit(program(os.Args[2:]))
		case "parent":
			os.Exit(parent(os.Args[2]))
		}
	}
	err := sandbox.Run(context.Background(), sandbox.Options{}, func(context.Context, sandbox.Inside) error {
		if code := m.Run(); code != 0 {
			return &sandbox.ExitError{Code: code}
		}
		return nil
	})
	var exit *sandbox.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(sandbox.ExitCode(err))
}

func program(args []string) int {
	switch args[0] {
	case "describe":
		host, _ := os.Hostname()
		dir, _ := os.Getwd()
		fmt.Println("pid", os.Getpid(), "host", host, "dir", dir, "env", strings.Join(os.Environ(), " "))
	case "read":
		text, err := os.ReadFile(args[1])
		fmt.Println(string(text), err)
	case "write":
		fmt.Println(os.WriteFile(args[1], []byte("written"), 0o600))
	case "list":
		entries, err := os.ReadDir(args[1])
		fmt.Println(entries, err)
	case "exit":
		code, _ := strconv.Atoi(args[1])
		return code
	case "sleep":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		fmt.Println("sleeping")
		<-signals
		fmt.Println("asked to stop")
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		child := exec.Command("/proc/self/exe", "program", "sleep")
		fmt.Println(child.Start())
		select {}
	}
	return 0
}

// parent starts a process, prints its id, and waits to be killed.
func parent(root string) int {
	p, err := process.Start(helper, spec(root, "deaf"), os.Stderr)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(p.Pid())
	select {}
}

func spec(root string, args ...string) process.Spec {
	return process.Spec{
		Root:    root,
		Program: "/proc/self/exe",
		Entry:   "/app",
		Args:    append([]string{"program"}, args...),
		Env:     []string{"A=1"},
	}
}

// run returns what the program printed and its exit code.
func run(t *testing.T, s process.Spec) (string, int) {
	t.Helper()
	p, log := start(t, s)
	wait(t, p)
	return read(t, log), p.ExitCode()
}

func start(t *testing.T, s process.Spec) (*process.Process, string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	p, err := process.Start(helper, s, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Signal(syscall.SIGKILL); <-p.Done() })
	return p, log
}

func wait(t *testing.T, p *process.Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the process did not end")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatal("waited in vain for", what)
}

func TestStart_GivesTheProgramItsOwnPidHostNameFolderAndEnvironment(t *testing.T) {
	s := spec(t.TempDir(), "describe")
	s.Hostname, s.Dir = "checkout-1", "/work/here"
	got, code := run(t, s)
	if want := "pid 1 host checkout-1 dir /work/here env A=1\n"; got != want || code != 0 {
		t.Errorf("got %q, exit code %d, want %q", got, code, want)
	}
}

func TestStart_ShowsNothingOfTheMachineButWhatIsMounted(t *testing.T) {
	got, _ := run(t, spec(t.TempDir(), "list", "/"))
	for _, unwanted := range []string{"home", "root", "bin", "work"} {
		if strings.Contains(got, " "+unwanted+"/") {
			t.Errorf("the root folder holds %s: %s", unwanted, got)
		}
	}
	if !strings.Contains(got, "- app") || !strings.Contains(got, "d proc/") {
		t.Errorf("the root folder lacks the program or /proc: %s", got)
	}
}

func TestStart_MountsVolumesBelowVarRun(t *testing.T) {
	volume := t.TempDir()
	if err := os.WriteFile(filepath.Join(volume, "token"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := spec(t.TempDir(), "read", "/var/run/secrets/account/token")
	s.Mounts = []process.Mount{{Source: volume, Target: "/var/run/secrets/account", ReadOnly: true}}
	if got, _ := run(t, s); got != "secret <nil>\n" {
		t.Errorf("got %q", got)
	}
}

func TestStart_KeepsReadOnlyMountsAndRootsFromBeingWritten(t *testing.T) {
	volume := t.TempDir()
	for _, c := range []struct {
		name, path   string
		mount, root  bool
		wantReadOnly bool
	}{
		{name: "writable mount", path: "/data/x"},
		{name: "read-only mount", path: "/data/x", mount: true, wantReadOnly: true},
		{name: "writable root", path: "/x"},
		{name: "read-only root", path: "/x", root: true, wantReadOnly: true},
		{name: "writable mount in a read-only root", path: "/data/x", root: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := spec(t.TempDir(), "write", c.path)
			s.ReadOnlyRoot = c.root
			s.Mounts = []process.Mount{{Source: volume, Target: "/data", ReadOnly: c.mount}}
			got, _ := run(t, s)
			if refused := strings.Contains(got, "read-only file system"); refused != c.wantReadOnly {
				t.Errorf("refused: %v, want %v: %s", refused, c.wantReadOnly, got)
			}
		})
	}
}

func TestStart_WritesFiles(t *testing.T) {
	s := spec(t.TempDir(), "read", "/etc/resolv.conf")
	s.Files = map[string]string{"/etc/resolv.conf": "nameserver 10.96.0.10"}
	if got, _ := run(t, s); got != "nameserver 10.96.0.10 <nil>\n" {
		t.Errorf("got %q", got)
	}
}

func TestStart_SaysWhatPreventedIt(t *testing.T) {
	s := spec(t.TempDir(), "describe")
	s.Mounts = []process.Mount{{Source: "/does/not/exist", Target: "/data"}}
	_, err := process.Start(helper, s, os.Stderr)
	if err == nil || !strings.Contains(err.Error(), "/data") {
		t.Errorf("got error %v, want one that names the mount", err)
	}
}

func TestExitCode_IsTheProgramsOwnOrTellsTheSignal(t *testing.T) {
	if _, code := run(t, spec(t.TempDir(), "exit", "3")); code != 3 {
		t.Errorf("got exit code %d, want 3", code)
	}
	p, log := start(t, spec(t.TempDir(), "deaf"))
	eventually(t, "the program to ignore signals", func() bool { return strings.Contains(read(t, log), "nil") })
	p.Signal(syscall.SIGTERM)
	p.Signal(syscall.SIGKILL)
	wait(t, p)
	if code := p.ExitCode(); code != 137 {
		t.Errorf("got exit code %d, want 137", code)
	}
}

func TestSignal_LetsTheProgramStopByItself(t *testing.T) {
	p, log := start(t, spec(t.TempDir(), "sleep"))
	eventually(t, "the program to sleep", func() bool { return strings.Contains(read(t, log), "sleeping") })
	p.Signal(syscall.SIGTERM)
	wait(t, p)
	if got := read(t, log); !strings.Contains(got, "asked to stop") || p.ExitCode() != 0 {
		t.Errorf("exit code %d, log %q", p.ExitCode(), got)
	}
}

func TestProcess_EndsWithItsParentAndTakesItsChildrenAlong(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "parent", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process's child", func() bool { return sleepers(t) == 1 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	eventually(t, "all processes to end", func() bool { return sleepers(t) == 0 })
}

// sleepers counts the processes in the sandbox that play "sleep".
func sleepers(t *testing.T) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range lines {
		text, _ := os.ReadFile(line)
		if strings.HasSuffix(string(text), "\x00sleep\x00") {
			n++
		}
	}
	return n
}
