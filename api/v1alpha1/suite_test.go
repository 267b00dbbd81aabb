package v1alpha1_test

import (
	"context"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/internal/apiservertest"
)

// The CRDs as they are installed.
const crdFolder = "../../crds"

// The API server that all tests of this package ask.
var (
	serverConfig *rest.Config
	server       client.Client
)

func TestMain(m *testing.M) {
	apiservertest.Main(m, apiservertest.Options{CRDs: true}, func(started *apiservertest.Server) (err error) {
		scheme := runtime.NewScheme()
		if err := v1alpha1.AddToScheme(scheme); err != nil {
			return err
		}
		serverConfig = started.Config
		server, err = client.New(serverConfig, client.Options{Scheme: scheme})
		return err
	})
}

// fragment reads a piece of YAML.
func fragment(t *testing.T, text string) map[string]any {
	t.Helper()
	content := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		t.Fatalf("reading %q: %v", text, err)
	}
	return content
}

// merge lays changes over base: maps are merged, null removes, all else replaces.
func merge(base, changes map[string]any) map[string]any {
	for key, change := range changes {
		inner, isMap := change.(map[string]any)
		present, wasMap := base[key].(map[string]any)
		switch {
		case change == nil:
			delete(base, key)
		case isMap && wasMap:
			base[key] = merge(present, inner)
		default:
			base[key] = change
		}
	}
	return base
}

// object is a valid object with the changes laid over its spec.
func object(t *testing.T, valid, changes string) *unstructured.Unstructured {
	t.Helper()
	content := fragment(t, valid)
	spec, _ := content["spec"].(map[string]any)
	content["spec"] = merge(spec, fragment(t, changes))
	built := &unstructured.Unstructured{Object: content}
	built.SetNamespace(metav1.NamespaceDefault)
	return built
}

// admit asks the server whether it would take an object, and leaves nothing behind.
func admit(ctx context.Context, candidate *unstructured.Unstructured) error {
	return server.Create(ctx, candidate, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

// crdFiles are the generated CRDs.
func crdFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(crdFolder, "weighlock.dev_*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs in %s (%v)", crdFolder, err)
	}
	return files
}
