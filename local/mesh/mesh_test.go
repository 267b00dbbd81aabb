package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/mesh"
	"github.com/weighlock/weighlock/local/mesh/xds"
	"github.com/weighlock/weighlock/local/sandbox"
	"github.com/weighlock/weighlock/local/stack"
)

// running is the stack that the tests run in.
var running *stack.Stack

func TestMain(m *testing.M) {
	options := stack.Options{OtherProgram: true, WithoutWeighlock: true}
	err := stack.Run(context.Background(), options, func(_ context.Context, s *stack.Stack) error {
		running = s
		if m.Run() != 0 {
			return errors.New("tests failed")
		}
		return nil
	})
	var exit *sandbox.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(sandbox.ExitCode(err))
}

// version is a Deployment and Service of one version of the shop.
const version = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: VERSION, namespace: NAMESPACE}
spec:
  replicas: 2
  selector: {matchLabels: {version: VERSION}}
  template:
    metadata:
      labels: {app: shop, version: VERSION}
    spec:
      containers:
      - name: shop
        image: ghcr.io/weighlock/demo-shop:1
        args: [--version=VERSION]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: VERSION, namespace: NAMESPACE}
spec:
  selector: {version: VERSION}
  ports: [{name: http, port: 80, targetPort: http}]
---
`

const root = `
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: NAMESPACE}
spec:
  selector: {app: shop}
  ports: [{name: http, port: 80, targetPort: http}]
---
`

// shops starts two versions, one and two, behind one Service in a namespace of
// the test's own.
func shops(t *testing.T, namespace string) {
	t.Helper()
	// What a test asked for is not to be in force when it runs again.
	t.Cleanup(func() {
		path := "/apis/split.smi-spec.io/v1alpha4/namespaces/" + namespace + "/trafficsplits"
		if err := client(t).RESTClient().Delete().AbsPath(path).Do(context.WithoutCancel(t.Context())).Error(); err != nil {
			t.Errorf("delete the splits of %s: %v", namespace, err)
		}
	})
	manifest := "apiVersion: v1\nkind: Namespace\nmetadata: {name: NAMESPACE}\n---\n" + root
	for _, name := range []string{"one", "two"} {
		manifest += strings.ReplaceAll(version, "VERSION", name)
	}
	apply(t, namespace, manifest)
	eventually(t, "both versions to answer", func() error {
		seen := map[string]bool{}
		for range 20 {
			response, err := get(t.Context(), "http://"+host(namespace)+"/")
			if err != nil {
				return err
			}
			seen[response.Header.Get(load.VersionHeader)] = true
		}
		if !seen["one"] || !seen["two"] {
			return fmt.Errorf("seen %v", seen)
		}
		return nil
	})
}

func host(namespace string) string { return "shop." + namespace + ".svc." + address.ClusterDomain }

func apply(t *testing.T, namespace, manifest string) {
	t.Helper()
	if err := running.Apply(t.Context(), []byte(strings.ReplaceAll(manifest, "NAMESPACE", namespace))); err != nil {
		t.Fatal(err)
	}
}

// split asks for weights and waits until Envoy has taken them.
func split(t *testing.T, namespace string, one, two int) xds.Traffic {
	t.Helper()
	apply(t, namespace, fmt.Sprintf(`
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {name: shop, namespace: NAMESPACE}
spec:
  service: shop
  backends: [{service: one, weight: %d}, {service: two, weight: %d}]
