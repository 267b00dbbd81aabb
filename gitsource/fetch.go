package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	gitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/memory"
	"golang.org/x/crypto/ssh/knownhosts"
)

const (
	shortSHA      = 8
	maxSubject    = 200
	maxAuthor     = 200
	objectCache   = 8 * cache.MiByte
	streamedBytes = 1 << 20
	remoteName    = "origin"
)

// ErrBranch is the error of a branch that the repository does not have.
var ErrBranch = errors.New("no such branch")

// Repository names a branch of a repository, and how to get in.
type Repository struct {
	// URL is http, https or ssh.
	URL string
	// Branch is its short name.
	Branch string
	// Credentials may be nil for http and https.
	Credentials *Credentials
}

// Commit is one commit of a branch.
type Commit struct {
	// SHA is the whole name of the commit.
	SHA string
	// Subject is the first line of its message, Author the author's name and address. Both are free
	// of control characters and cut to 200 characters.
	Subject, Author string
	// CommittedAt is when it was committed.
	CommittedAt time.Time
}

// Short is the commit's name in 8 characters.
func (c Commit) Short() string { return c.SHA[:min(shortSHA, len(c.SHA))] }

// Fetcher fetches branches. Its zero value is ready for use.
type Fetcher struct {
	// Limits bound what is fetched.
	Limits Limits
	// Dir is where clones are made; the system's temporary folder if empty.
	Dir string
}

// Checkout is a clone of one commit. Close removes it.
type Checkout struct {
	// Commit is what was checked out.
	Commit Commit
	// Dir holds the tree.
	Dir string

	root string
}

// Close removes the checkout from the disk.
func (c *Checkout) Close() error { return os.RemoveAll(c.root) }

// Head asks the server which commit the branch is at. It costs one request.
func (f *Fetcher) Head(ctx context.Context, repository Repository) (string, error) {
	access, err := newAccess(repository.URL, repository.Credentials, f.Dir)
	if err != nil {
		return "", err
	}
	remote := git.NewRemote(memory.NewStorage(), &gitconfig.RemoteConfig{Name: remoteName, URLs: []string{repository.URL}})
	// Handed over by a channel: a call that outlives its context must not write here.
	found := make(chan []*plumbing.Reference, 1)
	err = access.call(ctx, func(ctx context.Context) error {
		references, err := remote.ListContext(ctx, &git.ListOptions{Auth: access.auth, CABundle: access.ca})
		found <- references
		return err
	})
	if err != nil {
		return "", fetchError("list the branches", repository, err)
	}
	name := plumbing.NewBranchReferenceName(repository.Branch)
	for _, reference := range <-found {
		if reference.Name() == name && reference.Type() == plumbing.HashReference {
			return reference.Hash().String(), nil
		}
	}
	return "", fmt.Errorf("%w: the repository has no branch %q", ErrBranch, repository.Branch)
}

// Fetch clones the tip of the branch afresh: a fetch into a shallow clone fails when
// a branch was rewritten. The caller closes the checkout.
func (f *Fetcher) Fetch(ctx context.Context, repository Repository) (*Checkout, error) {
	access, err := newAccess(repository.URL, repository.Credentials, f.Dir)
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp(f.Dir, "weighlock-git-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the clone: %w", err)
	}
	checkout := &Checkout{Dir: filepath.Join(root, "tree"), root: root}
	err = access.call(ctx, func(ctx context.Context) error {
		commit, err := f.clone(ctx, repository, access, checkout)
		if err != nil {
			// Here and not after the call: a clone that outlives its context cleans up when it ends.
			return errors.Join(err, checkout.Close())
		}
		checkout.Commit = *commit
		if ctx.Err() != nil {
			// Nobody waits for it any more.
			return errors.Join(ctx.Err(), checkout.Close())
		}
		return nil
	})
	if err != nil {
		// The context can end after the clone looked at it, and before it was handed over.
		_ = checkout.Close()
		return nil, fetchError("clone the branch", repository, err)
	}
	return checkout, nil
}

func (f *Fetcher) clone(ctx context.Context, repository Repository, access *access, checkout *Checkout) (*Commit, error) {
	budget := &budget{limits: f.Limits.withDefaults()}
	store := filepath.Join(checkout.root, "git")
	if err := errors.Join(os.Mkdir(checkout.Dir, 0o700), os.Mkdir(store, 0o700)); err != nil {
		return nil, fmt.Errorf("make a folder for the clone: %w", err)
	}
	storage := filesystem.NewStorageWithOptions(
		&boundedFS{Filesystem: osfs.New(store, osfs.WithBoundOS()), budget: budget},
		cache.NewObjectLRU(objectCache),
		filesystem.Options{LargeObjectThreshold: streamedBytes},
	)
	tree := &boundedFS{Filesystem: osfs.New(checkout.Dir, osfs.WithBoundOS()), budget: budget, tree: true}
	clone, err := git.CloneContext(ctx, storage, tree, &git.CloneOptions{
		URL:           repository.URL,
		Auth:          access.auth,
		CABundle:      access.ca,
		RemoteName:    remoteName,
		ReferenceName: plumbing.NewBranchReferenceName(repository.Branch),
		SingleBranch:  true,
		Depth:         1,
		Tags:          git.NoTags,
	})
	if refusal := budget.err(); refusal != nil {
		return nil, refusal
	}
	if err != nil {
		return nil, err
	}
	head, err := clone.Head()
	if err != nil {
		return nil, fmt.Errorf("read the commit: %w", err)
	}
	commit, err := clone.CommitObject(head.Hash())
	if err != nil {
		return nil, fmt.Errorf("read the commit: %w", err)
	}
	return newCommit(commit), nil
}

func newCommit(commit *object.Commit) *Commit {
	subject, _, _ := strings.Cut(strings.TrimSpace(commit.Message), "\n")
	return &Commit{
		SHA:         commit.Hash.String(),
		Subject:     clean(subject, maxSubject),
		Author:      clean(fmt.Sprintf("%s <%s>", commit.Author.Name, commit.Author.Email), maxAuthor),
		CommittedAt: commit.Committer.When.UTC(),
	}
}

// clean makes a text from git fit for terminals and annotations.
func clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// call runs one exchange with the server.
func (a *access) call(ctx context.Context, run func(context.Context) error) error {
	if a.ssh {
		return within(ctx, run)
	}
	return run(ctx)
}

// fetchError says what failed in words that help, and tells refused credentials from
// all else.
func fetchError(attempt string, repository Repository, err error) error {
	var unknownHost *knownhosts.KeyError
	switch {
	case errors.Is(err, ErrLimit), errors.Is(err, ErrCredentials):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s of %s: the time was up: %w", attempt, repository.URL, context.DeadlineExceeded)
	case errors.As(err, &unknownHost):
		return fmt.Errorf("%w: the server's host key is not the one in %s", ErrCredentials, keyKnownHosts)
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed),
		strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("%w: %s of %s: the server refuses the credentials, or wants some", ErrCredentials, attempt, repository.URL)
	case errors.Is(err, transport.ErrEmptyRemoteRepository), errors.Is(err, plumbing.ErrReferenceNotFound):
		return fmt.Errorf("%w: the repository has no branch %q", ErrBranch, repository.Branch)
	default:
		if _, ok := errors.AsType[git.NoMatchingRefSpecError](err); ok {
			return fmt.Errorf("%w: the repository has no branch %q", ErrBranch, repository.Branch)
		}
		return fmt.Errorf("%s of %s: %w", attempt, repository.URL, err)
	}
}
