package smi_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/internal/apiservertest"
)

// The real API server that all tests of this package share. It starts without SMI's CRDs.
var (
	config *rest.Config
	server client.Client
	scheme = runtime.NewScheme()
)

func TestMain(m *testing.M) {
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
	apiservertest.Main(m, apiservertest.Options{}, func(started *apiservertest.Server) (err error) {
		config = started.Config
		server, err = client.New(config, client.Options{Scheme: scheme})
		return err
	})
}

// installSMI brings SMI's CRDs, TrafficSplit and HTTPRouteGroup, into the cluster until the test ends, as the changes make them.
func installSMI(tb testing.TB, changes ...func(splits, groups *apiextensionsv1.CustomResourceDefinition)) {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "local", "crds", "smi.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	crds := make([]*apiextensionsv1.CustomResourceDefinition, 2)
	for i, text := range strings.Split(string(data), "\n---\n") {
		crds[i] = &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal([]byte(text), crds[i]); err != nil {
			tb.Fatalf("read SMI's CRDs: %v", err)
		}
	}
	for _, change := range changes {
		change(crds[0], crds[1])
	}
	crds, err = envtest.InstallCRDs(config, envtest.CRDInstallOptions{CRDs: crds})
	if err != nil {
		tb.Fatalf("install SMI's CRDs: %v", err)
	}
	tb.Cleanup(func() {
		if err := envtest.UninstallCRDs(config, envtest.CRDInstallOptions{CRDs: crds}); err != nil {
			tb.Errorf("remove SMI's CRDs: %v", err)
		}
		eventually(tb, "the CRDs to be gone", func() error {
			for _, crd := range crds {
				if err := server.Get(context.Background(), client.ObjectKeyFromObject(crd), &apiextensionsv1.CustomResourceDefinition{}); err == nil {
					return fmt.Errorf("CRD %s is still there", crd.Name)
				}
			}
			return nil
		})
	})
}

// serve has a CRD serve only some versions, and store the first of them.
func serve(crd *apiextensionsv1.CustomResourceDefinition, names ...string) {
	for i := range crd.Spec.Versions {
		version := &crd.Spec.Versions[i]
		version.Served = slices.Contains(names, version.Name)
		version.Storage = version.Name == names[0]
	}
}

// startCache runs a cache until the test ends.
func startCache(tb testing.TB, config *rest.Config) cache.Cache {
	tb.Helper()
	informers, err := cache.New(config, cache.Options{Scheme: scheme})
	if err != nil {
		tb.Fatalf("make a cache: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- informers.Start(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("the cache ended with an error: %v", err)
		}
	})
	return informers
}

// newMapper is a mapper as managers have it.
func newMapper(tb testing.TB, config *rest.Config) meta.RESTMapper {
	tb.Helper()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		tb.Fatalf("make an HTTP client: %v", err)
	}
	m, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	if err != nil {
		tb.Fatalf("make a mapper: %v", err)
	}
	return m
}

func newNamespace(tb testing.TB) string {
	tb.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := server.Create(tb.Context(), namespace); err != nil {
		tb.Fatalf("create a namespace: %v", err)
	}
	return namespace.Name
}

// eventually tries check until it succeeds, for 15 seconds.
func eventually(tb testing.TB, what string, check func() error) {
	tb.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			tb.Fatalf("waited in vain for %s: %v", what, err)
		case <-tick.C:
		}
	}
}
