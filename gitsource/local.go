package gitsource

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/kio"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// maxBases is how many kustomizations one build may be made of.
const maxBases = 500

var (
	// remotePattern is what kustomize takes for a URL or a git repository: a scheme, a user at a host, or
	// GitHub.
	remotePattern = regexp.MustCompile(`(?i)^(git::|(ssh|https?|file):|[a-z][a-z0-9-]*@|github\.com[/:])`)
	// suspectPattern is what other versions of it take, or might. Text of several lines, which is YAML
	// mostly, is not held against it.
	suspectPattern = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]*:|^[^/\s]+@|^(www\.)?github\.com[/:]|\.git($|/|\?)|/_git/|\?(ref|version|submodules|timeout)=`)
	// fetchedPattern is what a plugin would fetch where it wants a file.
	fetchedPattern = regexp.MustCompile(`(?i)^\s*https?:`)
)

// checkLocal refuses a kustomization that would make kustomize reach the network or run a program; kustomize
// has no switch for that. It is asked about each one that kustomize reads, in the folder as kustomize
// sees it, whatever the way that led there, and reads it as kustomize does.
func (f *confinedFS) checkLocal(dir, file string, content []byte) error {
	if f.bases++; f.bases > maxBases {
		return fmt.Errorf("%w: a kustomization made of more than %d", ErrLimit, maxBases)
	}
	var spec types.Kustomization
	if err := spec.Unmarshal(content); err != nil {
		return fmt.Errorf("%s: %w", file, relocate(err, 0))
	}
	if len(spec.HelmCharts) > 0 || len(spec.HelmChartInflationGenerator) > 0 {
		return fmt.Errorf("%s: Helm charts can't be built: commit the rendered manifests", file)
	}
	plugins := pluginsOf(&spec)
	for _, entry := range append(referencesOf(&spec), plugins...) {
		if isRemote(entry) {
			return fmt.Errorf("%s: %q is remote: only files of the repository itself are built; commit a copy", file, entry)
		}
	}
	for _, entry := range plugins {
		if err := f.checkPlugin(dir, entry); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// checkPlugin looks into the configuration of a generator, transformer or validator, which can name remote
// files of its own. It must be there as it is: what a kustomization makes of it can't be foreseen.
func (f *confinedFS) checkPlugin(dir, entry string) error {
	// What is no YAML is the name of a file.
	if nodes, err := kio.FromBytes([]byte(entry)); err == nil {
		if err := checkConfiguration(nodes); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, entry)
	switch {
	case f.IsDir(path):
		return fmt.Errorf("the plugin configuration %q is a folder: name its files one by one", entry)
	case !f.Exists(path):
		return nil
	}
	content, err := f.ReadFile(path)
	if err != nil {
		return err
	}
	nodes, err := kio.FromBytes(content)
	if err != nil {
		return fmt.Errorf("%s: %w", f.show(path), relocate(err, 0))
	}
	if err := checkConfiguration(nodes); err != nil {
		return fmt.Errorf("%s: %w", f.show(path), err)
	}
	return nil
}

func checkConfiguration(nodes []*kyaml.RNode) error {
	for _, node := range nodes {
		if node.GetKind() == "HelmChartInflationGenerator" {
			return errors.New("Helm charts can't be built: commit the rendered manifests") //nolint:staticcheck // a name
		}
		if err := checkScalars(node.YNode()); err != nil {
			return err
		}
	}
	return nil
}

// checkScalars looks at every text of a value, of a key that is there twice as well.
func checkScalars(node *kyaml.Node) error {
	if node == nil {
		return nil
	}
	if node.Kind == kyaml.ScalarNode {
		if node.ShortTag() == "!!binary" {
			return errors.New("a plugin has a text in base64 (!!binary): write it out")
		}
		// A file can stand behind the name that it gets.
		if slices.ContainsFunc(strings.Split(node.Value, "="), fetchedPattern.MatchString) {
			return fmt.Errorf("a plugin names %q, which is remote: only files of the repository itself are built", node.Value)
		}
	}
	for _, child := range node.Content {
		if err := checkScalars(child); err != nil {
			return err
		}
	}
	return nil
}

// isRemote tells a reference to the network from a path and from inline YAML.
func isRemote(entry string) bool {
	trimmed := strings.TrimSpace(entry)
	return remotePattern.MatchString(trimmed) || !strings.Contains(trimmed, "\n") && suspectPattern.MatchString(trimmed)
}

// pluginsOf are the entries that configure what makes or changes objects.
func pluginsOf(spec *types.Kustomization) []string {
	var entries []string
	entries = append(entries, spec.Generators...)
	entries = append(entries, spec.Transformers...)
	return append(entries, spec.Validators...)
}

// referencesOf are all other entries that kustomize may load.
func referencesOf(spec *types.Kustomization) []string {
	var entries []string
	for _, list := range [][]string{spec.Resources, spec.Bases, spec.Components, spec.Crds, spec.Configurations} { //nolint:staticcheck // deprecated, and still loaded
		entries = append(entries, list...)
	}
	for _, patch := range spec.PatchesStrategicMerge { //nolint:staticcheck // deprecated, and still loaded
		entries = append(entries, string(patch))
	}
	for _, list := range [][]types.Patch{spec.Patches, spec.PatchesJson6902} { //nolint:staticcheck // deprecated, and still loaded
		for _, patch := range list {
			entries = append(entries, patch.Path)
		}
	}
	for _, replacement := range spec.Replacements {
		entries = append(entries, replacement.Path)
	}
	entries = append(entries, spec.OpenAPI["path"])
	for i := range spec.ConfigMapGenerator {
		entries = append(entries, sourcesOf(&spec.ConfigMapGenerator[i].KvPairSources)...)
	}
	for i := range spec.SecretGenerator {
		entries = append(entries, sourcesOf(&spec.SecretGenerator[i].KvPairSources)...)
	}
	return entries
}

// sourcesOf are the files that a generator reads, without the names that they get.
func sourcesOf(pairs *types.KvPairSources) []string {
	entries := append([]string{pairs.EnvSource}, pairs.EnvSources...)
	for _, file := range pairs.FileSources {
		entries = append(entries, strings.Split(file, "=")...)
	}
	return entries
}
