package gitsource

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5"
)

// Limits bound what a repository may cost. A zero value means the default.
type Limits struct {
	// TotalBytes is how much may be written in all: what the server sends, and the
	// files checked out of it. The default is 256 MiB.
	TotalBytes int64
	// Files is how many files and symlinks the tree may hold. The default is 20,000.
	Files int
	// FileBytes is how large one file may be. The default is 16 MiB.
	FileBytes int64
	// ReadBytes is how much one build may read. The default is 64 MiB.
	ReadBytes int64
	// Values is how many values one YAML file may have once its aliases are expanded. The default is
	// 1,000,000.
	Values int
	// Objects is how many objects a build may have. The default is 5,000.
	Objects int
}

const (
	defaultTotalBytes = 256 << 20
	defaultFiles      = 20_000
	defaultFileBytes  = 16 << 20
	defaultReadBytes  = 64 << 20
	defaultValues     = 1_000_000
	defaultObjects    = 5_000
)

func (l Limits) withDefaults() Limits {
	if l.TotalBytes <= 0 {
		l.TotalBytes = defaultTotalBytes
	}
	if l.Files <= 0 {
		l.Files = defaultFiles
	}
	if l.FileBytes <= 0 {
		l.FileBytes = defaultFileBytes
	}
	if l.ReadBytes <= 0 {
		l.ReadBytes = defaultReadBytes
	}
	if l.Values <= 0 {
		l.Values = defaultValues
	}
	if l.Objects <= 0 {
		l.Objects = defaultObjects
	}
	return l
}

// ErrLimit is the error of a repository that is larger than the Limits, or that
// reaches out of its own folder.
var ErrLimit = errors.New("the repository is refused")

// budget is what is left of the limits during one clone. It keeps the first refusal,
// since go-git does not hand on every error that a filesystem returns.
type budget struct {
	limits Limits

	mu      sync.Mutex
	bytes   int64
	files   map[string]struct{}
	refusal error
}

func (b *budget) refuse(format string, args ...any) error {
	err := fmt.Errorf("%w: "+format, append([]any{ErrLimit}, args...)...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusal == nil {
		b.refusal = err
	}
	return b.refusal
}

func (b *budget) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusal
}

func (b *budget) addFile(name string) error {
	b.mu.Lock()
	if b.files == nil {
		b.files = map[string]struct{}{}
	}
	// A checkout may open a file more than once.
	b.files[name] = struct{}{}
	over := len(b.files) > b.limits.Files
	b.mu.Unlock()
	if over {
		return b.refuse("it holds more than %d files (at %s)", b.limits.Files, name)
	}
	return nil
}

func (b *budget) addBytes(n int) error {
	b.mu.Lock()
	b.bytes += int64(n)
	over := b.bytes > b.limits.TotalBytes
	b.mu.Unlock()
	if over {
		return b.refuse("it is larger than %d bytes", b.limits.TotalBytes)
	}
	return nil
}

// boundedFS counts what is written through it against a budget. A tree's files are
// counted one by one; those of git's own storage only by their bytes.
type boundedFS struct {
	billy.Filesystem
	budget *budget
	tree   bool
}

// Create implements billy.Filesystem.
func (f *boundedFS) Create(name string) (billy.File, error) {
	return f.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// OpenFile implements billy.Filesystem.
func (f *boundedFS) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	if f.tree && flag&os.O_CREATE != 0 {
		if err := f.budget.addFile(name); err != nil {
			return nil, err
		}
	}
	file, err := f.Filesystem.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &boundedFile{File: file, fs: f, name: name}, nil
}

// TempFile implements billy.Filesystem.
func (f *boundedFS) TempFile(dir, prefix string) (billy.File, error) {
	file, err := f.Filesystem.TempFile(dir, prefix)
	if err != nil {
		return nil, err
	}
	return &boundedFile{File: file, fs: f, name: prefix}, nil
}

// Symlink implements billy.Filesystem. A link that leaves the tree is refused, so that
// nothing that is read later can be outside of it.
func (f *boundedFS) Symlink(target, link string) error {
	if f.tree {
		if err := f.budget.addFile(link); err != nil {
			return err
		}
		if leavesTree(target, link) {
			return f.budget.refuse("%s: the symlink leaves the repository", link)
		}
	}
	return f.Filesystem.Symlink(target, link)
}

// Chroot implements billy.Filesystem.
func (f *boundedFS) Chroot(dir string) (billy.Filesystem, error) {
	inner, err := f.Filesystem.Chroot(dir)
	if err != nil {
		return nil, err
	}
	return &boundedFS{Filesystem: inner, budget: f.budget, tree: f.tree}, nil
}

// leavesTree says whether a link's target, as it is written, is outside of the tree.
// Chains of links are followed by os.Root when they are read.
func leavesTree(target, link string) bool {
	if filepath.IsAbs(target) {
		return true
	}
	resolved := path.Join(path.Dir(filepath.ToSlash(link)), filepath.ToSlash(target))
	return resolved == ".." || strings.HasPrefix(resolved, "../")
}

// boundedFile counts the bytes written to one file.
type boundedFile struct {
	billy.File
	fs      *boundedFS
	name    string
	written int64
}

// Write implements io.Writer.
func (f *boundedFile) Write(p []byte) (int, error) {
	f.written += int64(len(p))
	if f.fs.tree && f.written > f.fs.budget.limits.FileBytes {
		return 0, f.fs.budget.refuse("%s is larger than %d bytes", f.name, f.fs.budget.limits.FileBytes)
	}
	if err := f.fs.budget.addBytes(len(p)); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}
