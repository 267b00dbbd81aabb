// Package prometheustest starts real Prometheus servers for tests.
package prometheustest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var listening = regexp.MustCompile(`msg="Listening on" .*address=(\S+)`)

// Start runs a server with a configuration, such as "global: {}", until the test ends. It returns its address, at which it answers queries.
func Start(tb testing.TB, config string, flags ...string) string {
	tb.Helper()
	folder := tb.TempDir()
	file := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	command := exec.CommandContext(ctx, program(tb), append(flags, "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address=127.0.0.1:0")...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	output, err := command.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	addresses, ready, ended := make(chan string, 1), make(chan struct{}), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if found := listening.FindStringSubmatch(lines.Text()); found != nil {
				addresses <- "http://" + found[1]
			}
			if strings.Contains(lines.Text(), "Server is ready to receive web requests") {
				close(ready)
			}
		}
	}()
	tb.Cleanup(func() {
		cancel()
		<-ended
		if err := command.Wait(); err != nil && ctx.Err() == nil {
			tb.Log(err)
		}
		if tb.Failed() {
			tb.Log(log.String())
		}
	})
	select {
	case <-ready:
	case <-ended:
		tb.Fatalf("Prometheus ended:\n%s", log.String())
	case <-time.After(30 * time.Second):
		tb.Fatal("Prometheus is not ready")
	}
	return <-addresses
}

// program is the Prometheus that runs.
func program(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("WEIGHLOCK_PROMETHEUS"); path != "" {
		return path
	}
	path, err := exec.LookPath("prometheus")
	if err != nil {
		tb.Fatal("no prometheus in WEIGHLOCK_PROMETHEUS or PATH: make test provides it")
	}
	return path
}
