package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// commandTimeout bounds a run of the git program.
const commandTimeout = 30 * time.Second

// isolated keeps the user's own settings and keyboard out of what git does
// here.
var isolated = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0"}

// Checkout is a working copy that commits are made in and pushed from.
type Checkout struct {
	folder string
}

// Commit is what a commit changes, and what it says.
type Commit struct {
	// Files are the contents by path; those not named stay as they are.
	Files map[string]string
	// Remove are the paths to delete.
	Remove  []string
	Message string
	// Author is "Name <address>"; the default is a developer's.
	Author string
}

// Clone makes a working copy of the repository at a URL in a new folder.
func Clone(ctx context.Context, url, folder string) (*Checkout, error) {
	if _, err := run(ctx, "", nil, "clone", "--quiet", url, folder); err != nil {
		return nil, fmt.Errorf("clone %s: %w", url, err)
	}
	// A clone of an empty repository has the branch of the machine's default.
	if _, err := run(ctx, folder, nil, "symbolic-ref", "HEAD", "refs/heads/"+Branch); err != nil {
		return nil, fmt.Errorf("clone %s: %w", url, err)
	}
	return &Checkout{folder: folder}, nil
}

// Commit makes a commit on top of what others have pushed, pushes it and
// returns its hash.
func (c *Checkout) Commit(ctx context.Context, commit Commit) (string, error) {
	hash, err := c.commit(ctx, commit)
	if err != nil {
		return "", fmt.Errorf("commit %q: %w", commit.Message, err)
	}
	return hash, nil
}

func (c *Checkout) commit(ctx context.Context, commit Commit) (string, error) {
	if err := c.update(ctx); err != nil {
		return "", err
	}
	if err := c.write(commit); err != nil {
		return "", err
	}
	author := commit.Author
	if author == "" {
		author = "Dana Developer <dana@example.com>"
	}
	name, address, ok := strings.Cut(strings.TrimSuffix(author, ">"), " <")
	if !ok {
		return "", fmt.Errorf("the author %q is not of the form 'Name <address>'", author)
	}
	identity := []string{"GIT_AUTHOR_NAME=" + name, "GIT_AUTHOR_EMAIL=" + address, "GIT_COMMITTER_NAME=" + name, "GIT_COMMITTER_EMAIL=" + address}
	for _, arguments := range [][]string{
		{"add", "--all"},
		{"commit", "--quiet", "--allow-empty", "--message", commit.Message},
		{"push", "--quiet", "origin", "HEAD:" + Branch},
	} {
		if _, err := run(ctx, c.folder, identity, arguments...); err != nil {
			return "", err
		}
	}
	return run(ctx, c.folder, nil, "rev-parse", "HEAD")
}

// update takes over what others have pushed, and drops what isn't committed.
func (c *Checkout) update(ctx context.Context) error {
	if _, err := run(ctx, c.folder, nil, "fetch", "--quiet", "origin"); err != nil {
		return err
	}
	remote := "refs/remotes/origin/" + Branch
	if known, err := run(ctx, c.folder, nil, "for-each-ref", remote); err != nil || known == "" {
		return err
	}
	_, err := run(ctx, c.folder, nil, "reset", "--quiet", "--hard", remote)
	return err
}

func (c *Checkout) write(commit Commit) error {
	for path, content := range commit.Files {
		path = filepath.Join(c.folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a working copy
			return fmt.Errorf("make a folder: %w", err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil { //nolint:gosec // a working copy
			return fmt.Errorf("write a file: %w", err)
		}
	}
	for _, path := range commit.Remove {
		if err := os.Remove(filepath.Join(c.folder, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a file: %w", err)
		}
	}
	return nil
}

// run runs git and returns what it printed, without the end of the line.
func run(ctx context.Context, folder string, env []string, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", arguments...)
	cmd.Dir = folder
	cmd.Env = append(append(os.Environ(), isolated...), env...)
	var output, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", arguments[0], err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(output.String()), nil
}
