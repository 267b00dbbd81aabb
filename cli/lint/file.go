package lint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// mostRead is how large a file may be, in bytes.
const mostRead = 4 << 20

// file is a file of manifests.
type file struct {
	path    string
	content []byte
	// asked says that the file itself was named, and not a folder that it is in.
	asked bool
	// large says that it was not read.
	large bool
}

// errLarge says that a file is too large to be read.
var errLarge = fmt.Errorf("it is larger than %d MiB", mostRead>>20)

// readAll reads what is asked for, each file once.
func readAll(paths []string, in io.Reader) ([]file, error) {
	var files []file
	seen := map[string]bool{}
	for _, path := range paths {
		if path == "-" {
			content, err := bounded(in, "standard input")
			if err != nil {
				return nil, err
			}
			if len(bytes.TrimSpace(content)) == 0 {
				// What was to write it has failed, most likely, and pipes don't tell.
				return nil, errors.New("reading standard input: it is empty")
			}
			files = append(files, file{path: "standard input", content: content, asked: true})
			continue
		}
		found, err := filesOf(path)
		if err != nil {
			return nil, err
		}
		for _, one := range found {
			target, err := filepath.EvalSymlinks(one)
			if err != nil {
				target = filepath.Clean(one) // A pipe that a shell made is a link to no file.
			}
			if seen[target] {
				continue
			}
			seen[target] = true
			content, err := readFile(one)
			large := one != path && errors.Is(err, errLarge) // Folders hold much that is no manifest.
			if err != nil && !large {
				return nil, err
			}
			files = append(files, file{path: one, content: content, asked: one == path, large: large})
		}
	}
	return files, nil
}

// filesOf is the path itself or, of a folder, the YAML and JSON files in it and below.
func filesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading manifests: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var found []string
	patches := map[string]bool{}
	// The end leads into the folder where the path is that of a link to it.
	root := path + string(filepath.Separator)
	err = filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name := entry.Name(); at != root && strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return notePatches(at, patches)
		case isManifest(at) && isFile(at, entry):
			found = append(found, at)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading manifests: %w", err)
	}
	// A patch is a part of an object, which can't be held against the rules of a whole one.
	return slices.DeleteFunc(found, func(at string) bool { return patches[filepath.Clean(at)] }), nil
}

func isManifest(path string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path))
}

// isFile says whether there is a file, or a link to one. A link may lead nowhere, such as those by which editors mark what is open.
func isFile(path string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return entry.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// notePatches notes the files that a kustomization in the folder uses as patches.
func notePatches(folder string, patches map[string]bool) error {
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		content, err := readFile(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var kustomization struct {
			Patches, PatchesJSON6902 []struct{ Path string }
			PatchesStrategicMerge    []string
		}
		if yaml.Unmarshal(content, &kustomization) != nil {
			return nil //nolint:nilerr // Whoever builds the kustomization will be told.
		}
		for _, patch := range slices.Concat(kustomization.Patches, kustomization.PatchesJSON6902) {
			kustomization.PatchesStrategicMerge = append(kustomization.PatchesStrategicMerge, patch.Path)
		}
		for _, patch := range kustomization.PatchesStrategicMerge {
			patches[filepath.Join(folder, patch)] = true
		}
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	opened, err := os.Open(path) //nolint:gosec // It is the user's, who named it.
	if err != nil {
		return nil, fmt.Errorf("reading manifests: %w", err)
	}
	defer opened.Close()
	return bounded(opened, path)
}

func bounded(in io.Reader, name string) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(in, mostRead+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(content) > mostRead {
		return nil, fmt.Errorf("reading %s: %w", name, errLarge)
	}
	return content, nil
}
