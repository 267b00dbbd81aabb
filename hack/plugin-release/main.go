// Command plugin-release builds the kubectl plugin for all platforms, packs each into an archive, and writes the manifest by which krew installs
// them. The same sources give the same archives.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// platforms are those that kubectl is used on.
var platforms = []string{"darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64", "windows/amd64", "windows/arm64"}

// versions are what krew takes.
var versions = regexp.MustCompile(`^v[0-9]+[.][0-9]+[.][0-9]+(-[0-9A-Za-z.-]+)?$`)

// release is what is made.
type release struct {
	version, folder, downloads string
	platforms                  []string
}

func main() {
	var r release
	only := flag.String("platforms", strings.Join(platforms, ","), "the platforms to build for, with commas between")
	flag.StringVar(&r.downloads, "downloads", "https://github.com/weighlock/weighlock/releases/download", "where the archives will be found, in a folder named by the version")
	flag.StringVar(&r.folder, "o", "bin/plugin", "the folder to write to")
	flag.StringVar(&r.version, "version", "", "the version to build, such as v1.2.3")
	flag.Parse()
	r.platforms = strings.Split(*only, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := r.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin-release:", err)
		os.Exit(1)
	}
}

func (r *release) run(ctx context.Context) error {
	if !versions.MatchString(r.version) {
		return fmt.Errorf("-version %q is none: write it like v1.2.3", r.version)
	}
	if err := os.MkdirAll(r.folder, 0o750); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return fmt.Errorf("reading the license: %w", err)
	}
	var packed []archive
	for _, platform := range r.platforms {
		if !slices.Contains(platforms, platform) {
			return fmt.Errorf("-platforms %s: there are %s", platform, strings.Join(platforms, ", "))
		}
		program, err := r.build(ctx, platform)
		if err != nil {
			return err
		}
		made, err := r.pack(platform, program, license)
		if err != nil {
			return err
		}
		packed = append(packed, made)
	}
	text, err := r.manifest(packed)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.folder, "weighlock.yaml"), text, 0o600); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return nil
}

// build compiles the plugin for a platform.
func (r *release) build(ctx context.Context, platform string) ([]byte, error) {
	system, machine, _ := strings.Cut(platform, "/")
	out := filepath.Join(r.folder, "kubectl-weighlock-"+system+"-"+machine)
	//nolint:gosec // The version was checked, and the rest is from the list above.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+r.version, "-o", out, "./cmd/kubectl-weighlock")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+machine)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("building for %s: %w", platform, err)
	}
	program, err := os.ReadFile(out) //nolint:gosec // It was just built.
	if err != nil {
		return nil, fmt.Errorf("reading what was built: %w", err)
	}
	if err := os.Remove(out); err != nil {
		return nil, fmt.Errorf("tidying up: %w", err)
	}
	return program, nil
}

// archive is the plugin for a platform.
type archive struct {
	system, machine, file, sum, program string
}

// pack writes an archive. It has no times and no owners, so that it is the same whenever and wherever it is made.
func (r *release) pack(platform string, program, license []byte) (archive, error) {
	system, machine, _ := strings.Cut(platform, "/")
	made := archive{system: system, machine: machine, program: "kubectl-weighlock", file: fmt.Sprintf("kubectl-weighlock_%s_%s_%s.tar.gz", r.version, system, machine)}
	if system == "windows" {
		made.program += ".exe"
	}
	var content bytes.Buffer
	zip := gzip.NewWriter(&content)
	files := tar.NewWriter(zip)
	for _, file := range []struct {
		name string
		mode int64
		body []byte
	}{{"LICENSE", 0o644, license}, {made.program, 0o755, program}} {
		if err := files.WriteHeader(&tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.body)), Format: tar.FormatUSTAR}); err != nil {
			return archive{}, fmt.Errorf("packing %s: %w", file.name, err)
		}
		if _, err := files.Write(file.body); err != nil {
			return archive{}, fmt.Errorf("packing %s: %w", file.name, err)
		}
	}
	if err := files.Close(); err != nil {
		return archive{}, fmt.Errorf("packing for %s: %w", platform, err)
	}
	if err := zip.Close(); err != nil {
		return archive{}, fmt.Errorf("packing for %s: %w", platform, err)
	}
	sum := sha256.Sum256(content.Bytes())
	made.sum = hex.EncodeToString(sum[:])
	if err := os.WriteFile(filepath.Join(r.folder, made.file), content.Bytes(), 0o600); err != nil {
		return archive{}, fmt.Errorf("writing an archive: %w", err)
	}
	return made, nil
}
