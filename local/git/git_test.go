package git_test

import (
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/local/git"
)

// serve serves a new repository and returns its URL.
func serve(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := git.Create(t.Context(), filepath.Join(folder, "shop.git")); err != nil {
		t.Fatal(err)
	}
	handler, err := git.Handler(folder)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/shop.git"
}

func clone(t *testing.T, url string) *git.Checkout {
	t.Helper()
	checkout, err := git.Clone(t.Context(), url, filepath.Join(t.TempDir(), "copy"))
	if err != nil {
		t.Fatal(err)
	}
	return checkout
}

func TestCommit_GoesOnTopOfWhatOthersPushed(t *testing.T) {
	url := serve(t)
	ours, theirs := clone(t, url), clone(t, url)
	if _, err := ours.Commit(t.Context(), git.Commit{Files: map[string]string{"a/one.yaml": "1\n", "two.yaml": "2\n"}, Message: "First"}); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Commit(t.Context(), git.Commit{Remove: []string{"two.yaml"}, Message: "Second", Author: "Sam Smith <sam@example.com>"}); err != nil {
		t.Fatal(err)
	}
	hash, err := ours.Commit(t.Context(), git.Commit{Files: map[string]string{"a/one.yaml": "one\n"}, Message: "Third"})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "copy")
	if output, err := exec.Command("git", "clone", "--quiet", url, folder).CombinedOutput(); err != nil {
		t.Fatalf("clone: %v: %s", err, output)
	}
	log, err := exec.Command("git", "-C", folder, "log", "--format=%H %an %s").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if len(lines) != 3 || lines[0] != hash+" Dana Developer Third" || !strings.HasSuffix(lines[1], " Sam Smith Second") {
		t.Errorf("log:\n%s\nwant Third (%s), Second by Sam Smith, First", log, hash)
	}
	one, err := os.ReadFile(filepath.Join(folder, "a/one.yaml"))
	if err != nil || string(one) != "one\n" {
		t.Errorf("one.yaml %q, %v", one, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "two.yaml")); err == nil {
		t.Error("two.yaml is back")
	}
}

func TestHandler_TakesAPushTooBigForOneBuffer(t *testing.T) {
	checkout := clone(t, serve(t))
	// Beyond git's http.postBuffer of 1 MiB a push is sent in chunks.
	noise := make([]byte, 3<<20)
	source := rand.NewChaCha8([32]byte{})
	if _, err := source.Read(noise); err != nil {
		t.Fatal(err)
	}
	if _, err := checkout.Commit(t.Context(), git.Commit{Files: map[string]string{"noise": string(noise)}, Message: "Big"}); err != nil {
		t.Error(err)
	}
}
