package controller_test

import (
	"context"
	"flag"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/internal/apiservertest"
	"github.com/weighlock/weighlock/workload/deployment"
)

// The real API server that all tests of this package share. It has Weighlock's CRDs, and
// no controller manager: nothing but the tests and the reconcilers under test acts in it.
var (
	server     *apiservertest.Server
	testClient client.Client
	testScheme = kruntime.NewScheme()
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Whole rollouts wait for the API server most of the time.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	if testing.Verbose() {
		log.SetLogger(zap.New(zap.UseDevMode(true), zap.WriteTo(os.Stderr)))
	} else {
		log.SetLogger(zap.New(zap.WriteTo(discard{})))
	}
	utilruntime.Must(clientgoscheme.AddToScheme(testScheme))
	utilruntime.Must(v1alpha1.AddToScheme(testScheme))
	// Each rollout takes a few addresses of Services, and none is given back.
	options := apiservertest.Options{CRDs: true, ServiceRange: "10.96.0.0/16"}
	apiservertest.Main(m, options, func(started *apiservertest.Server) (err error) {
		server = started
		testClient, err = client.New(started.Config, client.Options{Scheme: testScheme})
		return err
	})
}

// discard is where the controllers' logs go unless -v is given.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// newNamespace makes a namespace that no other test uses. It is not removed: nothing
// in the test's cluster would finish its deletion.
func newNamespace(tb testing.TB) string {
	tb.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := testClient.Create(tb.Context(), namespace); err != nil {
		tb.Fatalf("create a namespace: %v", err)
	}
	return namespace.Name
}

// startManager runs a manager that sees one namespace, with the controllers that setup
// adds to it, until the test ends.
func startManager(t *testing.T, namespace string, w wiring, setup func(ctrl.Manager) error) {
	t.Helper()
	skip := true
	settings := rest.CopyConfig(server.Config)
	if w.meter != nil {
		settings.Wrap(func(next http.RoundTripper) http.RoundTripper {
			w.meter.next = next
			return w.meter
		})
	}
	cached := cache.Options{ByObject: deployment.ByObject(), DefaultNamespaces: map[string]cache.Config{namespace: {}}}
	if w.resync > 0 {
		cached.SyncPeriod = &w.resync
	}
	mgr, err := ctrl.NewManager(settings, ctrl.Options{
		Scheme:                  testScheme,
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		Cache:                   cached,
		Client:                  client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Controller:              config.Controller{SkipNameValidation: &skip},
		GracefulShutdownTimeout: new(10 * time.Second),
	})
	if err != nil {
		t.Fatalf("make a manager: %v", err)
	}
	if err := setup(mgr); err != nil {
		t.Fatalf("set up the controllers: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the manager ended with an error: %v", err)
		}
	})
	if !mgr.GetCache().WaitForCacheSync(t.Context()) {
		t.Fatal("the caches did not sync")
	}
}
