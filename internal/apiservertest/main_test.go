package apiservertest

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ending says how the process of a suite is to end; empty for the process that runs these tests.
const ending = "WEIGHLOCK_TEST_ENDING"

func TestMain(m *testing.M) {
	if os.Getenv(ending) == "" {
		os.Exit(m.Run())
	}
	Main(m, Options{CRDs: true}, func(s *Server) error {
		return os.WriteFile(os.Getenv("WEIGHLOCK_TEST_ADDRESS"), []byte(s.Config.Host), 0o600)
	})
}

// TestEnding is a suite that leaves a file, and ends.
func TestEnding(t *testing.T) {
	if os.Getenv(ending) == "" {
		t.Skip("TestMain_LeavesNothingBehind runs it")
	}
	if err := os.WriteFile(filepath.Join(os.TempDir(), "left"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	switch os.Getenv(ending) {
	case "in a failure":
		t.Fatal("as it should")
	case "in a panic":
		panic("as it should")
	case "killed":
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		select {}
	}
}

func TestMain_LeavesNothingBehind(t *testing.T) {
	for _, how := range []string{"well", "in a failure", "in a panic", "killed"} {
		t.Run(how, func(t *testing.T) {
			temporary, file := t.TempDir(), filepath.Join(t.TempDir(), "address")
			suite := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEnding$")
			suite.Env = append(os.Environ(), ending+"="+how, "WEIGHLOCK_TEST_ADDRESS="+file, "TMPDIR="+temporary)
			output, err := suite.CombinedOutput()
			if (err == nil) != (how == "well") {
				t.Errorf("it ends with %v:\n%s", err, output)
			}
			address, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("no server was started: %v\n%s", err, output)
			}
			await(t, "the server to be gone", func() bool { return !listens(t, string(address)) })
			await(t, "no files to be left", func() bool {
				left, err := os.ReadDir(temporary)
				return err == nil && len(left) == 0
			})
		})
	}
}

// listens says whether there is a server at an address.
func listens(t *testing.T, address string) bool {
	t.Helper()
	if parsed, err := url.Parse(address); err == nil && parsed.Host != "" {
		address = parsed.Host
	}
	if !strings.Contains(address, ":") {
		t.Fatalf("%q is no address", address)
	}
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = connection.Close()
	return true
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 100 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("waited in vain for %s", what)
}
