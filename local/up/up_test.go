package up_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/fetch"
)

// up is a run of `local up`.
type up struct {
	cmd    *exec.Cmd
	said   *bufio.Reader
	errors *bytes.Buffer
	state  string
	marker string
}

// start starts a stack without Weighlock and waits until it says how to reach
// it.
func start(t *testing.T, programs fetch.Programs) *up {
	t.Helper()
	u := &up{state: t.TempDir(), errors: &bytes.Buffer{}, marker: fmt.Sprintf("WEIGHLOCK_UP_TEST=%s-%d", t.Name(), time.Now().UnixNano())}
	u.cmd = exec.Command(programs.Local, "up", "--without-weighlock", "--state="+u.state)
	u.cmd.Env = append(os.Environ(), u.marker)
	u.cmd.Stderr = u.errors
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := u.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	u.said = bufio.NewReader(said)
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.cmd.Process.Kill() })
	return u
}

// guide waits for the guide and returns it.
func (u *up) guide(t *testing.T) string {
	t.Helper()
	var guide strings.Builder
	for {
		line, err := u.said.ReadString('\n')
		guide.WriteString(line)
		if err != nil {
			_ = u.cmd.Wait()
			t.Fatalf("it ended before it said how to reach it: %s", u.errors)
		}
		if strings.HasPrefix(line, "Ctrl-C") {
			return guide.String()
		}
	}
}

// processes are the command lines, by number, of the processes that carry the
// run's marker.
func (u *up) processes(t *testing.T) map[int]string {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, e := range environments {
		if content, err := os.ReadFile(e); err == nil && bytes.Contains(content, []byte(u.marker)) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(e), "cmdline"))
			number, _ := strconv.Atoi(filepath.Base(filepath.Dir(e)))
			found[number] = strings.ReplaceAll(string(command), "\x00", " ")
		}
	}
	return found
}

func programs(t *testing.T) fetch.Programs {
	t.Helper()
	programs, err := fetch.All(t.Context(), fetch.Options{Local: true})
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

func TestUp_CanBeUsedFromOutsideAndLeavesNothingBehind(t *testing.T) {
	programs := programs(t)
	// Two, which must not disturb each other.
	both := []*up{start(t, programs), start(t, programs)}
	for _, u := range both {
		guide := u.guide(t)
		for _, script := range []string{
			"kubectl get service kubernetes",
			`git_clone=$(grep 'git clone' <<< "$GUIDE"); cd $(mktemp -d) && eval "$git_clone" && cd shop && git -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m x && git push -q origin HEAD:main`,
			`curl -sf "$(sed -n 's/^  Prometheus *//p' <<< "$GUIDE")/-/ready"`,
		} {
			// What the guide says to type is typed.
			exports := "eval \"$(grep export <<< \"$GUIDE\" | sed 's/#.*//')\"\n"
			cmd := exec.CommandContext(t.Context(), "bash", "-c", exports+script)
			cmd.Env = append(os.Environ(), "GUIDE="+guide, "TMPDIR="+t.TempDir())
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s\n%s", script, err, output, guide)
			}
		}
	}
	for _, u := range both {
		_ = u.cmd.Process.Signal(os.Interrupt)
	}
	for _, u := range both {
		if err := u.cmd.Wait(); err != nil {
			t.Errorf("after an interrupt: %v: %s", err, u.errors)
		}
		if left := u.processes(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestUp_EndsWithTheLogOfAPartThatDies(t *testing.T) {
	u := start(t, programs(t))
	u.guide(t)
	for number, command := range u.processes(t) {
		if strings.Contains(command, "--storage.tsdb.path=") {
			if err := syscall.Kill(number, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := u.cmd.Wait()
	if err == nil || !strings.Contains(u.errors.String(), "prometheus died (signal: killed)") {
		t.Errorf("%v: %s; want it to end because Prometheus was killed", err, u.errors)
	}
	if left := u.processes(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
