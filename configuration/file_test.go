package configuration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/weighlock/weighlock/configuration"
)

// mount is a folder as the kubelet mounts a ConfigMap: a new version comes by a link that is changed.
type mount struct {
	t       *testing.T
	folder  string
	version int
}

func (m *mount) path() string { return filepath.Join(m.folder, "config.yaml") }

func (m *mount) write(content string) {
	m.t.Helper()
	m.version++
	version := fmt.Sprint("..", m.version)
	if err := os.Mkdir(filepath.Join(m.folder, version), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.folder, version, "config.yaml"), []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink(version, filepath.Join(m.folder, "..new")); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(m.folder, "..new"), filepath.Join(m.folder, "..data")); err != nil {
		m.t.Fatal(err)
	}
	if m.version == 1 {
		if err := os.Symlink("..data/config.yaml", m.path()); err != nil {
			m.t.Fatal(err)
		}
	}
}

// watched is a file that is watched on a clock of the test's.
type watched struct {
	*configuration.File
	mount
	clock    *clocktesting.FakeClock
	registry *prometheus.Registry
	changed  chan *configuration.Configuration
	invalid  chan error
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{
		mount: mount{t: t, folder: t.TempDir()}, clock: clocktesting.NewFakeClock(time.Unix(1_764_000_000, 0)), registry: prometheus.NewRegistry(),
		changed: make(chan *configuration.Configuration, 10), invalid: make(chan error, 10),
	}
	w.write(whole)
	file, err := configuration.Open(w.path(), configuration.FileOptions{
		Clock: w.clock, Log: logr.Discard(), Registerer: w.registry,
		Amend: func(c *configuration.Configuration) {
			c.Sinks = append(c.Sinks, configuration.Sink{Name: "amended"})
		},
		OnChange:  func(c *configuration.Configuration) { w.changed <- c },
		OnInvalid: func(err error) { w.invalid <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.File = file
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- file.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// look lets it look at the file once.
func (w *watched) look() {
	w.t.Helper()
	for range 2000 {
		if w.clock.HasWaiters() {
			w.clock.Step(5 * time.Second)
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	// It waits anew once it has looked.
	for range 2000 {
		if w.clock.HasWaiters() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatal("it doesn't look any more")
}

func TestFile_TakesANewVersion(t *testing.T) {
	w := watch(t)
	w.look()
	if len(w.changed) > 0 {
		t.Error("it changed without a change")
	}
	w.write(with(t, "C012AB3CD", "C999"))
	w.look()
	select {
	case got := <-w.changed:
		if got != w.Current() || got.Sinks[0].Slack.Channel != "C999" || got.Sinks[len(got.Sinks)-1].Name != "amended" {
			t.Errorf("got %+v", got)
		}
	default:
		t.Fatal("the change isn't seen")
	}
	w.look()
	if len(w.changed)+len(w.invalid) > 0 {
		t.Error("the change is told twice")
	}
}

func TestFile_KeepsTheVersionBeforeAnInvalidOne(t *testing.T) {
	w := watch(t)
	// A counter that came into being with the first refusal would show no increase.
	if n, err := testutil.GatherAndCount(w.registry, "weighlock_configuration_loads_total"); err != nil || n != 2 {
		t.Errorf("%d results of loads are counted before a refusal, and %v: want 2", n, err)
	}
	before := w.Current()
	w.write(with(t, "mode: http", "mode: rtm"))
	w.look()
	w.look()
	if len(w.invalid) != 1 || w.Current() != before {
		t.Fatalf("told %d times, want once, and nothing changed", len(w.invalid))
	}
	if err := <-w.invalid; !strings.Contains(err.Error(), w.path()+": line 4: slack.mode") {
		t.Errorf("got %v", err)
	}
	valid := func(want string) {
		t.Helper()
		text := "# HELP weighlock_configuration_valid Whether the configuration file is valid as it stands: 1, or 0 where an older version of it is in use.\n" +
			"# TYPE weighlock_configuration_valid gauge\nweighlock_configuration_valid " + want + "\n"
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(text), "weighlock_configuration_valid"); err != nil {
			t.Error(err)
		}
	}
	valid("0")
	if err := os.Remove(w.path()); err != nil {
		t.Fatal(err)
	}
	w.look()
	if err := <-w.invalid; !os.IsNotExist(unwrapped(err)) {
		t.Errorf("got %v for a file that is gone", err)
	}
	if err := os.Symlink("..data/config.yaml", w.path()); err != nil {
		t.Fatal(err)
	}
	w.write(whole)
	w.look()
	if len(w.changed) != 1 {
		t.Error("it isn't valid again")
	}
	valid("1")
}

// unwrapped is the innermost error.
func unwrapped(err error) error {
	for {
		inner, is := err.(interface{ Unwrap() error })
		if !is || os.IsNotExist(err) {
			return err
		}
		err = inner.Unwrap()
	}
}

func TestOpen_RefusesAnInvalidFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	o := configuration.FileOptions{Clock: clocktesting.NewFakeClock(time.Now()), Log: logr.Discard()}
	if _, err := configuration.Open(path, o); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("kind: X"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := configuration.Open(path, o); err == nil || !strings.Contains(err.Error(), "apiVersion") {
		t.Errorf("an invalid one: %v", err)
	}
}

func TestOpen_WithoutAFileTellsNobody(t *testing.T) {
	file, err := configuration.Open("", configuration.FileOptions{Clock: clocktesting.NewFakeClock(time.Now()), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	if sinks, _ := file.Current().For(configuration.Told{Namespace: "shop", Rollout: "checkout", Warning: true}); len(sinks) > 0 {
		t.Errorf("told %q", sinks)
	}
}
