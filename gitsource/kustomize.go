package gitsource

import (
	"fmt"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/kustomize/api/krusty"
)

// kustomize builds a folder that has a kustomization.
func (f *confinedFS) kustomize(path string) (objects []*unstructured.Unstructured, err error) {
	root, err := f.rel(path)
	if err != nil {
		return nil, err
	}
	f.kustomizing = true
	defer func() { f.kustomizing = false }()
	// A panic of the library must not take the controller down: its input is somebody else's.
	defer func() {
		if cause := recover(); cause != nil {
			objects, err = nil, fmt.Errorf("build the kustomization %s: kustomize panicked: %v", f.show(path), cause)
		}
	}()
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(f, filepath.Join(f.dir, root))
	if f.refused != nil {
		// Whatever kustomize made of a refusal.
		err = f.refused
	}
	if err != nil {
		return nil, fmt.Errorf("build the kustomization %s: %w", f.show(path), f.shorten(err))
	}
	for _, resource := range result.Resources() {
		content, err := resource.Map()
		if err != nil {
			return nil, fmt.Errorf("build the kustomization %s: %w", f.show(path), err)
		}
		object, err := fromMap(content)
		if err != nil {
			return nil, fmt.Errorf("build the kustomization %s: %w", f.show(path), err)
		}
		if err := validate(object); err != nil {
			return nil, fmt.Errorf("build the kustomization %s: %w", f.show(path), err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// fromMap gives numbers the types that API machinery wants.
func fromMap(content map[string]any) (*unstructured.Unstructured, error) {
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("read a built object: %w", err)
	}
	typed := map[string]any{}
	if err := json.Unmarshal(raw, &typed); err != nil {
		return nil, fmt.Errorf("read a built object: %w", err)
	}
	return &unstructured.Unstructured{Object: typed}, nil
}

// shorten makes kustomize's errors fit for a status: its paths are of a temporary folder.
func (f *confinedFS) shorten(err error) error {
	const most = 1024
	text := strings.Join(strings.Fields(f.redact(err.Error())), " ")
	if len(text) > most {
		text = text[:most] + "…"
	}
	return &buildError{text: text, cause: err}
}

type buildError struct {
	text  string
	cause error
}

func (e *buildError) Error() string { return e.text }

// Unwrap keeps errors.Is working.
func (e *buildError) Unwrap() error { return e.cause }
