package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// shared are the parts of the machine's own root that a program finds in its:
// what dynamic linking, TLS and time zones need. Links are made anew, what
// does not exist is left out.
var shared = []string{
	"/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/nix/store", "/gnu/store",
	"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/share/zoneinfo",
	"/etc/ld.so.cache",
}

// devices are shown from the machine's /dev.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// links are made in every root.
var links = map[string]string{
	"/var/run":    "/run",
	"/dev/fd":     "/proc/self/fd",
	"/dev/stdin":  "/proc/self/fd/0",
	"/dev/stdout": "/proc/self/fd/1",
	"/dev/stderr": "/proc/self/fd/2",
}

// enterRoot builds the root folder and makes it the process's root.
func enterRoot(spec Spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", spec.Root, "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("mount the root folder: %w", err)
	}
	steps := []func(Spec) error{makeFolders, mountShared, mountProgram, writeFiles, mountVolumes, mountProc}
	for _, step := range steps {
		if err := step(spec); err != nil {
			return err
		}
	}
	if spec.ReadOnlyRoot {
		if err := readOnly(spec.Root, 0); err != nil {
			return fmt.Errorf("make the root folder read-only: %w", err)
		}
	}
	return pivot(spec.Root)
}

func makeFolders(spec Spec) error {
	folders := map[string]fs.FileMode{
		"/dev/shm": 0o777 | fs.ModeSticky, "/etc": 0o755, "/proc": 0o755, "/run": 0o755,
		"/tmp": 0o777 | fs.ModeSticky, "/var": 0o755,
	}
	for folder, mode := range folders {
		path := filepath.Join(spec.Root, folder)
		if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // as in any container
			return fmt.Errorf("make %s: %w", folder, err)
		}
		if err := os.Chmod(path, mode); err != nil {
			return fmt.Errorf("open %s to writers: %w", folder, err)
		}
	}
	for link, target := range links {
		if err := os.Symlink(target, filepath.Join(spec.Root, link)); err != nil {
			return fmt.Errorf("make %s: %w", link, err)
		}
	}
	return nil
}

func mountShared(spec Spec) error {
	for _, path := range slices.Concat(shared, devices) {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", path, err)
		}
		if info.Mode().Type() != fs.ModeSymlink {
			if err := bind(spec.Root, Mount{Source: path, Target: path, ReadOnly: !slices.Contains(devices, path)}); err != nil {
				return err
			}
			continue
		}
		target, err := os.Readlink(path)
		if err != nil {
			return fmt.Errorf("look at %s: %w", path, err)
		}
		link := filepath.Join(spec.Root, path)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil { //nolint:gosec // as in any container
			return fmt.Errorf("make %s: %w", filepath.Dir(path), err)
		}
		if err := os.Symlink(target, link); err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
	}
	return nil
}

func mountProgram(spec Spec) error {
	return bind(spec.Root, Mount{Source: spec.Program, Target: spec.Entry, ReadOnly: true})
}

func writeFiles(spec Spec) error {
	for path, content := range spec.Files {
		inside := filepath.Join(spec.Root, path)
		if err := os.MkdirAll(filepath.Dir(inside), 0o755); err != nil { //nolint:gosec // as in any container
			return fmt.Errorf("make a folder for %s: %w", path, err)
		}
		if err := os.WriteFile(inside, []byte(content), 0o644); err != nil { //nolint:gosec // as in any container
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

func mountVolumes(spec Spec) error {
	for _, m := range spec.Mounts {
		if err := bind(spec.Root, m); err != nil {
			return err
		}
	}
	return nil
}

func mountProc(spec Spec) error {
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("proc", filepath.Join(spec.Root, "proc"), "proc", flags, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// bind shows m.Source at m.Target under root.
func bind(root string, m Mount) error {
	source, err := filepath.EvalSymlinks(m.Source)
	if err != nil {
		return fmt.Errorf("find what to mount at %s: %w", m.Target, err)
	}
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("find what to mount at %s: %w", m.Target, err)
	}
	target, err := mountPoint(root, m.Target, info.IsDir())
	if err != nil {
		return err
	}
	// Recursively, since a mount that is locked to what is below it can be
	// shown in a user namespace only together with that.
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, m.Target, err)
	}
	if !m.ReadOnly {
		return nil
	}
	if err := readOnly(target, unix.AT_RECURSIVE); err != nil {
		return fmt.Errorf("make %s read-only: %w", m.Target, err)
	}
	return nil
}

// mountPoint makes what can be mounted on and returns its path outside.
func mountPoint(root, path string, folder bool) (string, error) {
	dir, name := filepath.Split(filepath.Clean("/" + path))
	// Of the links in a root only /var/run leads to where volumes go; it must
	// not be followed out of the root.
	if rest, ok := cutPath(dir, "/var/run"); ok {
		dir = "/run" + rest
	}
	parent := filepath.Join(root, dir)
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // as in any container
		return "", fmt.Errorf("make %s: %w", dir, err)
	}
	target := filepath.Join(parent, name)
	if folder {
		if err := os.MkdirAll(target, 0o755); err != nil { //nolint:gosec // as in any container
			return "", fmt.Errorf("make %s: %w", path, err)
		}
		return target, nil
	}
	file, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644) //nolint:gosec // as in any container
	if err != nil {
		return "", fmt.Errorf("make %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return "", fmt.Errorf("make %s: %w", path, err)
	}
	return target, nil
}

// cutPath says whether path is prefix or lies below it, and what follows it.
func cutPath(path, prefix string) (string, bool) {
	path = filepath.Clean(path)
	if path == prefix {
		return "", true
	}
	if len(path) > len(prefix) && path[:len(prefix)] == prefix && path[len(prefix)] == '/' {
		return path[len(prefix):], true
	}
	return "", false
}

func readOnly(path string, flags uint) error {
	err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if errors.Is(err, unix.ENOSYS) {
		// A kernel before 5.12: the programs are our own, and can be trusted
		// with a mount that could be written to.
		return nil
	}
	return err
}

// pivot makes root the process's root and lets go of the old one.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter the root folder: %w", err)
	}
	// The old root is stacked upon the new one, and taken away from there.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root folder: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the old root folder: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("enter the root folder: %w", err)
	}
	return nil
}
