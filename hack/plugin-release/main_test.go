package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// krewPlugin is the form in which krew reads manifests.
type krewPlugin struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Version, ShortDescription, Description, Caveats, Homepage string

		Platforms []struct {
			URI, SHA256, Bin, License string

			Selector *metav1.LabelSelector
			Files    []struct{ From, To string }
		}
	}
}

func TestRelease_MakesAManifestThatKrewTakes(t *testing.T) {
	r := release{version: "v1.2.3", folder: t.TempDir(), downloads: "https://example.com/download"}
	var archives []archive
	for _, platform := range platforms {
		made, err := r.pack(platform, []byte("program for "+platform), []byte("license"))
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, made)
	}
	text, err := r.manifest(archives)
	if err != nil {
		t.Fatal(err)
	}
	var plugin krewPlugin
	if err := yaml.UnmarshalStrict(text, &plugin); err != nil {
		t.Fatal(err)
	}
	spec := plugin.Spec
	if plugin.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || plugin.Kind != "Plugin" || plugin.Name != "weighlock" || spec.Version != "v1.2.3" {
		t.Errorf("it is %s %s %s %s", plugin.APIVersion, plugin.Kind, plugin.Name, spec.Version)
	}
	if len(spec.ShortDescription) == 0 || len(spec.ShortDescription) > 50 || strings.HasSuffix(spec.ShortDescription, ".") {
		t.Errorf("the short description is %q", spec.ShortDescription)
	}
	for line := range strings.Lines(spec.Description + spec.Caveats) {
		if len(line) > 81 {
			t.Errorf("a line is longer than 80: %s", line)
		}
	}
	for _, platform := range platforms {
		system, machine, _ := strings.Cut(platform, "/")
		matches := 0
		for _, offered := range spec.Platforms {
			selector, err := metav1.LabelSelectorAsSelector(offered.Selector)
			if err != nil {
				t.Fatal(err)
			}
			if !selector.Matches(labels.Set{"os": system, "arch": machine}) {
				continue
			}
			matches++
			content := read(t, filepath.Join(r.folder, filepath.Base(offered.URI)))
			if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != offered.SHA256 {
				t.Errorf("the sum of %s is another one", offered.URI)
			}
			if files := unpack(t, content); files[offered.Bin] != "program for "+platform || files["LICENSE"] != "license" {
				t.Errorf("%s holds %v", offered.URI, files)
			}
			if !strings.HasPrefix(offered.URI, "https://example.com/download/v1.2.3/") {
				t.Errorf("it is at %s", offered.URI)
			}
		}
		if matches != 1 {
			t.Errorf("%d archives are for %s", matches, platform)
		}
	}
}

func TestRelease_PacksTheSameAgain(t *testing.T) {
	first, second := release{version: "v1.2.3", folder: t.TempDir()}, release{version: "v1.2.3", folder: t.TempDir()}
	one, err := first.pack("linux/amd64", []byte("program"), []byte("license"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := second.pack("linux/amd64", []byte("program"), []byte("license"))
	if err != nil {
		t.Fatal(err)
	}
	if one != other {
		t.Errorf("got %+v and %+v", one, other)
	}
}

func TestRelease_WantsAVersionAndPlatformsThatExist(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	for _, r := range []release{
		{version: "1.2.3", platforms: platforms}, {version: "v1.2", platforms: platforms}, {version: "", platforms: platforms}, {version: "v1.2.3", platforms: []string{"plan9/amd64"}},
	} {
		r.folder = t.TempDir()
		if err := r.run(t.Context()); err == nil {
			t.Errorf("it takes %+v", r)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// unpack gives the files of an archive. All that can be run is a program.
func unpack(t *testing.T, content []byte) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(io.LimitReader(archive, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if program := strings.HasPrefix(header.Name, "kubectl-"); program != (header.Mode&0o111 != 0) {
			t.Errorf("%s has mode %o", header.Name, header.Mode)
		}
		files[header.Name] = string(body)
	}
}
