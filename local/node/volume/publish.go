package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// dataLink is the link that readers of a volume follow; replacing it changes
// all files of the volume at once.
const dataLink = "..data"

// files maps the paths in a volume to what is there.
type files map[string]file

type file struct {
	content []byte
	mode    uint32
}

func (f files) equal(other files) bool {
	return maps.EqualFunc(f, other, func(a, b file) bool {
		return a.mode == b.mode && bytes.Equal(a.content, b.content)
	})
}

func (r *reader) add(path string, content []byte, mode uint32) error {
	if !filepath.IsLocal(path) || strings.HasPrefix(path, "..") {
		return fmt.Errorf("the path %q leaves the volume", path)
	}
	r.files[filepath.Clean(path)] = file{content: content, mode: mode}
	return nil
}

// publish makes the volume hold just these files, as a kubelet does it:
//
//	token  -> ..data/token
//	..data -> ..1234
//	..1234/token
func publish(dir string, content files) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as any volume
		return fmt.Errorf("make the volume's folder: %w", err)
	}
	link := filepath.Join(dir, dataLink)
	old, err := os.Readlink(link)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("find what the volume holds: %w", err)
	}
	fresh, err := writeAll(dir, content)
	if err != nil {
		return err
	}
	if err := replaceLink(filepath.Base(fresh), link); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for path := range content {
		top, _, _ := strings.Cut(path, "/")
		wanted[top] = true
	}
	if err := linkAll(dir, wanted); err != nil {
		return err
	}
	if old == "" {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
		return fmt.Errorf("remove what the volume held: %w", err)
	}
	return nil
}

// writeAll writes the files to a new folder, which it returns.
func writeAll(dir string, content files) (string, error) {
	fresh, err := os.MkdirTemp(dir, "..")
	if err != nil {
		return "", fmt.Errorf("make a folder for the volume's files: %w", err)
	}
	if err := os.Chmod(fresh, 0o755); err != nil { //nolint:gosec // as any volume
		return "", fmt.Errorf("open the volume's files to readers: %w", err)
	}
	for path, f := range content {
		full := filepath.Join(fresh, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil { //nolint:gosec // as any volume
			return "", fmt.Errorf("make a folder for %s: %w", path, err)
		}
		if err := os.WriteFile(full, f.content, 0o600); err != nil {
			return "", fmt.Errorf("write %s: %w", path, err)
		}
		if err := os.Chmod(full, fs.FileMode(f.mode)); err != nil {
			return "", fmt.Errorf("set the mode of %s: %w", path, err)
		}
	}
	return fresh, nil
}

func replaceLink(target, link string) error {
	temporary := link + "_tmp"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an old link: %w", err)
	}
	if err := os.Symlink(target, temporary); err != nil {
		return fmt.Errorf("make a link: %w", err)
	}
	if err := os.Rename(temporary, link); err != nil {
		return fmt.Errorf("replace a link: %w", err)
	}
	return nil
}

// linkAll makes the links that users see, and removes those of files that are
// no longer there.
func linkAll(dir string, wanted map[string]bool) error {
	for name := range wanted {
		err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make a link to %s: %w", name, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list the volume: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "..") || wanted[entry.Name()] {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("remove %s: %w", entry.Name(), err)
		}
	}
	return nil
}
