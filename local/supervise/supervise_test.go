package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/supervise"
)

func newSupervisor(t *testing.T) (*supervise.Supervisor, string) {
	t.Helper()
	logs := filepath.Join(t.TempDir(), "logs")
	s, err := supervise.New(logs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s, logs
}

// shell is a part that runs a script.
func shell(name, script string) supervise.Part {
	return supervise.Part{Name: name, Path: "/bin/sh", Args: []string{"-c", script}, StopTimeout: time.Second}
}

// fileIn is a ready check: that a file is there.
func fileIn(path string) func(context.Context) error {
	return func(context.Context) error {
		_, err := os.Stat(path)
		return err
	}
}

func alive(pid int) bool {
	return syscall.Kill(pid, 0) == nil
}

func TestStart_WaitsUntilThePartIsReady(t *testing.T) {
	s, logs := newSupervisor(t)
	flag := filepath.Join(t.TempDir(), "flag")
	part := shell("slow", "echo starting; sleep 0.2; touch "+flag+"; exec sleep 100")
	part.Ready = fileIn(flag)
	if err := s.Start(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	if err := fileIn(flag)(t.Context()); err != nil {
		t.Error("Start returned before the part was ready")
	}
	log, err := os.ReadFile(filepath.Join(logs, "slow.log"))
	if err != nil || string(log) != "starting\n" {
		t.Errorf("log %q, %v; want what the part said", log, err)
	}
}

func TestStart_ReportsADeathBeforeReadyAtOnceWithTheLogsEnd(t *testing.T) {
	s, _ := newSupervisor(t)
	part := shell("broken", "for i in $(seq 40); do echo line $i; done; exit 3")
	part.Ready = fileIn("/nowhere")
	started := time.Now()
	err := s.Start(t.Context(), part)
	var death *supervise.DeathError
	if !errors.As(err, &death) || death.Name != "broken" || !strings.Contains(death.Reason, "exit status 3") {
		t.Fatalf("error %v, want the death of broken with exit status 3", err)
	}
	if !strings.Contains(err.Error(), "line 40") || !strings.Contains(err.Error(), "line 26") || strings.Contains(err.Error(), "line 25") {
		t.Errorf("error %v, want the last 15 lines", err)
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("reported after %v, want at once", took)
	}
}

func TestStart_SaysWhatIsMissingWhenThePartNeverGetsReady(t *testing.T) {
	s, _ := newSupervisor(t)
	part := shell("stuck", "echo still here; exec sleep 100")
	part.Ready = func(context.Context) error { return errors.New("no answer on port 7") }
	part.ReadyTimeout = 200 * time.Millisecond
	err := s.Start(t.Context(), part)
	if err == nil || !strings.Contains(err.Error(), "no answer on port 7") || !strings.Contains(err.Error(), "still here") {
		t.Errorf("error %v, want the reason and the log's end", err)
	}
}

func TestDied_GivesADeathNobodyAskedFor(t *testing.T) {
	s, logs := newSupervisor(t)
	if err := s.Start(t.Context(), shell("mortal", "echo last words; exec sleep 100")); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, filepath.Join(logs, "mortal.log"), "last words\n")
	if err := syscall.Kill(s.Parts()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.Died():
		if !strings.Contains(err.Error(), "mortal died (signal: killed)") || !strings.Contains(err.Error(), "last words") {
			t.Errorf("error %v, want name, reason and last words", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the death was not reported")
	}
	if pid := s.Parts()[0].PID; pid != 0 {
		t.Errorf("PID %d of a dead part, want 0", pid)
	}
}

// awaitLog waits until a log says what it should.
func awaitLog(t *testing.T, path, want string) {
	t.Helper()
	var log []byte
	for range 3000 {
		var err error
		if log, err = os.ReadFile(path); err == nil && string(log) == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("log %q, want %q", log, want)
}

func TestKillAndRestart_AreNotReportedAsDeaths(t *testing.T) {
	s, logs := newSupervisor(t)
	if err := s.Start(t.Context(), shell("phoenix", "echo run; exec sleep 100")); err != nil {
		t.Fatal(err)
	}
	first := s.Parts()[0].PID
	log := filepath.Join(logs, "phoenix.log")
	awaitLog(t, log, "run\n")
	if err := s.Kill("phoenix"); err != nil {
		t.Fatal(err)
	}
	if alive(first) || s.Parts()[0].PID != 0 {
		t.Error("the part still runs after Kill")
	}
	for _, want := range []string{"run\nrun\n", "run\nrun\nrun\n"} {
		if err := s.Restart(t.Context(), "phoenix"); err != nil {
			t.Fatal(err)
		}
		awaitLog(t, log, want)
	}
	if pid := s.Parts()[0].PID; pid == 0 || pid == first {
		t.Errorf("PID %d after Restart, want a new process", pid)
	}
	select {
	case err := <-s.Died():
		t.Errorf("reported: %v", err)
	default:
	}
}

func TestStop_EndsPartsInReverseOrderAndKillsTheStubborn(t *testing.T) {
	s, _ := newSupervisor(t)
	order := filepath.Join(t.TempDir(), "order")
	ready := func(name string) string { return order + "-" + name }
	polite := `trap 'echo %[1]s >> ` + order + `; exit 0' TERM; touch ` + order + `-%[1]s; while :; do sleep 0.01; done`
	for _, name := range []string{"first", "second"} {
		part := shell(name, fmt.Sprintf(polite, name))
		part.Ready = fileIn(ready(name))
		if err := s.Start(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	stubborn := shell("stubborn", "trap '' TERM; touch "+ready("stubborn")+"; sleep 100 & while :; do sleep 0.01; done")
	stubborn.Ready = fileIn(ready("stubborn"))
	if err := s.Start(t.Context(), stubborn); err != nil {
		t.Fatal(err)
	}
	parts := s.Parts()
	s.Stop()
	for _, p := range parts {
		if alive(p.PID) {
			t.Errorf("%s still runs", p.Name)
		}
	}
	got, err := os.ReadFile(order)
	if err != nil || string(got) != "second\nfirst\n" {
		t.Errorf("stopped in order %q, %v; want second, first", got, err)
	}
	select {
	case err := <-s.Died():
		t.Errorf("reported: %v", err)
	default:
	}
}
