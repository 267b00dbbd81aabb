package fetch_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weighlock/weighlock/local/fetch"
)

// checkout lays out a checkout whose third-party modules are tiny stand-ins
// of the same names, so that real builds take a moment.
func checkout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	kube := filepath.Join(root, "local", "build", "kube")
	prometheus := filepath.Join(root, "local", "build", "prometheus")
	const program = "package main\n\nfunc main() {}\n"
	for path, content := range map[string]string{
		kube + "/go.mod":       "module kube\n\ngo 1.24\n\nrequire (\n\tk8s.io/kubernetes v1.2.3\n)\n\nreplace k8s.io/kubernetes => ./third\n",
		kube + "/go.sum":       "",
		kube + "/main.go":      "package main\n\nimport _ \"k8s.io/kubernetes\"\n\nfunc main() {}\n",
		kube + "/third/go.mod": "module k8s.io/kubernetes\n\ngo 1.24\n",
		kube + "/third/k.go":   "package kubernetes\n",

		prometheus + "/go.mod":                       "module prometheus\n\ngo 1.24\n\nrequire github.com/prometheus/prometheus v0.4.5\n\nreplace github.com/prometheus/prometheus => ./third\n",
		prometheus + "/go.sum":                       "",
		prometheus + "/third/go.mod":                 "module github.com/prometheus/prometheus\n\ngo 1.24\n",
		prometheus + "/third/cmd/prometheus/main.go": program,
	} {
		write(t, path, content)
	}
	t.Setenv("ENVOY", "/bin/true")
	return root
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// all runs fetch.All and returns what it said too.
func all(t *testing.T, options fetch.Options) (fetch.Programs, string, error) {
	t.Helper()
	said, err := os.CreateTemp(t.TempDir(), "progress")
	if err != nil {
		t.Fatal(err)
	}
	options.Progress = said
	programs, err := fetch.All(context.Background(), options)
	if _, seekErr := said.Seek(0, io.SeekStart); seekErr != nil {
		t.Fatal(seekErr)
	}
	text, readErr := io.ReadAll(io.LimitReader(said, 1<<20))
	if readErr != nil {
		t.Fatal(readErr)
	}
	return programs, string(text), err
}

func TestAll_BuildsOnceForRunsSideBySide(t *testing.T) {
	options := fetch.Options{Root: checkout(t), Cache: t.TempDir()}
	var runs sync.WaitGroup
	var mu sync.Mutex
	built := 0
	for range 3 {
		runs.Go(func() {
			programs, said, err := all(t, options)
			if err != nil {
				t.Error(err)
				return
			}
			for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
				if err := exec.Command(filepath.Join(programs.Assets, name)).Run(); err != nil {
					t.Errorf("run %s: %v", name, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			built += strings.Count(said, "building kube-apiserver, etcd, kubectl 1.2.3")
		})
	}
	runs.Wait()
	if built != 1 {
		t.Errorf("built %d times, want once", built)
	}
	programs, said, err := all(t, options)
	if err != nil || said != "" {
		t.Errorf("once cached: said %q, error %v; want neither", said, err)
	}
	cached, err := fetch.Cached(options)
	if err != nil || cached != programs {
		t.Errorf("Cached: %+v, %v; want what All found: %+v", cached, err, programs)
	}
}

func TestAll_BuildsAnewWhenItsSourcesChange(t *testing.T) {
	options := fetch.Options{Root: checkout(t), Cache: t.TempDir()}
	before, _, err := all(t, options)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(options.Root, "local/build/kube/main.go"), "package main\n\nimport _ \"k8s.io/kubernetes\"\n\nfunc main() { println() }\n")
	if _, err := fetch.Cached(options); err == nil || !strings.Contains(err.Error(), "go run . fetch") {
		t.Errorf("Cached after a change: %v, want an error that says what to run", err)
	}
	after, _, err := all(t, options)
	if err != nil {
		t.Fatal(err)
	}
	if before.Kube == after.Kube || before.Prometheus != after.Prometheus {
		t.Errorf("Kubernetes changed alone, but got %+v after %+v", after, before)
	}
}

func TestAll_BuildsTheProductAnewOnlyWhenItChanged(t *testing.T) {
	options := fetch.Options{Root: checkout(t), Cache: t.TempDir(), Weighlock: true}
	const program = "package main\n\nfunc main() {}\n"
	source := filepath.Join(options.Root, "cmd/weighlock/main.go")
	write(t, filepath.Join(options.Root, "go.mod"), "module product\n\ngo 1.24\n")
	write(t, filepath.Join(options.Root, "cmd/kubectl-weighlock/main.go"), program)
	write(t, source, program)
	built := func() os.FileInfo {
		t.Helper()
		programs, _, err := all(t, options)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.Stat(programs.Weighlock)
		if err != nil {
			t.Fatal(err)
		}
		if left, err := filepath.Glob(filepath.Dir(programs.Weighlock) + "/*.unfinished"); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		return file
	}
	first := built()
	if again := built(); !os.SameFile(first, again) {
		t.Error("it was built again, and nothing had changed")
	}
	write(t, source, strings.Replace(program, "{}", "{ println() }", 1))
	if changed := built(); os.SameFile(first, changed) {
		t.Error("it was not built anew, or in the place of a program that may be running")
	}
}

func TestAll_LeavesNothingInTheCacheWhenABuildFails(t *testing.T) {
	options := fetch.Options{Root: checkout(t), Cache: t.TempDir()}
	write(t, filepath.Join(options.Root, "local/build/kube/main.go"), "package main\n\nfunc main() { oops }\n")
	_, _, err := all(t, options)
	if err == nil || !strings.Contains(err.Error(), "undefined: oops") {
		t.Errorf("error %v, want what the compiler said", err)
	}
	left, globErr := filepath.Glob(filepath.Join(options.Cache, "kube-*"))
	if globErr != nil {
		t.Fatal(globErr)
	}
	for _, path := range left {
		if !strings.HasSuffix(path, ".lock") {
			t.Errorf("left behind: %s", path)
		}
	}
}

func TestAll_SaysWhatIsMissing(t *testing.T) {
	root := checkout(t)
	// Folders with one program each, to leave others out of PATH.
	only := func(programs ...string) string {
		folder := t.TempDir()
		for _, name := range programs {
			path, err := exec.LookPath(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path, filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
		return folder
	}
	for name, c := range map[string]struct {
		path, envoy, root, want string
	}{
		"git":      {only("go"), "/bin/true", root, "install git"},
		"go":       {only("git"), "/bin/true", root, "install Go"},
		"pip":      {only("git", "go"), "", root, "neither pip nor uv: install one of them"},
		"envoy":    {only("git", "go"), "/nowhere/envoy", root, "no program at $ENVOY"},
		"checkout": {only("git", "go"), "/bin/true", t.TempDir(), "no checkout of Weighlock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			t.Setenv("ENVOY", c.envoy)
			_, _, err := all(t, fetch.Options{Root: c.root, Cache: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, c.want)
			}
		})
	}
}
