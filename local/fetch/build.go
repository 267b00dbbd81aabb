package fetch

import (
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

// recipe is how a program is built from a module.
type recipe struct {
	// key is the folder in the cache.
	key string
	// what names what is built to the user, cost says what that takes the
	// first time, and disk how many bytes of it.
	what, cost string
	disk       uint64
	// module is the folder of the module, target the package in it.
	module, target string
	arguments      []string
	// program is the name of what is built, links are further names for it.
	program string
	links   []string
}

func (f *fetcher) kubeRecipe() (recipe, error) {
	r := recipe{
		module:  filepath.Join(f.root, "local", "build", "kube"),
		target:  ".",
		program: "kube",
		links:   []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"},
		cost:    "about 10 minutes and 4 GB the first time on 2 cores",
		disk:    4 << 30,
	}
	version, err := required(r.module, "k8s.io/kubernetes")
	if err != nil {
		return recipe{}, err
	}
	r.what = "kube-apiserver, etcd, kubectl " + strings.TrimPrefix(version, "v")
	part := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	const variable = " -X k8s.io/component-base/version."
	r.arguments = []string{"-trimpath", "-ldflags", "-s -w" + variable + "gitVersion=" + version + variable + "gitMajor=" + part[0] + variable + "gitMinor=" + part[1]}
	r.key, err = key("kube", version, r)
	return r, err
}

func (f *fetcher) prometheusRecipe() (recipe, error) {
	const module = "github.com/prometheus/prometheus"
	r := recipe{
		module:    filepath.Join(f.root, "local", "build", "prometheus"),
		target:    module + "/cmd/prometheus",
		program:   "prometheus",
		cost:      "about 4 minutes and 2 GB the first time on 2 cores",
		disk:      2 << 30,
		arguments: []string{"-trimpath", "-ldflags", "-s -w", "-tags", "remove_all_sd,enable_kubernetes_sd"},
	}
	version, err := required(r.module, module)
	if err != nil {
		return recipe{}, err
	}
	// A release v3.16.0 is tagged v0.316.0 for Go.
	r.what = "Prometheus " + strings.TrimPrefix(version, "v")
	r.key, err = key("prometheus", version, r)
	return r, err
}

// required is the version of a dependency in a module's go.mod.
func required(module, dependency string) (string, error) {
	content, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read the version of %s: %w", dependency, err)
	}
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == dependency && strings.HasPrefix(fields[1], "v") {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("%s/go.mod does not require %s", module, dependency)
}

// key names what a recipe builds by all that goes into it.
func key(name, version string, r recipe) (string, error) {
	hash := sha256.New()
	sources, err := filepath.Glob(filepath.Join(r.module, "*.go"))
	if err != nil {
		return "", fmt.Errorf("list the sources of %s: %w", name, err)
	}
	for _, path := range append([]string{filepath.Join(r.module, "go.mod"), filepath.Join(r.module, "go.sum")}, sources...) {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read the sources of %s: %w", name, err)
		}
		hash.Write(content)
	}
	_, _ = io.WriteString(hash, strings.Join(append(r.arguments, r.links...), "\x00"))
	return fmt.Sprintf("%s-%s-%s-%s-%s", name, strings.TrimPrefix(version, "v"), runtime.GOOS, runtime.GOARCH, hex.EncodeToString(hash.Sum(nil))[:8]), nil
}

// built is the folder that holds what the recipe builds.
func (f *fetcher) built(ctx context.Context, r recipe) (string, error) {
	waiting := func() { f.say("waiting for another run that builds %s", r.what) }
	return f.cache.folder(ctx, r.key, waiting, func(folder string) error {
		f.say("building %s: %s", r.what, r.cost)
		if err := f.build(ctx, r, filepath.Join(folder, r.program)); err != nil {
			return fmt.Errorf("build %s: %w", r.what, err)
		}
		for _, name := range r.links {
			if err := os.Symlink(r.program, filepath.Join(folder, name)); err != nil {
				return fmt.Errorf("build %s: %w", r.what, err)
			}
		}
		return nil
	})
}

// own builds a program of this checkout, each time: Go's own cache knows best
// whether anything changed.
func (f *fetcher) own(ctx context.Context, name, module, target string) (string, error) {
	id := sha256.Sum256([]byte(f.root))
	folder := f.cache.path("checkout-" + hex.EncodeToString(id[:])[:8])
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // it holds public programs
		return "", fmt.Errorf("make a folder in the cache: %w", err)
	}
	unlock, err := lock(ctx, folder+".lock", func() { f.say("waiting for another run that builds %s", name) })
	if err != nil {
		return "", err
	}
	defer unlock()
	// Without further arguments, to share Go's cache with a plain go build.
	r := recipe{what: name, module: module, target: target}
	final := filepath.Join(folder, name)
	// A name of its own first: the program may be running. Where it is what was
	// built before, Go finds it up to date, and links nothing.
	unfinished := final + ".unfinished"
	_ = os.Remove(unfinished)
	_ = os.Link(final, unfinished)
	// Two names of one file stay two when one is renamed to the other.
	defer func() { _ = os.Remove(unfinished) }()
	if err := f.build(ctx, r, unfinished); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	if err := os.Rename(unfinished, final); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return final, nil
}

// build runs go build and shows how it gets on.
func (f *fetcher) build(ctx context.Context, r recipe, output string) error {
	arguments := append([]string{"build", "-v"}, r.arguments...)
	cmd := exec.CommandContext(ctx, "go", append(arguments, "-o", output, r.target)...)
	cmd.Dir = r.module
	// The user's own flags and workspace are not for these modules.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "PWD="+r.module)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	output2, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("start go: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start go: %w", err)
	}
	p := newProgress(f.progress, r.what)
	p.follow(output2)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return p.explain(err)
	}
	p.done()
	return nil
}

// requireForBuilds says what the builds that are still to do lack.
func (f *fetcher) requireForBuilds(recipes []recipe) error {
	var disk uint64
	for _, r := range recipes {
		if !exists(f.cache.path(r.key)) {
			disk += r.disk
		}
	}
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("there is no go program on PATH: install Go from https://go.dev/dl")
	}
	if disk == 0 {
		return nil
	}
	command := exec.Command("go", "env", "GOVERSION", "GOCACHE") //nolint:noctx // answers at once
	command.Dir = recipes[0].module
	output, err := command.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return fmt.Errorf("go does not work here: %s; install the version of Go that local/build/kube/go.mod names, or let Go get it with GOTOOLCHAIN=auto", lastLine(exit.Stderr))
		}
		return fmt.Errorf("ask go for its version: %w", err)
	}
	goCache := strings.TrimSpace(strings.SplitN(string(output), "\n", 2)[1])
	return requireDisk(goCache, disk)
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
