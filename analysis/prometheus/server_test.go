package prometheus_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program returns the Prometheus to test against.
func program(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("WEIGHLOCK_PROMETHEUS"); path != "" {
		return path
	}
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		path := filepath.Join(assets, "prometheus")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("no prometheus in WEIGHLOCK_PROMETHEUS, KUBEBUILDER_ASSETS or PATH: `make test` provides it")
	}
	return path
}

// target is what Prometheus scrapes: counters that a test sets.
type target struct {
	*httptest.Server
	mutex   sync.Mutex
	series  map[string]float64
	scrapes int
}

func newTarget(t *testing.T) *target {
	t.Helper()
	made := &target{series: map[string]float64{}}
	made.Server = httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		made.mutex.Lock()
		defer made.mutex.Unlock()
		made.scrapes++
		writer.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for name, value := range made.series {
			if _, err := fmt.Fprintf(writer, "%s %g\n", name, value); err != nil {
				t.Log(err)
			}
		}
	}))
	t.Cleanup(made.Close)
	return made
}

// show sets counters, removes those that are negative, and waits until they must have been scraped.
func (s *target) show(t *testing.T, series map[string]float64) {
	t.Helper()
	s.mutex.Lock()
	for name, value := range series {
		if value < 0 {
			delete(s.series, name)
		} else {
			s.series[name] = value
		}
	}
	seen := s.scrapes
	s.mutex.Unlock()
	// The second scrape from now on began after the first, which holds the change, was stored.
	for deadline := time.After(20 * time.Second); ; {
		s.mutex.Lock()
		enough := s.scrapes >= seen+2
		s.mutex.Unlock()
		if enough {
			return
		}
		select {
		case <-deadline:
			t.Fatal("Prometheus does not scrape")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var listening = regexp.MustCompile(`msg="Listening on" .*address=(\S+)`)

// startPrometheus runs a real server that scrapes the targets, and returns its address.
func startPrometheus(t *testing.T, targets ...*target) string {
	t.Helper()
	var addresses []string
	for _, target := range targets {
		addresses = append(addresses, target.URL)
	}
	return startConfigured(t, "", addresses...)
}

// startConfigured runs one with more in its configuration, such as "  honor_timestamps: false" with a line's end.
func startConfigured(t *testing.T, more string, targets ...string) string {
	t.Helper()
	folder := t.TempDir()
	config := "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n- job_name: test\n" + more + "  static_configs:\n  - targets: ["
	for _, target := range targets {
		config += strings.TrimPrefix(target, "http://") + ", "
	}
	if err := os.WriteFile(filepath.Join(folder, "prometheus.yml"), []byte(config+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, program(t), "--config.file="+filepath.Join(folder, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address=127.0.0.1:0",
		"--scrape.discovery-reload-interval=100ms") // new targets wait 5s otherwise
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	output, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	addresses, ended := make(chan string, 1), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if found := listening.FindStringSubmatch(lines.Text()); found != nil {
				addresses <- "http://" + found[1]
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if err := command.Wait(); err != nil && ctx.Err() == nil {
			t.Log(err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	select {
	case address := <-addresses:
		return address
	case <-ended:
		t.Fatalf("Prometheus ended:\n%s", log.String())
	case <-time.After(30 * time.Second):
		t.Fatal("Prometheus does not listen")
	}
	return ""
}
