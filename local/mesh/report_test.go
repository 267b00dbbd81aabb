package mesh_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/local/load"
)

func TestMesh_TakesAChangeToEnvoyAtOnce(t *testing.T) {
	t.Parallel()
	const namespace = "quick"
	shops(t, namespace)
	split(t, namespace, 100, 0)
	var took []time.Duration
	for i := range 9 {
		begun := time.Now()
		taken := split(t, namespace, 90-i, 10+i)
		took = append(took, taken.AcknowledgedAt.Sub(begun))
	}
	slices.Sort(took)
	t.Logf("from before the write to the acknowledgement: median %v, all %v", took[4], took)
	// Tens of milliseconds on an idle machine, which this is not. What polls would take longer.
	if took[4] > 2*time.Second {
		t.Errorf("the median change took %v", took[4])
	}
}

func TestMesh_TellsOfASplitThatIsNotAppliedByAnEvent(t *testing.T) {
	t.Parallel()
	const namespace = "telling"
	shops(t, namespace)
	apply(t, namespace, `
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {name: shop, namespace: NAMESPACE}
spec:
  service: shop
  backends: [{service: nothing, weight: 1}]
`)
	eventually(t, "the event", func() error {
		events, err := client(t).CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=TrafficSplit,involvedObject.name=shop"})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Type == corev1.EventTypeWarning && e.Reason == "NotApplied" && strings.Contains(e.Message, `"nothing" does not exist`) {
				return nil
			}
		}
		return fmt.Errorf("%d other events", len(events.Items))
	})
	if _, err := get(t.Context(), "http://"+host(namespace)+"/"); err != nil {
		t.Errorf("users are not served: %v", err)
	}
}

func TestMesh_CountsRequestsWhoseConnectionIsRefused(t *testing.T) {
	t.Parallel()
	const namespace = "refused"
	shops(t, namespace)
	// Nobody listens on the port that the Service names.
	apply(t, namespace, `
apiVersion: v1
kind: Service
metadata: {name: deaf, namespace: NAMESPACE}
spec:
  selector: {version: two}
  ports: [{name: http, port: 80, targetPort: 9}]
---
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {name: shop, namespace: NAMESPACE}
spec:
  service: shop
  backends: [{service: deaf, weight: 1}]
`)
	eventually(t, "the split to be in force", func() error {
		if f := route(t, namespace).InForce; f == nil || f.Weights["deaf"] != 1 {
			return errors.New("it is not")
		}
		return nil
	})
	generator, err := load.New(load.Options{URL: "http://" + host(namespace) + "/", Rate: 50, Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := generator.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	stats := generator.Stats()
	if stats.FailedOnTheWay != stats.Sent || stats.Sent == 0 {
		t.Errorf("%d of %d requests failed on the way, want all", stats.FailedOnTheWay, stats.Sent)
	}
	if got := envoyCount(t, "envoy_cluster_external_upstream_rq", cluster(namespace, "deaf", "503")); got != float64(stats.Sent) {
		t.Errorf("Envoy counts %v errors of users' requests, want %d", got, stats.Sent)
	}
	if got := envoyCount(t, "envoy_cluster_upstream_cx_connect_fail", `envoy_cluster_name="`+namespace+`/deaf/80"`); got == 0 {
		t.Error("Envoy counts no failed connection")
	}
}

func TestMesh_ReadsWhatWasWrittenInTheOldestVersion(t *testing.T) {
	t.Parallel()
	const namespace = "oldest"
	shops(t, namespace)
	apply(t, namespace, `
apiVersion: split.smi-spec.io/v1alpha1
kind: TrafficSplit
metadata: {name: shop, namespace: NAMESPACE}
spec:
  service: shop
  backends: [{service: one, weight: 900m}, {service: two, weight: "0.1"}]
`)
	eventually(t, "the split to be in force", func() error {
		if f := route(t, namespace).InForce; f == nil || f.Weights["one"] != 900 || f.Weights["two"] != 100 {
			return fmt.Errorf("in force is %+v", f)
		}
		return nil
	})
}
