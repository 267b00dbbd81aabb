package gitsource_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weighlock/weighlock/gitsource"
)

// patchPlugin is the configuration of a plugin that takes its patch from a path.
func patchPlugin(path string) string {
	return "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: patch}\ntarget: {kind: ConfigMap}\npath: " + path + "\n"
}

func TestBuild_ReachesNoNetwork(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: fetched}\n"))
	}))
	t.Cleanup(server.Close)
	url := server.URL + "/patch.yaml"
	inline := func(text string) string { return "|-\n  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") }
	for name, tc := range map[string]struct {
		kustomization string
		files         map[string]string
		says          string
	}{
		"a user and a slash":            {kustomization: "resources: ['git@localhost/org/repo']", says: "remote"},
		"a user and two slashes":        {kustomization: "resources: ['org-1@localhost/x//y']", says: "remote"},
		"a user and a line break":       {kustomization: `resources: ["git@localhost/x/y\n"]`, says: "remote"},
		"a scheme and a line break":     {kustomization: `bases: ["file:///tmp/x\n"]`, says: "remote"},
		"another scheme":                {kustomization: "components: ['git+ssh:x']", says: "remote"},
		"a plugin that is a repository": {kustomization: `transformers: ["git@localhost/x/y\n"]`, says: "remote"},
		"an inline plugin":              {kustomization: "transformers:\n- " + inline(patchPlugin(url)), says: "remote"},
		"an inline plugin in one line":  {kustomization: `transformers: ['{apiVersion: builtin, kind: PatchTransformer, metadata: {name: x}, path: "` + url + `"}']`, says: "remote"},
		"a file behind its name": {
			kustomization: "generators:\n- " + inline("apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: x}\nfiles: ['a="+url+"']"),
			says:          "remote",
		},
		"a plugin in a file": {kustomization: "transformers: [tr.yaml]", files: map[string]string{"deploy/tr.yaml": patchPlugin(url)}, says: "remote"},
		"a plugin in a list": {
			kustomization: "transformers: [tr.yaml]",
			files:         map[string]string{"deploy/tr.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: builtin, kind: PatchTransformer, metadata: {name: x}, path: '" + url + "'}\n"},
			says:          "remote",
		},
		"a plugin with a key twice":  {kustomization: "transformers: [tr.yaml]", files: map[string]string{"deploy/tr.yaml": patchPlugin(url) + "path: p.yaml\n"}},
		"a plugin in base64":         {kustomization: "transformers: [tr.yaml]", files: map[string]string{"deploy/tr.yaml": patchPlugin("!!binary " + base64.StdEncoding.EncodeToString([]byte(url)))}, says: "base64"},
		"a plugin in another folder": {kustomization: "transformers: [../tr.yaml]", files: map[string]string{"tr.yaml": patchPlugin(url)}, says: "remote"},
		"a plugin folder": {
			kustomization: "transformers: [tr]",
			files:         map[string]string{"deploy/tr/kustomization.yaml": "resources: [p.yaml]", "deploy/tr/p.yaml": patchPlugin(url)},
			says:          "is a folder",
		},
		"a plugin that a patch completes": {
			kustomization: "transformers: [../tr]",
			files: map[string]string{
				"tr/kustomization.yaml": "resources: [p.yaml]\nreplacements:\n- source: {kind: PatchTransformer, fieldPath: 'metadata.name'}\n  targets: [{select: {kind: PatchTransformer}, fieldPaths: [path]}]",
				"tr/p.yaml":             patchPlugin("x"),
			},
			says: "is a folder",
		},
		"a base behind a linked folder": {
			kustomization: "resources: [../link]",
			files: map[string]string{
				"link": "-> a/b", "a/b/kustomization.yaml": "resources: [../evil]",
				"a/evil/kustomization.yaml": "resources: ['" + url + "']", "evil/kustomization.yaml": "resources: []",
			},
			says: "a/evil/kustomization.yaml",
		},
		"a linked kustomization": {
			kustomization: "resources: [../base]",
			files:         map[string]string{"base/kustomization.yaml": "-> real.yaml", "base/real.yaml": "resources: ['" + url + "']"},
			says:          "base/kustomization.yaml is a link",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"deploy/kustomization.yaml": "configMapGenerator: [{name: a}]\n" + tc.kustomization + "\n"}
			maps.Copy(files, tc.files)
			objects, err := gitsource.Build(folder(t, files), "deploy", gitsource.Limits{})
			if err == nil {
				t.Fatalf("built %v", objects)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q doesn't say %q", err, tc.says)
			}
			if asked.Swap(0) > 0 {
				t.Error("the network was reached")
			}
		})
	}
}

func TestBuild_RunsPluginsThatAreThere(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\ntransformers: [tr.yaml]\ncommonAnnotations: {docs: 'https://example.com'}\n",
		"a.yaml":             named("a"), "tr.yaml": patchPlugin("patch.yaml"), "patch.yaml": strings.ReplaceAll(named("a"), `"1"`, `"2"`),
	})
	objects, err := gitsource.Build(dir, "./", gitsource.Limits{})
	if err != nil || len(objects) != 1 {
		t.Fatalf("built %v, %v", objects, err)
	}
	if got := objects[0].Object["data"].(map[string]any)["a"]; got != "2" {
		t.Errorf("a is %v, want what the plugin makes of it", got)
	}
}
