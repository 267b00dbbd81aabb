// Package git is the local stack's git server: bare repositories served over
// http by git's own http-backend, which anybody in the sandbox may push to.
package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi" //nolint:gosec // what it warns of was mended in Go 1.6.3
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const (
	// Branch is the branch of every repository.
	Branch = "main"
	// maxPush bounds what one request may send.
	maxPush = 256 << 20
	// stopTimeout is how long running requests may take when it stops.
	stopTimeout = 2 * time.Second
)

// Create makes a bare repository in a folder, unless it is there.
func Create(ctx context.Context, folder string) error {
	if _, err := os.Stat(filepath.Join(folder, "HEAD")); err == nil {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // it holds what is served to all
		return fmt.Errorf("make the folder of a repository: %w", err)
	}
	for _, arguments := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=" + Branch},
		{"config", "http.receivepack", "true"},
		{"config", "receive.denyDeleteCurrent", "ignore"},
		// Nothing may start a process that goes on in the background.
		{"config", "gc.auto", "0"},
		{"config", "receive.autogc", "false"},
	} {
		if _, err := run(ctx, folder, nil, arguments...); err != nil {
			return fmt.Errorf("make the repository %s: %w", filepath.Base(folder), err)
		}
	}
	return nil
}

// Handler serves the repositories in a folder.
func Handler(folder string) (http.Handler, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return nil, errors.New("there is no git program on PATH: install git")
	}
	backend := &cgi.Handler{
		Path: program,
		Args: []string{"http-backend"},
		Dir:  folder,
		Env: append(isolated,
			"GIT_PROJECT_ROOT="+folder,
			"GIT_HTTP_EXPORT_ALL=1",
			"HOME="+folder,
		),
		InheritEnv: []string{"PATH"},
		Stderr:     os.Stderr,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxPush)
		if !slices.Contains(r.TransferEncoding, "chunked") {
			backend.ServeHTTP(w, r)
			return
		}
		// CGI wants to know the length, which git does not send with a big
		// push.
		if err := buffered(r, func() { backend.ServeHTTP(w, r) }); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}), nil
}

// buffered replaces a chunked body by one of a known length while serve runs.
func buffered(r *http.Request, serve func()) error {
	file, err := os.CreateTemp("", "git-push-")
	if err != nil {
		return fmt.Errorf("buffer a push: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }()
	length, err := io.Copy(file, r.Body)
	if err != nil {
		return fmt.Errorf("buffer a push: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("buffer a push: %w", err)
	}
	r.Body = file
	r.ContentLength = length
	r.TransferEncoding = nil
	serve()
	return nil
}

// Serve serves the repositories in a folder until the context ends.
func Serve(ctx context.Context, listen, folder string) error {
	handler, err := Handler(folder)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("serve git: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve git: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		_ = server.Close()
	}
	return nil
}
