package gitsource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// errReadOnly is for writes that a kustomization tries.
var errReadOnly = errors.New("the repository is read-only")

// confinedFS is a folder as kustomize sees the world: nothing above it exists, links that
// leave it can't be followed, nothing can be written, and what is read has a budget.
type confinedFS struct {
	dir    string
	root   *os.Root
	limits Limits
	read   int64
	// kustomizing is set while kustomize reads; bases counts the kustomizations that it read.
	kustomizing bool
	bases       int
	// refused keeps the first refusal: kustomize tries other ways after an error, and reports those.
	refused error
}

func newConfinedFS(dir string, limits Limits) (*confinedFS, error) {
	// Paths are compared after their links were followed: so must be the root.
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("open the tree: %w", err)
	}
	root, err := os.OpenRoot(resolved)
	if err != nil {
		return nil, fmt.Errorf("open the tree: %w", err)
	}
	return &confinedFS{dir: resolved, root: root, limits: limits.withDefaults()}, nil
}

func (f *confinedFS) close() error { return f.root.Close() }

// rel is path as seen from the root.
func (f *confinedFS) rel(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.dir, path)
	}
	rel, err := filepath.Rel(f.dir, filepath.Clean(path))
	if err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%w: %s leaves the repository", ErrPath, filepath.Base(path))
	}
	return rel, nil
}

// show is path as people name it, without the temporary folder.
func (f *confinedFS) show(path string) string {
	if rel, err := f.rel(path); err == nil {
		return filepath.ToSlash(rel)
	}
	return path
}

// redact removes the temporary folder from a text.
func (f *confinedFS) redact(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, f.dir+"/", ""), f.dir, ".")
}

func (f *confinedFS) stat(path string) (fs.FileInfo, error) {
	rel, err := f.rel(path)
	if err != nil {
		return nil, err
	}
	return f.root.Stat(rel)
}

// ReadFile returns the content of a file that is inside, regular, small enough, and no YAML bomb.
func (f *confinedFS) ReadFile(path string) ([]byte, error) {
	content, err := f.readFile(path)
	if err != nil {
		return nil, f.refuse(err)
	}
	if rel, err := f.rel(path); err == nil && f.kustomizing && isKustomization(filepath.Base(rel)) {
		if err := f.checkLocal(filepath.Dir(rel), filepath.ToSlash(rel), content); err != nil {
			if f.refused == nil {
				f.refused = err
			}
			return nil, err
		}
	}
	return content, nil
}

// refuse remembers an error that is a refusal.
func (f *confinedFS) refuse(err error) error {
	if f.refused == nil && (errors.Is(err, ErrLimit) || errors.Is(err, ErrPath)) {
		f.refused = err
	}
	return err
}

func (f *confinedFS) readFile(path string) ([]byte, error) {
	rel, err := f.rel(path)
	if err != nil {
		return nil, err
	}
	info, err := f.root.Stat(rel)
	if err != nil {
		return nil, f.explain(rel, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", rel)
	}
	file, err := f.root.Open(rel)
	if err != nil {
		return nil, f.explain(rel, err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, f.limits.FileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", rel, err)
	}
	if int64(len(content)) > f.limits.FileBytes {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrLimit, rel, f.limits.FileBytes)
	}
	if f.read += int64(len(content)); f.read > f.limits.ReadBytes {
		return nil, fmt.Errorf("%w: the build reads more than %d bytes", ErrLimit, f.limits.ReadBytes)
	}
	if isManifest(rel) || isKustomization(filepath.Base(rel)) {
		if err := checkExpansion(content, f.limits.Values); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.ToSlash(rel), err)
		}
	}
	return content, nil
}

// explain says of a link that it leaves the tree, where the system only says no.
func (f *confinedFS) explain(rel string, err error) error {
	if info, lstatErr := f.root.Lstat(rel); lstatErr == nil && info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("%w: %s is a link that leads out of the repository, or nowhere", ErrPath, filepath.ToSlash(rel))
	}
	return fmt.Errorf("read %s: %w", filepath.ToSlash(rel), unwrapPath(err))
}

