// Package state is the folder that a running stack keeps its data, logs and
// kubeconfigs in. It belongs to the process outside the sandbox, so that it
// can be removed when everything inside has gone.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// prefix begins the name of every temporary folder.
	prefix = "weighlock-local-"
	// marker is the file that is locked as long as the stack runs, and by
	// which a folder is known to be a stack's.
	marker = ".weighlock-local"
)

// Folder is a stack's folder.
type Folder struct {
	// Path is absolute.
	Path string

	lock      *os.File
	temporary bool
}

// Open takes a folder for a stack: the named one, which is emptied if an
// earlier stack left it and must be empty otherwise, or a temporary one, which
// Close removes. Temporary folders that a killed stack left are removed too.
func Open(path string) (*Folder, error) {
	if path == "" {
		removeStale(os.TempDir())
		temporary, err := os.MkdirTemp("", prefix)
		if err != nil {
			return nil, fmt.Errorf("make a folder for the stack: %w", err)
		}
		lock, err := take(temporary)
		if err != nil {
			return nil, err
		}
		return &Folder{Path: temporary, lock: lock, temporary: true}, nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the folder for the stack: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the stack: %w", err)
	}
	if err := claim(path); err != nil {
		return nil, err
	}
	lock, err := take(path)
	if err != nil {
		return nil, err
	}
	if err := empty(path); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &Folder{Path: path, lock: lock}, nil
}

// Close lets go of the folder, and removes it if it is temporary.
func (f *Folder) Close() error {
	defer func() { _ = f.lock.Close() }()
	if !f.temporary {
		return nil
	}
	if err := os.RemoveAll(f.Path); err != nil {
		return fmt.Errorf("remove the stack's folder: %w", err)
	}
	return nil
}

// claim refuses a folder that holds anything but what a stack left.
func claim(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("read the folder for the stack: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, marker)); err != nil {
		return fmt.Errorf("%s holds something else than a stack: name an empty folder", path)
	}
	return nil
}

// take locks a folder; the kernel lets go of it when this process ends.
func take(path string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(path, marker), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the stack's folder: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another stack runs in %s: name another folder", path)
		}
		return nil, fmt.Errorf("lock the stack's folder: %w", err)
	}
	return file, nil
}

// empty removes what an earlier stack left.
func empty(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("read the stack's folder: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == marker {
			continue
		}
		if err := os.RemoveAll(filepath.Join(path, entry.Name())); err != nil {
			return fmt.Errorf("empty the stack's folder: %w", err)
		}
	}
	return nil
}

// removeStale removes temporary folders whose stack has gone. It does not
// matter if it can't: they may be another user's.
func removeStale(parent string) {
	found, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return
	}
	for _, path := range found {
		// Without a marker it may be a folder that is just being made.
		if _, err := os.Stat(filepath.Join(path, marker)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		lock, err := take(path)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(path)
		_ = lock.Close()
	}
}
