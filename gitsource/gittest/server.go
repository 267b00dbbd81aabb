// Package gittest serves real git repositories to tests: with git's own http-backend, and a
// working copy to commit from.
package gittest

import (
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Branch is the branch that commits go to.
const Branch = "main"

// Repository is a repository that is served over http until its test ends.
type Repository struct {
	// URL to clone from.
	URL string
	// Path of the bare repository on the disk.
	Path string
	// Guard, if set, sees every request first, and answers those for which it returns false.
	Guard atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	// Requests counts what clients asked for.
	Requests atomic.Int64

	t    testing.TB
	work string
}

// New serves an empty repository. The test is skipped where there is no git.
func New(tb testing.TB) *Repository {
	tb.Helper()
	program, err := exec.LookPath("git")
	if err != nil {
		tb.Skip("needs git to serve a repository")
	}
	root := tb.TempDir()
	r := &Repository{t: tb, Path: filepath.Join(root, "shop.git"), work: filepath.Join(root, "work")}
	r.git(root, "init", "-q", "--bare", "-b", Branch, r.Path)
	r.git(root, "init", "-q", "-b", Branch, r.work)
	r.git(r.work, "remote", "add", "origin", r.Path)
	backend := &cgi.Handler{
		Path: program,
		Args: []string{"http-backend"},
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + root},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.Requests.Add(1)
		if guard := r.Guard.Load(); guard != nil && !(*guard)(w, req) {
			return
		}
		backend.ServeHTTP(w, req)
	}))
	tb.Cleanup(server.Close)
	r.URL = server.URL + "/shop.git"
	return r
}

// Demand lets in only requests that the function accepts.
func (r *Repository) Demand(accept func(*http.Request) bool) {
	guard := func(w http.ResponseWriter, req *http.Request) bool {
		if accept(req) {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return false
	}
	r.Guard.Store(&guard)
}

// Break has the server answer nothing but errors, until Mend.
func (r *Repository) Break() {
	guard := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "broken", http.StatusServiceUnavailable)
		return false
	}
	r.Guard.Store(&guard)
}

// Mend undoes Break and Demand.
func (r *Repository) Mend() { r.Guard.Store(nil) }

// Commit makes files the whole content of the branch, and returns the commit's SHA. A value of the form
// "-> target" makes a link.
func (r *Repository) Commit(message string, files map[string]string) string {
	r.t.Helper()
	r.write(files)
	r.git(r.work, "commit", "-q", "--allow-empty", "-m", message)
	r.git(r.work, "push", "-q", "origin", "HEAD:"+Branch)
	return r.git(r.work, "rev-parse", "HEAD")
}

// Rewrite replaces the whole history of the branch by one commit.
func (r *Repository) Rewrite(message string, files map[string]string) string {
	r.t.Helper()
	r.git(r.work, "checkout", "-q", "--orphan", "rewritten")
	r.write(files)
	r.git(r.work, "commit", "-q", "--allow-empty", "-m", message)
	r.git(r.work, "branch", "-q", "-M", Branch)
	r.git(r.work, "push", "-q", "--force", "origin", "HEAD:"+Branch)
	return r.git(r.work, "rev-parse", "HEAD")
}

func (r *Repository) write(files map[string]string) {
	r.t.Helper()
	r.git(r.work, "rm", "-rfq", "--ignore-unmatch", ".")
	for name, content := range files {
		path := filepath.Join(r.work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			r.t.Fatalf("make a folder: %v", err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			r.t.Fatalf("write %s: %v", name, err)
		}
	}
	r.git(r.work, "add", "-A")
}

func (r *Repository) git(dir string, args ...string) string {
	r.t.Helper()
	command := exec.CommandContext(r.t.Context(), "git", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	output, err := command.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}