`, one, two))
	var taken xds.Traffic
	eventually(t, fmt.Sprintf("%d:%d to be in force", one, two), func() error {
		route := route(t, namespace)
		if route.InForce == nil || route.InForce.Weights["one"] != uint32(one) || route.InForce.Weights["two"] != uint32(two) {
			return fmt.Errorf("in force %+v, pending %+v", route.InForce, route.Pending)
		}
		taken = *route.InForce
		return nil
	})
	return taken
}

func route(t *testing.T, namespace string) xds.RouteReport {
	t.Helper()
	report, err := mesh.ReadStatus(t.Context(), http.DefaultClient, address.MeshStatus) //nolint:forbidigo // a test
	if err != nil {
		t.Fatal(err)
	}
	found, _ := report.Route(namespace, "shop", 80)
	return found
}

func get(ctx context.Context, url string) (*http.Response, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return response, nil
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("waited for %s: %v", what, err)
}

// send sends requests for a while, or until the returned function is called.
func send(t *testing.T, namespace string, rate float64) (stop func() load.Stats) {
	t.Helper()
	generator, err := load.New(load.Options{URL: "http://" + host(namespace) + "/", Rate: rate})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- generator.Run(ctx) }()
	return func() load.Stats {
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return generator.Stats()
	}
}

func unharmed(t *testing.T, stats load.Stats) {
	t.Helper()
	if stats.Failed > 0 || stats.Dropped > 0 || stats.Sent == 0 {
		t.Errorf("%d of %d requests failed, %d were dropped: %+v", stats.Failed, stats.Sent, stats.Dropped, stats.Failures)
		// Envoy says why it answered in a version's place.
		for _, part := range []string{stack.PartEnvoy, stack.PartMesh, stack.PartNode} {
			if text, err := os.ReadFile(filepath.Join(running.Logs, part+".log")); err == nil {
				lines := strings.Split(string(text), "\n")
				t.Logf("the log of %s ends with\n%s", part, strings.Join(lines[max(0, len(lines)-100):], "\n"))
			}
		}
	}
}

func TestMesh_SplitsByWeight(t *testing.T) {
	t.Parallel()
	shops(t, "by-weight")
	split(t, "by-weight", 80, 20)
	stop := send(t, "by-weight", 200)
	time.Sleep(6 * time.Second)
	stats := stop()
	unharmed(t, stats)
	n, share := float64(stats.Sent), float64(stats.Version("two").Requests)/float64(stats.Sent)
	// Five standard deviations of chance.
	if off := 5 * math.Sqrt(0.2*0.8/n); math.Abs(share-0.2) > off {
		t.Errorf("version two answered %.3f of %.0f requests, want 0.2 within %.3f", share, n, off)
	}
}

func TestMesh_ChangesWeightsUnderLoadWithoutAFailure(t *testing.T) {
	t.Parallel()
	shops(t, "changing")
	split(t, "changing", 100, 0)
	stop := send(t, "changing", 200)
	for i := range 20 {
		split(t, "changing", 100-5*i, 5*i)
		time.Sleep(100 * time.Millisecond)
	}
	taken := split(t, "changing", 0, 100)
	time.Sleep(2 * time.Second)
	stats := stop()
	unharmed(t, stats)
	late := stats.Version("one").LastReply.Sub(taken.AcknowledgedAt)
	if late > time.Second {
		t.Errorf("version one still answered %v after Envoy had taken 0%%", late)
	}
}

func TestMesh_RollsADeploymentWithoutAFailure(t *testing.T) {
	t.Parallel()
	shops(t, "rolling")
	stop := send(t, "rolling", 100)
	manifest := strings.ReplaceAll(version, "VERSION", "one")
	apply(t, "rolling", strings.ReplaceAll(manifest, "--version=one", "--version=three"))
	eventually(t, "the new pods to answer alone", func() error {
		for range 20 {
			response, err := get(t.Context(), "http://"+host("rolling")+"/")
			if err != nil {
				return err
			}
			if got := response.Header.Get(load.VersionHeader); got == "one" {
				return errors.New("an old pod answers")
			}
		}
		return nil
	})
	time.Sleep(3 * time.Second)
	unharmed(t, stop())
}

func TestMesh_KeepsTheFormerRouteWhenABackendIsMissing(t *testing.T) {
	t.Parallel()
	shops(t, "missing")
	split(t, "missing", 1, 0)
	apply(t, "missing", `
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {name: shop, namespace: NAMESPACE}
spec:
  service: shop
  backends: [{service: one, weight: 1}, {service: nothing, weight: 1}]
`)
	stop := send(t, "missing", 50)
	time.Sleep(2 * time.Second)
	stats := stop()
	unharmed(t, stats)
	if got := route(t, "missing").InForce; got == nil || got.Weights["one"] != 1 || len(got.Weights) != 2 {
		t.Errorf("in force is %+v, want the former split", got)
	}
	if n := stats.Version("two").Requests; n > 0 {
		t.Errorf("version two answered %d requests, want none", n)
	}
}

func TestMesh_SaysWhenEnvoyHadTakenAChange(t *testing.T) {
	t.Parallel()
	shops(t, "taken")
	split(t, "taken", 3, 1)
	before := time.Now()
	taken := split(t, "taken", 1, 3)
	if at := taken.AcknowledgedAt; at.Before(before) || at.After(time.Now()) {
		t.Errorf("acknowledged at %v, want between %v and now", at, before)
	}
	history := route(t, "taken").History
	if len(history) < 2 || history[len(history)-1].Weights["two"] != 3 || history[len(history)-2].Weights["two"] != 1 {
		t.Errorf("the history is %+v, want it to end with both splits", history)
	}
}
