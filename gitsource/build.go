package gitsource

import (
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Build returns the objects that the folder path of the tree in dir describes: the
// output of kustomize where it has a kustomization.yaml, else the objects of all YAML and
// JSON files below it. It is all of them or an error that names the file, and the line where that is
// known.
func Build(dir, path string, limits Limits) ([]*unstructured.Unstructured, error) {
	tree, err := newConfinedFS(dir, limits)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tree.close() }()
	if !tree.IsDir(path) {
		return nil, fmt.Errorf("%w: the repository has no folder %q", ErrPath, path)
	}
	objects, err := tree.build(path)
	if err != nil {
		return nil, err
	}
	if len(objects) > tree.limits.Objects {
		return nil, fmt.Errorf("%w: %d objects, at most %d are allowed", ErrLimit, len(objects), tree.limits.Objects)
	}
	return objects, nil
}

func (f *confinedFS) build(path string) ([]*unstructured.Unstructured, error) {
	names, err := f.ReadDir(path)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(names, isKustomization) {
		return f.kustomize(path)
	}
	return f.plain(path)
}

// plain reads every manifest below a folder, in the order of their paths.
func (f *confinedFS) plain(path string) ([]*unstructured.Unstructured, error) {
	files, err := f.manifests(path)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	from := map[string]string{}
	for _, file := range files {
		content, err := f.ReadFile(file)
		if err != nil {
			return nil, err
		}
		found, err := parseManifest(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.show(file), err)
		}
		for _, object := range found {
			id := identity(object)
			if first, ok := from[id]; ok {
				return nil, fmt.Errorf("%s: %s is in %s already", f.show(file), id, first)
			}
			from[id] = f.show(file)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// manifests lists the files to read. Hidden folders are not the cluster's business.
func (f *confinedFS) manifests(path string) ([]string, error) {
	entries, err := f.entries(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		name := filepath.Join(path, entry.Name())
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		switch {
		case entry.IsDir():
			below, err := f.manifests(name)
			if err != nil {
				return nil, err
			}
			files = append(files, below...)
		case isManifest(name):
			files = append(files, name)
		}
	}
	sort.Strings(files)
	return files, nil
}

func isManifest(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return true
	default:
		return false
	}
}

func isKustomization(name string) bool {
	return name == "kustomization.yaml" || name == "kustomization.yml" || name == "Kustomization"
}

// identity names an object for people, and tells two of the same tree apart.
func identity(object *unstructured.Unstructured) string {
	kind := object.GroupVersionKind().GroupKind().String()
	if object.GetNamespace() == "" {
		return kind + " " + object.GetName()
	}
	return kind + " " + object.GetNamespace() + "/" + object.GetName()
}
