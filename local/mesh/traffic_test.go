package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/load"
)

// apps are the two versions' Deployments with a number of replicas, as one
// string of manifests.
func apps(replicas int, names ...string) string {
	var out strings.Builder
	for _, name := range names {
		deployment, _, _ := strings.Cut(version, "---")
		out.WriteString(strings.NewReplacer("VERSION", name, "replicas: 2", fmt.Sprintf("replicas: %d", replicas)).Replace(deployment) + "---\n")
	}
	return out.String()
}

func client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	out, err := kubernetes.NewForConfig(running.Config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// remove deletes an object of the given API path.
func remove(t *testing.T, path string) {
	t.Helper()
	if err := client(t).RESTClient().Delete().AbsPath(path).Do(t.Context()).Error(); err != nil {
		t.Fatalf("delete %s: %v", path, err)
	}
}

// envoyCount adds up all of Envoy's counters of that name whose labels match
// the expression.
func envoyCount(t *testing.T, name, labels string) float64 {
	t.Helper()
	sum := 0.0
	line := regexp.MustCompile(`^` + name + `\{` + labels + `\} ([0-9.e+]+)$`)
	for l := range strings.SplitSeq(metrics(t, "http://"+address.EnvoyAdmin+"/stats/prometheus"), "\n") {
		if found := line.FindStringSubmatch(l); found != nil {
			n, err := strconv.ParseFloat(found[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

func metrics(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cluster is a Prometheus label matcher, with any response code.
func cluster(namespace, service, code string) string {
	return `envoy_response_code="` + code + `",envoy_cluster_name="` + namespace + `/` + service + `/80"`
}

func TestMesh_CountsUsersRequestsAndMirroredOnesApart(t *testing.T) {
	t.Parallel()
	const namespace = "mirroring"
	shops(t, namespace)
	split(t, namespace, 1, 0)
	apply(t, namespace, `
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata:
  name: shop
  namespace: NAMESPACE
  annotations: {weighlock.dev/mirror: '{"service": "two", "percent": 50}'}
spec:
  service: shop
  backends: [{service: one, weight: 1}, {service: two, weight: 0}]
`)
	eventually(t, "the mirror to be in force", func() error {
		if f := route(t, namespace).InForce; f == nil || f.Mirror != "two" || f.MirrorPercent != 50 {
			return fmt.Errorf("in force is %+v", f)
		}
		return nil
	})
	users := func(service string) float64 {
		return envoyCount(t, "envoy_cluster_external_upstream_rq", cluster(namespace, service, "200"))
	}
	copies := func(service string) float64 {
		return envoyCount(t, "envoy_cluster_internal_upstream_rq", cluster(namespace, service, "200"))
	}
	one, two, oneCopied, copied := users("one"), users("two"), copies("one"), copies("two")
	stop := send(t, namespace, 200)
	time.Sleep(3 * time.Second)
	stats := stop()
	unharmed(t, stats)
	if n := stats.Version("two").Requests; n > 0 {
		t.Errorf("%d users got the reply to a copy", n)
	}
	eventually(t, "the last copies", func() error {
		n := float64(stats.Sent)
		if got := users("one") - one; got != n {
			return fmt.Errorf("%v users' requests were counted for one, want %v", got, n)
		}
		if got := copies("two") - copied; math.Abs(got-n/2) > 5*math.Sqrt(n/4) {
			return fmt.Errorf("%v copies of %v were counted for two, want half", got, n)
		}
		return nil
	})
	if got := users("two") - two; got != 0 {
		t.Errorf("%v copies were counted as users' requests", got)
	}
	if got := copies("one") - oneCopied; got != 0 {
		t.Errorf("%v users' requests were counted as copies", got)
	}
}

func TestMesh_SendsMatchedRequestsOnlyToTheSplit(t *testing.T) {
	t.Parallel()
	const namespace = "matching"
	shops(t, namespace)
	// The root's own pods are those of version one.
	apply(t, namespace, strings.ReplaceAll(root, "app: shop", "version: one")+`
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: pilots, namespace: NAMESPACE}
spec: {matches: [{name: tenant, headers: [{x-tenant: "^(?:acme)$"}]}]}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: shop, namespace: NAMESPACE}
spec:
  service: shop
  backends: [{service: one, weight: 0}, {service: two, weight: 1}]
  matches: [{kind: HTTPRouteGroup, name: pilots}]
`)
	eventually(t, "the match to be in force", func() error {
		if f := route(t, namespace).InForce; f == nil || !slices.Equal(f.Matches, []string{"header x-tenant ^(?:acme)$"}) {
			return fmt.Errorf("in force is %+v", f)
		}
		response, err := get(t.Context(), "http://"+host(namespace)+"/")
		if err != nil {
			return err
		}
		if v := response.Header.Get(load.VersionHeader); v != "one" {
			return fmt.Errorf("version %s answers the unmatched", v)
		}
		return nil
	})
	// The former pods of the root are gone from it with the next endpoints.
	time.Sleep(500 * time.Millisecond)
	generator, err := load.New(load.Options{
		URL: "http://" + host(namespace) + "/", Rate: 200, Duration: 2 * time.Second,
		Tenants: []load.Tenant{{Name: "acme", Share: 0.3}, {Name: "acme-2", Share: 0.3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := generator.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	stats := generator.Stats()
	unharmed(t, stats)
	for _, total := range stats.Totals {
		if want := map[bool]string{true: "two", false: "one"}[total.Tenant == "acme"]; total.Version != want {
			t.Errorf("version %s answered %d requests of tenant %q, want %s", total.Version, total.Count, total.Tenant, want)
		}
	}
	if stats.Version("two").Requests == 0 {
		t.Error("no request of the tenant was sent")
	}
}

func TestMesh_LosesNoRequestWhenPodsComeAndGo(t *testing.T) {
	t.Parallel()
	const namespace = "scaling"
	shops(t, namespace)
	split(t, namespace, 1, 1)
	stop := send(t, namespace, 200)
	for _, replicas := range []int{4, 1, 3, 1} {
		apply(t, namespace, apps(replicas, "one", "two"))
		time.Sleep(2500 * time.Millisecond)
	}
	unharmed(t, stop())
}

func TestMesh_LosesNoRequestWhenABackendIsRemovedWithTheWriteThatLeavesIt(t *testing.T) {
	t.Parallel()
	const namespace = "removing"
	shops(t, namespace)
	split(t, namespace, 1, 1)
	stop := send(t, namespace, 200)
	time.Sleep(time.Second)
	apply(t, namespace, `
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {name: shop, namespace: NAMESPACE}
spec:
  service: shop
  backends: [{service: one, weight: 1}]
`)
	remove(t, "/api/v1/namespaces/"+namespace+"/services/two")
	remove(t, "/apis/apps/v1/namespaces/"+namespace+"/deployments/two")
	cluster := namespace + "/two/80::"
	time.Sleep(time.Second)
	if !strings.Contains(metrics(t, "http://"+address.EnvoyAdmin+"/clusters"), cluster) {
		t.Error("the cluster went at once, want it to stay until its requests have ended")
	}
	// Longer than the drain.
	time.Sleep(11 * time.Second)
	if strings.Contains(metrics(t, "http://"+address.EnvoyAdmin+"/clusters"), cluster) {
		t.Error("the cluster is still there, want it to be gone once drained")
	}
	unharmed(t, stop())
}

func TestMesh_ACandidateGetsNothingBeforeItCanAnswer(t *testing.T) {
	t.Parallel()
	const namespace = "arriving"
	shops(t, namespace)
	split(t, namespace, 1, 0)
	stop := send(t, namespace, 200)
	// The Service, and the split that names it, come in the same moment; the
	// pods have been there for long.
	apply(t, namespace, `
apiVersion: v1
kind: Service
metadata: {name: late, namespace: NAMESPACE}
spec:
  selector: {version: two}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {name: shop, namespace: NAMESPACE}
spec:
  service: shop
  backends: [{service: one, weight: 1}, {service: late, weight: 1}]
`)
	eventually(t, "the late Service to get requests", func() error {
		if f := route(t, namespace).InForce; f == nil || f.Weights["late"] != 1 {
			return fmt.Errorf("in force is %+v", f)
		}
		return nil
	})
	time.Sleep(time.Second)
	stats := stop()
	unharmed(t, stats)
	if stats.Version("two").Requests == 0 {
		t.Error("the late Service got no request")
	}
}

func TestMesh_RepliesThatEnvoyMadeAreNotTheVersions(t *testing.T) {
	t.Parallel()
	const namespace = "empty"
	shops(t, namespace)
	split(t, namespace, 0, 1)
	apply(t, namespace, apps(0, "two"))
	eventually(t, "version two to be gone", func() error {
		if _, err := get(t.Context(), "http://"+host(namespace)+"/"); err == nil {
			return errors.New("it still answers")
		}
		return nil
	})
	generator, err := load.New(load.Options{URL: "http://" + host(namespace) + "/", Rate: 50, Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	before := envoyCount(t, "envoy_cluster_upstream_cx_none_healthy", `envoy_cluster_name="`+namespace+`/two/80"`)
	if err := generator.Run(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	stats := generator.Stats()
	if stats.FailedOnTheWay != stats.Sent || stats.FailedByVersion != 0 || stats.Sent == 0 {
		t.Errorf("%d requests failed on the way and %d by a version, want all %d on the way", stats.FailedOnTheWay, stats.FailedByVersion, stats.Sent)
	}
	if got := envoyCount(t, "envoy_cluster_upstream_cx_none_healthy", `envoy_cluster_name="`+namespace+`/two/80"`) - before; got != float64(stats.Sent) {
		t.Errorf("Envoy counts %v requests without an endpoint, want %d", got, stats.Sent)
	}
}
