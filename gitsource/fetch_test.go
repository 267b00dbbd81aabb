package gitsource_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/gitsource"
	"github.com/weighlock/weighlock/gitsource/gittest"
)

func repositoryOf(served *gittest.Repository) gitsource.Repository {
	return gitsource.Repository{URL: served.URL, Branch: gittest.Branch}
}

// fetched returns the content of a file as the branch has it, and the commit.
func fetched(t *testing.T, repository gitsource.Repository, name string) (string, gitsource.Commit) {
	t.Helper()
	fetcher := gitsource.Fetcher{Dir: t.TempDir()}
	checkout, err := fetcher.Fetch(t.Context(), repository)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	content, err := os.ReadFile(filepath.Join(checkout.Dir, name))
	if err != nil {
		t.Fatalf("read what was fetched: %v", err)
	}
	if err := checkout.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if left, _ := os.ReadDir(fetcher.Dir); len(left) > 0 {
		t.Errorf("a closed checkout leaves %v behind", left)
	}
	return string(content), checkout.Commit
}

func TestFetch_FollowsTheBranchWhereverItGoes(t *testing.T) {
	t.Parallel()
	served := gittest.New(t)
	repository := repositoryOf(served)
	fetcher := gitsource.Fetcher{}
	for i, move := range []func(string, map[string]string) string{served.Commit, served.Commit, served.Rewrite} {
		want := strings.Repeat("x", i+1)
		sha := move("Say "+want+"\n\nbecause", map[string]string{"a/b.txt": want})
		head, err := fetcher.Head(t.Context(), repository)
		if err != nil || head != sha {
			t.Fatalf("move %d: Head = %q, %v; want %q", i, head, err, sha)
		}
		content, commit := fetched(t, repository, "a/b.txt")
		if content != want {
			t.Errorf("move %d: content %q, want %q", i, content, want)
		}
		if commit.SHA != sha || commit.Subject != "Say "+want || commit.Author != "Ada <ada@example.com>" || commit.CommittedAt.IsZero() {
			t.Errorf("move %d: the commit is told as %+v", i, commit)
		}
	}
}

func TestHead_CostsOneRequest(t *testing.T) {
	t.Parallel()
	served := gittest.New(t)
	served.Commit("first", map[string]string{"a": "a"})
	fetcher := gitsource.Fetcher{}
	if _, err := fetcher.Head(t.Context(), repositoryOf(served)); err != nil {
		t.Fatal(err)
	}
	if got := served.Requests.Load(); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
}

func TestFetch_NamesAMissingBranch(t *testing.T) {
	t.Parallel()
	served := gittest.New(t)
	fetcher := gitsource.Fetcher{Dir: t.TempDir()}
	if _, err := fetcher.Head(t.Context(), repositoryOf(served)); !errors.Is(err, gitsource.ErrBranch) {
		t.Errorf("an empty repository gives %v", err)
	}
	served.Commit("first", map[string]string{"a": "a"})
	repository := repositoryOf(served)
	repository.Branch = "prod"
	if _, err := fetcher.Head(t.Context(), repository); !errors.Is(err, gitsource.ErrBranch) || !strings.Contains(err.Error(), "prod") {
		t.Errorf("Head of a missing branch gives %v", err)
	}
	if _, err := fetcher.Fetch(t.Context(), repository); !errors.Is(err, gitsource.ErrBranch) {
		t.Errorf("Fetch of a missing branch gives %v", err)
	}
}

func TestFetch_ShowsCredentialsAndNeverTellsThem(t *testing.T) {
	t.Parallel()
	served := gittest.New(t)
	served.Commit("first", map[string]string{"a": "a"})
	for name, tc := range map[string]struct {
		accept func(*http.Request) bool
		good   map[string][]byte
		bad    map[string][]byte
	}{
		"password": {
			accept: func(r *http.Request) bool {
				user, password, _ := r.BasicAuth()
				return user == "ada" && password == "s3cret"
			},
			good: map[string][]byte{"username": []byte("ada"), "password": []byte("s3cret")},
			bad:  map[string][]byte{"username": []byte("ada"), "password": []byte("wr0ng")},
		},
		"token": {
			accept: func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer s3cret" },
			good:   map[string][]byte{"bearerToken": []byte("s3cret\n")},
			bad:    map[string][]byte{"bearerToken": []byte("wr0ng")},
		},
	} {
		served.Demand(tc.accept)
		fetcher := gitsource.Fetcher{}
		repository := repositoryOf(served)
		repository.Credentials = gitsource.NewCredentials(tc.good)
		if _, err := fetcher.Head(t.Context(), repository); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if content, _ := fetched(t, repository, "a"); content != "a" {
			t.Errorf("%s: fetched %q", name, content)
		}
		repository.Credentials = gitsource.NewCredentials(tc.bad)
		_, err := fetcher.Head(t.Context(), repository)
		if !errors.Is(err, gitsource.ErrCredentials) || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("%s: wrong credentials give %v", name, err)
		}
		repository.Credentials = nil
		if _, err := fetcher.Fetch(t.Context(), repository); !errors.Is(err, gitsource.ErrCredentials) {
			t.Errorf("%s: no credentials give %v", name, err)
		}
	}
}

func TestFetch_RefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	served := gittest.New(t)
	// Zeros are small on the wire: the limit is on what they become.
	served.Commit("first", map[string]string{"zeros": strings.Repeat("\x00", 3<<20), "b": "b", "c": "c"})
	for name, limits := range map[string]gitsource.Limits{
		"in all":   {TotalBytes: 2 << 20},
		"one file": {FileBytes: 2 << 20},
		"files":    {Files: 2},
	} {
		fetcher := gitsource.Fetcher{Limits: limits, Dir: t.TempDir()}
		_, err := fetcher.Fetch(t.Context(), repositoryOf(served))
		if !errors.Is(err, gitsource.ErrLimit) {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
		if left, _ := os.ReadDir(fetcher.Dir); len(left) > 0 {
			t.Errorf("%s: a refused clone leaves %v behind", name, left)
		}
	}
	// The fourth file is the one by which git finds its storage.
	fetcher := gitsource.Fetcher{Limits: gitsource.Limits{TotalBytes: 8 << 20, FileBytes: 4 << 20, Files: 4}, Dir: t.TempDir()}
	checkout, err := fetcher.Fetch(t.Context(), repositoryOf(served))
	if err != nil {
		t.Fatalf("within the limits: %v", err)
	}
	_ = checkout.Close()
}

func TestFetch_RefusesLinksOutOfTheRepository(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/etc/passwd", "../../outside", "a/../../../outside"} {
		served := gittest.New(t)
		served.Commit("first", map[string]string{"deploy/link.yaml": "-> " + target})
		fetcher := gitsource.Fetcher{Dir: t.TempDir()}
		if _, err := fetcher.Fetch(t.Context(), repositoryOf(served)); !errors.Is(err, gitsource.ErrLimit) || !strings.Contains(err.Error(), "deploy/link.yaml") {
			t.Errorf("a link to %s: got %v", target, err)
		}
	}
}

func TestHead_TellsOfABrokenServer(t *testing.T) {
	t.Parallel()
	served := gittest.New(t)
	served.Break()
	fetcher := gitsource.Fetcher{}
	_, err := fetcher.Head(t.Context(), repositoryOf(served))
	if err == nil || errors.Is(err, gitsource.ErrCredentials) || errors.Is(err, gitsource.ErrBranch) {
		t.Errorf("got %v", err)
	}
}
