package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/yaml"
)

// maxBases is how many folders one kustomization may be made of.
const maxBases = 500

// remotePattern is what kustomize would fetch from the network: a URL, or a git repository in one of its
// many spellings.
var remotePattern = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]*://|^git::|^gh:|^(www\.)?github\.com[/:]|^[^/\s]+@[^/\s]+:|\.git($|/|\?)|/_git/|\?(ref|version|submodules|timeout)=`)

// kustomize builds a folder that has a kustomization.
func (f *confinedFS) kustomize(path string) (objects []*unstructured.Unstructured, err error) {
	root, err := f.rel(path)
	if err != nil {
		return nil, err
	}
	if err := f.checkLocal(root, map[string]bool{}); err != nil {
		return nil, err
	}
	// A panic of the library must not take the controller down: its input is somebody else's.
	defer func() {
		if cause := recover(); cause != nil {
			objects, err = nil, fmt.Errorf("build the kustomization %s: kustomize panicked: %v", f.show(path), cause)
		}
	}()
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(f, filepath.Join(f.dir, root))
	if err != nil {
		if f.refused != nil {
			err = f.refused
		}
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

// kustomization holds the fields through which a kustomization reads other things.
type kustomization struct {
	Resources             []string         `json:"resources"`
	Bases                 []string         `json:"bases"`
	Components            []string         `json:"components"`
	Generators            []string         `json:"generators"`
	Transformers          []string         `json:"transformers"`
	Validators            []string         `json:"validators"`
	Crds                  []string         `json:"crds"`
	Configurations        []string         `json:"configurations"`
	PatchesStrategicMerge []string         `json:"patchesStrategicMerge"`
	Patches               []filePath       `json:"patches"`
	PatchesJSON6902       []filePath       `json:"patchesJson6902"`
	Replacements          []filePath       `json:"replacements"`
	OpenAPI               map[string]any   `json:"openapi"`
	ConfigMapGenerator    []generator      `json:"configMapGenerator"`
	SecretGenerator       []generator      `json:"secretGenerator"`
	HelmCharts            []map[string]any `json:"helmCharts"`
	HelmInflation         []map[string]any `json:"helmChartInflationGenerator"`
}

type filePath struct {
	Path string `json:"path"`
}

type generator struct {
	Files []string `json:"files"`
	Envs  []string `json:"envs"`
	Env   string   `json:"env"`
}

// checkLocal refuses a kustomization, or one that it is made of, that would make kustomize reach the
// network or run a program. Kustomize itself has no switch for that.
func (f *confinedFS) checkLocal(dir string, seen map[string]bool) error {
	if seen[dir] {
		return nil
	}
	if seen[dir] = true; len(seen) > maxBases {
		return fmt.Errorf("%w: a kustomization of more than %d folders", ErrLimit, maxBases)
	}
	file, content, err := f.readKustomization(dir)
	if err != nil || content == nil {
		return err
	}
	var spec kustomization
	if err := yaml.Unmarshal(content, &spec); err != nil {
		return fmt.Errorf("%s: %w", file, relocate(err, 0))
	}
	if len(spec.HelmCharts) > 0 || len(spec.HelmInflation) > 0 {
		return fmt.Errorf("%s: Helm charts can't be built: commit the rendered manifests", file)
	}
	for _, entry := range spec.references() {
		if isRemote(entry) {
			return fmt.Errorf("%s: %q is remote: only files of the repository itself are built; commit a copy", file, entry)
		}
	}
	for _, entry := range spec.plugins() {
		if err := f.checkPlugin(dir, entry, seen); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, entry := range spec.folders() {
		below := filepath.Join(dir, entry)
		if !filepath.IsLocal(below) {
			return fmt.Errorf("%s: %w: %q leaves the repository", file, ErrPath, entry)
		}
		if f.IsDir(below) {
			if err := f.checkLocal(below, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *confinedFS) readKustomization(dir string) (file string, content []byte, err error) {
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		path := filepath.Join(dir, name)
		if !f.Exists(path) {
			continue
		}
		content, err := f.ReadFile(path)
		return f.show(path), content, err
	}
	return "", nil, nil
}

// checkPlugin looks into the configuration of a generator, transformer or validator, which can be inline, a
// file or a folder, and can name remote files of its own.
func (f *confinedFS) checkPlugin(dir, entry string, seen map[string]bool) error {
	content := []byte(entry)
	if !strings.Contains(entry, "\n") {
		path := filepath.Join(dir, entry)
		if !filepath.IsLocal(path) {
			return fmt.Errorf("%w: %q leaves the repository", ErrPath, entry)
		}
		if f.IsDir(path) {
			return f.checkLocal(path, seen)
		}
		read, err := f.ReadFile(path)
		if err != nil {
			return err
		}
		content = read
	}
	for _, doc := range split(content) {
		var value any
		if err := yaml.Unmarshal(doc.text, &value); err != nil {
			return relocate(err, doc.line)
		}
		if remote, ok := findRemote(value); ok {
			return fmt.Errorf("a plugin names %q, which is remote: only files of the repository itself are built", remote)
		}
	}
	if bytes.Contains(content, []byte("HelmChartInflationGenerator")) {
		return errors.New("helm charts can't be built: commit the rendered manifests")
	}
	return nil
}

// findRemote looks for a remote reference anywhere in a value.
func findRemote(value any) (string, bool) {
	switch typed := value.(type) {
	case string:
		return typed, isRemote(typed)
	case []any:
		for _, item := range typed {
			if remote, ok := findRemote(item); ok {
				return remote, true
			}
		}
	case map[string]any:
		for _, item := range typed {
			if remote, ok := findRemote(item); ok {
				return remote, true
			}
		}
	}
	return "", false
}

// isRemote tells a reference to the network from a path and from inline YAML.
func isRemote(entry string) bool {
	return !strings.Contains(entry, "\n") && remotePattern.MatchString(strings.TrimSpace(entry))
}

// references are all entries that kustomize may load.
func (k *kustomization) references() []string {
	entries := append(k.folders(), k.plugins()...)
	entries = append(entries, k.Crds...)
	entries = append(entries, k.Configurations...)
	entries = append(entries, k.PatchesStrategicMerge...)
	for _, list := range [][]filePath{k.Patches, k.PatchesJSON6902, k.Replacements} {
		for _, entry := range list {
			entries = append(entries, entry.Path)
		}
	}
	if path, ok := k.OpenAPI["path"].(string); ok {
		entries = append(entries, path)
	}
	for _, list := range [][]generator{k.ConfigMapGenerator, k.SecretGenerator} {
		for _, entry := range list {
			entries = append(entries, entry.Env)
			entries = append(entries, entry.Envs...)
			for _, file := range entry.Files {
				if _, path, ok := strings.Cut(file, "="); ok {
					entries = append(entries, path)
				}
				entries = append(entries, file)
			}
		}
	}
	return entries
}

// folders are the entries that may be kustomizations of their own.
func (k *kustomization) folders() []string {
	var entries []string
	entries = append(entries, k.Resources...)
	entries = append(entries, k.Bases...)
	return append(entries, k.Components...)
}

// plugins are the entries that configure what makes or changes objects.
func (k *kustomization) plugins() []string {
	var entries []string
	entries = append(entries, k.Generators...)
	entries = append(entries, k.Transformers...)
	return append(entries, k.Validators...)
}