// unwrapPath drops the absolute path that the os package puts into its errors.
func unwrapPath(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// Open opens a file for reading, from memory, so that the limits hold.
func (f *confinedFS) Open(path string) (filesys.File, error) {
	content, err := f.ReadFile(path)
	if err != nil {
		return nil, err
	}
	memory := filesys.MakeFsInMemory()
	if err := memory.WriteFile("file", content); err != nil {
		return nil, err
	}
	return memory.Open("file")
}

// IsDir tells whether path is a folder inside.
func (f *confinedFS) IsDir(path string) bool {
	info, err := f.stat(path)
	return err == nil && info.IsDir()
}

// Exists tells whether path is there and inside.
func (f *confinedFS) Exists(path string) bool {
	_, err := f.stat(path)
	return err == nil
}

// ReadDir lists the names in a folder.
func (f *confinedFS) ReadDir(path string) ([]string, error) {
	entries, err := f.entries(path)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

func (f *confinedFS) entries(path string) ([]fs.DirEntry, error) {
	rel, err := f.rel(path)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(f.root.FS(), filepath.ToSlash(rel))
	if err != nil {
		return nil, f.explain(rel, err)
	}
	return entries, nil
}

// CleanedAbs follows links and tells folder and file apart.
func (f *confinedFS) CleanedAbs(path string) (filesys.ConfirmedDir, string, error) {
	rel, err := f.rel(path)
	if err != nil {
		return "", "", f.refuse(err)
	}
	// Behind a link a kustomization would be read under another name, or for another folder.
	if link, err := f.root.Lstat(rel); err == nil && link.Mode()&fs.ModeSymlink != 0 && isKustomization(filepath.Base(rel)) && !f.IsDir(rel) {
		return "", "", f.refuse(fmt.Errorf("%w: %s is a link: a kustomization must be a file of its own", ErrPath, filepath.ToSlash(rel)))
	}
	// The root refuses what leaves it; only then are the links followed by hand.
	info, err := f.root.Stat(rel)
	if err != nil {
		return "", "", f.explain(rel, err)
	}
	resolved, err := filepath.EvalSymlinks(filepath.Join(f.dir, rel))
	if err != nil {
		return "", "", f.explain(rel, err)
	}
	if _, err := f.rel(resolved); err != nil {
		return "", "", err
	}
	if info.IsDir() {
		return filesys.ConfirmedDir(resolved), "", nil
	}
	return filesys.ConfirmedDir(filepath.Dir(resolved)), filepath.Base(resolved), nil
}

// Glob lists the paths that match, as far as they are inside.
func (f *confinedFS) Glob(pattern string) ([]string, error) {
	rel, err := f.rel(pattern)
	if err != nil {
		return nil, err
	}
	matches, err := fs.Glob(f.root.FS(), filepath.ToSlash(rel))
	if err != nil {
		return nil, fmt.Errorf("match %s: %w", rel, err)
	}
	if filepath.IsAbs(pattern) {
		for i, match := range matches {
			matches[i] = filepath.Join(f.dir, match)
		}
	}
	return matches, nil
}

// Walk visits the files below path, without following links.
func (f *confinedFS) Walk(path string, visit filepath.WalkFunc) error {
	rel, err := f.rel(path)
	if err != nil {
		return err
	}
	return filepath.Walk(filepath.Join(f.dir, rel), visit)
}

// Create is refused.
func (*confinedFS) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir is refused.
func (*confinedFS) Mkdir(string) error { return errReadOnly }

// MkdirAll is refused.
func (*confinedFS) MkdirAll(string) error { return errReadOnly }

// RemoveAll is refused.
func (*confinedFS) RemoveAll(string) error { return errReadOnly }

// WriteFile is refused.
func (*confinedFS) WriteFile(string, []byte) error { return errReadOnly }
