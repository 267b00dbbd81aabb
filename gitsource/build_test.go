package gitsource_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/gitsource"
)

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %NAME%\ndata:\n  a: \"1\"\n"

func named(name string) string { return strings.ReplaceAll(configMap, "%NAME%", name) }

// folder writes files; "-> target" makes a link.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBuild_FindsTheObjectsOfAFolder(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files map[string]string
		path  string
		want  []string
	}{
		"all manifests, in order": {
			files: map[string]string{
				"deploy/b.yml": named("b"), "deploy/a.yaml": "# a licence\n---\n" + named("a1") + "---\n# nothing\n---\n" + named("a2"),
				"deploy/c/d.json": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"}}`,
				"deploy/notes.md": "- no", "deploy/.github/x.yaml": "on: push", "other/x.yaml": named("x"),
			},
			path: "./deploy",
			want: []string{"a1", "a2", "b", "d"},
		},
		"lists": {
			files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}\n"},
			path:  "./",
			want:  []string{"one", "two"},
		},
		"a kustomization with a base beside it": {
			files: map[string]string{
				"base/kustomization.yaml":        "resources: [a.yaml]\n",
				"base/a.yaml":                    named("a"),
				"overlay/kustomization.yaml":     "namePrefix: my-\nresources: [../base]\nconfigMapGenerator:\n- name: files\n  files: [x=x.txt]\n  literals: [url=https://example.com/x.git]\n",
				"overlay/x.txt":                  "hello",
				"overlay/ignored.yaml":           named("ignored"),
				"overlay/unused/not-a-thing.yml": "{",
			},
			path: "overlay",
			want: []string{"my-a", "my-files-*"},
		},
		"a link inside of the repository": {
			files: map[string]string{"shared/a.yaml": named("a"), "deploy/a.yaml": "-> ../shared/a.yaml"},
			path:  "deploy",
			want:  []string{"a"},
		},
		"nothing": {files: map[string]string{"deploy/readme.md": "x"}, path: "deploy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects, err := gitsource.Build(folder(t, tc.files), tc.path, gitsource.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, object := range objects {
				found := object.GetName()
				if i < len(tc.want) && strings.HasSuffix(tc.want[i], "*") && strings.HasPrefix(found, strings.TrimSuffix(tc.want[i], "*")) {
					found = tc.want[i]
				}
				got = append(got, found)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBuild_SaysWhereATreeIsBroken(t *testing.T) {
	t.Parallel()
	kustomize := func(line string) map[string]string {
		return map[string]string{"deploy/kustomization.yaml": line + "\n", "deploy/a.yaml": named("a"), "outside.yaml": named("o")}
	}
	bomb := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 8 {
		from, to := string(rune('0'+i)), string(rune('1'+i))
		bomb += "a" + to + ": &a" + to + " [" + strings.TrimSuffix(strings.Repeat("*a"+from+",", 10), ",") + "]\n"
	}
	for name, tc := range map[string]struct {
		files map[string]string
		is    error
		says  []string
	}{
		"YAML": {
			files: map[string]string{"deploy/shop.yaml": named("a") + "---\n" + "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [\n"},
			says:  []string{"deploy/shop.yaml: document 2: line 1"},
		},
		"a key twice": {
			files: map[string]string{"deploy/shop.yaml": named("a") + "---\n" + named("b") + "data: {}\n"},
			says:  []string{"deploy/shop.yaml: document 2: ", "line 14", "data"},
		},
		"no apiVersion":           {files: map[string]string{"deploy/a.yaml": "# one\nkind: ConfigMap\n"}, says: []string{"deploy/a.yaml: document 1: line 2: apiVersion"}},
		"no kind":                 {files: map[string]string{"deploy/a.yaml": "apiVersion: v1\n"}, says: []string{"kind is missing"}},
		"no name":                 {files: map[string]string{"deploy/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}\n"}, says: []string{"without metadata.name"}},
		"a name that is no text":  {files: map[string]string{"deploy/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\n"}, says: []string{"deploy/a.yaml", "quotes"}},
		"no object":               {files: map[string]string{"deploy/a.yaml": "- 1\n- 2\n"}, says: []string{"deploy/a.yaml", "not a Kubernetes object"}},
		"the same twice":          {files: map[string]string{"deploy/a.yaml": named("a"), "deploy/b.yaml": named("a")}, says: []string{"deploy/b.yaml", "deploy/a.yaml already"}},
		"a nested base":           {files: map[string]string{"deploy/x/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"}, says: []string{"deploy/x/kustomization.yaml", "set spec.path"}},
		"no such folder":          {files: map[string]string{"other/a.yaml": named("a")}, is: gitsource.ErrPath, says: []string{`no folder "deploy"`}},
		"a link out":              {files: map[string]string{"deploy/a.yaml": "-> /etc/passwd"}, is: gitsource.ErrPath, says: []string{"deploy/a.yaml", "out of the repository"}},
		"an alias bomb":           {files: map[string]string{"deploy/a.yaml": bomb}, is: gitsource.ErrLimit, says: []string{"deploy/a.yaml", "aliases"}},
		"a bomb in kustomize":     {files: map[string]string{"deploy/kustomization.yaml": "resources: [a.yaml]", "deploy/a.yaml": bomb}, is: gitsource.ErrLimit},
		"a missing resource":      {files: kustomize("resources: [gone.yaml]"), says: []string{"build the kustomization deploy", "gone.yaml"}},
		"a remote file":           {files: kustomize("resources: ['https://example.com/a.yaml']"), says: []string{"deploy/kustomization.yaml", "https://example.com/a.yaml", "remote"}},
		"a remote base":           {files: kustomize("resources: ['github.com/org/repo//base?ref=v1']"), says: []string{"remote"}},
		"a remote ssh base":       {files: kustomize("bases: ['git@example.com:org/repo']"), says: []string{"remote"}},
		"a remote component":      {files: kustomize("components: ['git::https://example.com/repo']"), says: []string{"remote"}},
		"a remote patch":          {files: kustomize("patches: [{path: 'http://example.com/a.yaml'}]"), says: []string{"remote"}},
		"a remote generator file": {files: kustomize("configMapGenerator: [{name: x, files: ['a=http://169.254.169.254/latest']}]"), says: []string{"remote"}},
		"a remote env":            {files: kustomize("secretGenerator: [{name: x, envs: ['http://169.254.169.254/latest']}]"), says: []string{"remote"}},
		"a remote base behind a base": {
			files: map[string]string{"deploy/kustomization.yaml": "resources: [../base]", "base/kustomization.yaml": "resources: ['https://example.com/x']"},
			says:  []string{"base/kustomization.yaml", "remote"},
		},
		"Helm":               {files: kustomize("helmCharts: [{name: x, repo: 'https://example.com'}]"), says: []string{"Helm"}},
		"a file above":       {files: kustomize("configMapGenerator: [{name: x, files: [../outside.yaml]}]"), says: []string{"outside.yaml"}},
		"a folder far above": {files: kustomize("resources: [../../../../../../../etc]"), is: gitsource.ErrPath},
		"an executable":      {files: kustomize("generators:\n- |-\n  apiVersion: v1\n  kind: Evil\n  metadata:\n    name: x\n    annotations:\n      config.kubernetes.io/function: 'exec: {path: ./evil.sh}'"), says: []string{"deploy"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, tc.files)
			objects, err := gitsource.Build(dir, "deploy", gitsource.Limits{})
			if err == nil {
				t.Fatalf("built %d objects", len(objects))
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v is no %v", err, tc.is)
			}
			for _, text := range tc.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q doesn't say %q", err, text)
				}
			}
			if strings.Contains(err.Error(), dir) {
				t.Errorf("%q tells of a temporary folder", err)
			}
		})
	}
}

func TestBuild_KeepsToItsLimits(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.yaml": named("a"), "b.yaml": named("b") + "---\n" + named("c")})
	for name, limits := range map[string]gitsource.Limits{
		"objects": {Objects: 2}, "file": {FileBytes: 80}, "in all": {ReadBytes: 100},
	} {
		if _, err := gitsource.Build(dir, "./", limits); !errors.Is(err, gitsource.ErrLimit) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := gitsource.Build(dir, "./", gitsource.Limits{Objects: 3, FileBytes: 1 << 10, ReadBytes: 1 << 10}); err != nil {
		t.Errorf("within the limits: %v", err)
	}
}

func TestBuild_RefusesAPathThatLeavesTheRepository(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"repo/a.yaml": named("a"), "b.yaml": named("b"), "repo/up": "-> .."})
	for _, path := range []string{"..", "../", "/etc", "up", "x/../.."} {
		if _, err := gitsource.Build(filepath.Join(dir, "repo"), path, gitsource.Limits{}); !errors.Is(err, gitsource.ErrPath) {
			t.Errorf("path %q: got %v", path, err)
		}
	}
}
