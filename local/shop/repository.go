package shop

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/weighlock/weighlock/local/git"
	"github.com/weighlock/weighlock/local/stack"
)

// Repository is a working copy of the shop's repository.
type Repository struct {
	root     string
	checkout *git.Checkout
}

// Open clones a stack's repository, such as shop.git, in the cluster's
// network.
func Open(ctx context.Context, s *stack.Stack, repository string) (*Repository, error) {
	folder, err := s.TempDir("checkouts")
	if err != nil {
		return nil, err
	}
	checkout, err := git.Clone(ctx, s.GitURL(repository), filepath.Join(folder, repository))
	if err != nil {
		return nil, err
	}
	return &Repository{root: s.Root, checkout: checkout}, nil
}

// Commit commits and pushes a version with the canary's Rollout, and returns
// the commit's hash.
func (r *Repository) Commit(ctx context.Context, version Version, message string) (string, error) {
	return r.CommitExample(ctx, Canary, version, message)
}

// CommitExample commits and pushes a version with an example's Rollout, and
// returns the commit's hash.
func (r *Repository) CommitExample(ctx context.Context, example string, version Version, message string) (string, error) {
	files, err := Files(r.root, example, version)
	if err != nil {
		return "", err
	}
	return r.CommitFiles(ctx, files, message)
}

// CommitFiles commits and pushes files by path, and returns the commit's hash.
func (r *Repository) CommitFiles(ctx context.Context, files map[string]string, message string) (string, error) {
	return r.checkout.Commit(ctx, git.Commit{Files: files, Message: message})
}

// Remove removes a file, commits and pushes that, and returns the commit's hash.
func (r *Repository) Remove(ctx context.Context, path, message string) (string, error) {
	return r.checkout.Commit(ctx, git.Commit{Remove: []string{path}, Message: message})
}

// Follow makes a namespace of the stack's cluster follow the repository: what
// an administrator does once.
func Follow(ctx context.Context, s *stack.Stack, namespace, repository string) error {
	manifest, err := source(s.Root, namespace, s.GitURL(repository))
	if err != nil {
		return err
	}
	if err := s.Apply(ctx, manifest); err != nil {
		return fmt.Errorf("have namespace %s follow %s: %w", namespace, repository, err)
	}
	return nil
}
