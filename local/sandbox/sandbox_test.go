package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/sandbox"
)

// roleVariable makes the test binary play a program that enters a sandbox.
const roleVariable = "WEIGHLOCK_SANDBOX_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	options := sandbox.Options{
		Ports:       []sandbox.Port{{Name: "web", Listen: "127.0.0.1:0", To: "10.244.7.7:80"}},
		Values:      map[string]string{"pid": fmt.Sprint(os.Getpid())},
		StopTimeout: 2 * time.Second,
	}
	if err := sandbox.Check(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	err := sandbox.Run(context.Background(), options, func(ctx context.Context, in sandbox.Inside) error {
		return play(ctx, role, in)
	})
	var exit *sandbox.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(sandbox.ExitCode(err))
}

func play(ctx context.Context, role string, in sandbox.Inside) error {
	switch role {
	case "serve":
		return serve(ctx, in)
	case "deaf":
		fmt.Println("ready", in.Ports["web"])
		select {}
	case "orphans":
		// The shell ends at once; its children are left to pid 1.
		for range 3 {
			if err := exec.CommandContext(ctx, "sh", "-c", "(sleep 0.01 &) ; (sleep 1000 &)").Run(); err != nil {
				return fmt.Errorf("a command's own end was not its own to collect: %w", err)
			}
		}
		time.Sleep(100 * time.Millisecond)
		return zombies()
	case "exit":
		os.Exit(7)
	}
	return errors.New("unknown role")
}

func serve(ctx context.Context, in sandbox.Inside) error {
	listener, err := net.Listen("tcp", "10.244.7.7:80")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		resolver, _ := os.ReadFile("/etc/resolv.conf")
		status, _ := os.ReadFile("/proc/self/status")
		_, hidden := os.Stat("/proc/" + in.Values["pid"] + "/root")
		fmt.Fprintf(w, "pid-outside-hidden=%v\n%s\n%s", hidden != nil, resolver, status)
		_, err := os.Stat("/run/probe")
		fmt.Fprintf(w, "run-was-empty=%v write=%v\n", os.IsNotExist(err), os.WriteFile("/run/probe", nil, 0o600))
	})}
	go func() { _ = server.Serve(listener) }()
	fmt.Println("ready", in.Ports["web"])
	<-ctx.Done()
	// Within the context of the stop that was asked for.
	fmt.Println("stopping")
	return server.Close()
}

func zombies() error {
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	for _, p := range processes {
		stat, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(stat), ") Z ") {
			return fmt.Errorf("zombie: %s", stat)
		}
	}
	return nil
}

// program is a run of this test binary in a role.
type program struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	errOut *bytes.Buffer
	marker string
}

func start(t *testing.T, role string, credential *syscall.Credential) *program {
	t.Helper()
	p := &program{errOut: &bytes.Buffer{}, marker: fmt.Sprintf("WEIGHLOCK_SANDBOX_TEST_MARKER=%s-%d", t.Name(), time.Now().UnixNano())}
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role, p.marker, "GORACE=atexit_sleep_ms=0")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = p.errOut
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// ready waits for the program to say where its port is outside.
func (p *program) ready(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait()
		t.Fatalf("no address: %v; stderr: %s", err, p.errOut)
	}
	return "http://" + strings.TrimSpace(strings.TrimPrefix(line, "ready "))
}

func (p *program) wait() int {
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// left lists the processes that carry the program's marker.
func (p *program) left(t *testing.T) []string {
	t.Helper()
	var left []string
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range environments {
		content, err := os.ReadFile(e)
		if err == nil && bytes.Contains(content, []byte(p.marker)) {
			left = append(left, e)
		}
	}
	return left
}

// users are those that the test can be: itself, and nobody for a root.
func users() map[string]*syscall.Credential {
	users := map[string]*syscall.Credential{"self": nil}
	if os.Getuid() == 0 {
		users["nobody"] = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	return users
}

func TestRun_ServesAnAddressInsideThroughAPortOutside(t *testing.T) {
	for name, credential := range users() {
		t.Run(name, func(t *testing.T) {
			p := start(t, "serve", credential)
			address := p.ready(t)
			reply, err := (&http.Client{Timeout: 5 * time.Second}).Get(address)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(io.LimitReader(reply.Body, 1<<20))
			_ = reply.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"pid-outside-hidden=true", "nameserver 10.96.0.10", "run-was-empty=true write=<nil>", "PPid:\t1\n", "Uid:\t0\t"} {
				if !strings.Contains(string(body), want) {
					t.Errorf("reply lacks %q:\n%s", want, body)
				}
			}
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			rest, _ := io.ReadAll(io.LimitReader(p.out, 1<<20))
			if code := p.wait(); code != 0 || !strings.Contains(string(rest), "stopping") {
				t.Errorf("after SIGTERM: exit code %d, output %q, want 0 and a graceful stop; stderr: %s", code, rest, p.errOut)
			}
			if left := p.left(t); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRun_KillsAProgramThatDoesNotStop(t *testing.T) {
	p := start(t, "deaf", nil)
	p.ready(t)
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	asked := time.Now()
	if code := p.wait(); code != 128+int(syscall.SIGKILL) {
		t.Errorf("exit code %d, want that of a killed process", code)
	}
	if took := time.Since(asked); took < time.Second || took > 30*time.Second {
		t.Errorf("killed after %v, want the 2 s it was given", took)
	}
	if left := p.left(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRun_LeavesNothingWhenTheProcessOutsideIsKilled(t *testing.T) {
	p := start(t, "serve", nil)
	p.ready(t)
	_ = p.cmd.Process.Kill()
	p.wait()
	deadline := time.Now().Add(30 * time.Second)
	for len(p.left(t)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v", p.left(t))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestRun_ReapsOrphansButNotTheProgramsOwnChildren(t *testing.T) {
	p := start(t, "orphans", nil)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d, stderr: %s", code, p.errOut)
	}
	if left := p.left(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRun_PassesTheExitCodeOn(t *testing.T) {
	p := start(t, "exit", nil)
	if code := p.wait(); code != 7 {
		t.Errorf("exit code %d, want 7; stderr: %s", code, p.errOut)
	}
}
