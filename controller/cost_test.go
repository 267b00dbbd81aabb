package controller_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/controller"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/workload"
)

// meter counts the calls to the API server, watches apart.
type meter struct {
	next http.RoundTripper

	mu    sync.Mutex
	calls map[string]int
}

// RoundTrip passes a request on.
func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.Contains(r.URL.RawQuery, "watch=true") {
		m.mu.Lock()
		if m.calls == nil {
			m.calls = map[string]int{}
		}
		m.calls[r.Method+" "+r.URL.Path]++
		m.mu.Unlock()
	}
	return m.next.RoundTrip(r)
}

// since lists the calls since the last time that it was asked.
func (m *meter) since() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var calls []string
	for _, call := range slices.Sorted(maps.Keys(m.calls)) {
		calls = append(calls, fmt.Sprintf("%d x %s", m.calls[call], call))
	}
	m.calls = nil
	return calls
}

// looks counts by Rollout how often a workload was looked at.
type looks struct {
	workload.Adapter
	mu     sync.Mutex
	counts map[string]int
}

// Observe counts, and observes.
func (l *looks) Observe(ctx context.Context, ref workload.Reference) (*workload.Observation, error) {
	l.mu.Lock()
	l.counts[ref.Rollout]++
	l.mu.Unlock()
	return l.Adapter.Observe(ctx, ref)
}

func (l *looks) of(rollout string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[rollout]
}

// counted is a namespace whose controller is counted, run by a manager as cmd/weighlock does.
type counted struct {
	*shop
	meter   *meter
	looks   *looks
	changes chan event.GenericEvent
	measure measurements
}

// measurements are what a provider of metrics says next.
type measurements struct{}

// few are scrapes of one stream.
type few struct {
	last     time.Time
	requests int
}

// Open begins a stream of a few requests without errors: too few for a verdict.
func (measurements) Open(query analysis.Query) (analysis.Stream, error) {
	return &few{last: query.Since.Add(-time.Second)}, nil
}

// Next has no candidate's request after the first ones.
func (f *few) Next(_ context.Context, until time.Time) ([]analysis.Block, error) {
	if !until.After(f.last) {
		return nil, nil
	}
	block := analysis.Block{From: f.last, At: until, Paired: true, Incumbent: analysis.Counts{Requests: 9}}
	f.last = until
	if f.requests++; f.requests < 5 {
		block.Candidate.Requests = 1
	}
	return []analysis.Block{block}, nil
}

// Evaluate is not asked of it.
func (measurements) Evaluate(context.Context, analysis.Evaluation) ([]analysis.Sample, error) {
	return nil, nil
}

func newCounted(t *testing.T, resync time.Duration) *counted {
	t.Helper()
	c := &counted{shop: newShop(t), meter: &meter{}, looks: &looks{counts: map[string]int{}}, changes: make(chan event.GenericEvent, 100)}
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	installed.Do(func() { installSMI(t); installPolicy(t) })
	c.rollout.Spec.Analysis = &v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{SLO: "99"}, Interval: &metav1.Duration{Duration: time.Second}}
	c.rollout.Spec.Router[0].SMI.Settle = &metav1.Duration{Duration: time.Millisecond}
	runRollouts(t, c.namespace, wiring{
		meter: c.meter, looks: c.looks, provider: c.measure, changes: c.changes, resync: resync,
	})
	liveCluster(t, c.namespace)
	return c
}

// TestCost_AStepThatWaitsCostsNothing has a Rollout wait in a step, looked at again and again: because a verdict changes, pods come
// and go, and caches are gone through. That is neither a read nor a write.
func TestCost_AStepThatWaitsCostsNothing(t *testing.T) {
	t.Parallel()
	c := newCounted(t, time.Second)
	l := &lab{namespace: c.namespace, history: newHistory()}
	l.commit(t, "v1")
	c.createService(t, map[string]string{"app": "shop"})
	c.Expect(quickClient.Create(t.Context(), c.rollout)).To(Succeed())
	c.reaches(t, func(g Gomega, obj *v1alpha1.Rollout) { g.Expect(obj.Status.State).To(Equal(v1alpha1.StateIdle)) })
	l.commit(t, "v2")
	c.reaches(t, func(g Gomega, obj *v1alpha1.Rollout) {
		g.Expect(obj.Status.State).To(Equal(v1alpha1.StateWaiting))
		g.Expect(obj.Status.Verdict).NotTo(BeNil())
	})
	c.Eventually(func() int { return len(c.meter.since()) }, "20s", "2s").Should(BeZero(), "it comes to rest")

	before := c.looks.of("shop")
	for range 5 {
		c.changes <- controller.ChangeOf(c.namespace + "/shop")
		c.touchPods(t, "shop")
		time.Sleep(500 * time.Millisecond)
	}
	c.Expect(c.looks.of("shop")-before).To(BeNumerically(">=", 10), "it is looked at again and again")
	c.Expect(c.meter.since()).To(BeEmpty(), "calls of a Rollout that waits")
}

// reaches waits until the Rollout is as wanted.
func (s *shop) reaches(t *testing.T, wanted func(Gomega, *v1alpha1.Rollout)) {
	t.Helper()
	s.Eventually(func(g Gomega) { wanted(g, s.get(t.Context())) }).WithTimeout(30 * time.Second).WithPolling(50 * time.Millisecond).Should(Succeed())
}

// touchPods has the EndpointSlices of a workload change in what does not matter.
func (c *counted) touchPods(t *testing.T, app string) {
	t.Helper()
	var slices discoveryv1.EndpointSliceList
	c.Expect(quickClient.List(t.Context(), &slices, client.InNamespace(c.namespace))).To(Succeed())
	c.Expect(slices.Items).NotTo(BeEmpty())
	for i := range slices.Items {
		if !strings.HasPrefix(slices.Items[i].Name, app) {
			continue
		}
		patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"at":"%d"}}}`, time.Now().UnixNano()))
		c.Expect(quickClient.Patch(t.Context(), &slices.Items[i], patch)).To(Succeed())
	}
}

// TestCost_AnEventConcernsItsRolloutOnly has something of one Rollout change, and another Rollout of the namespace is not looked at.
func TestCost_AnEventConcernsItsRolloutOnly(t *testing.T) {
	t.Parallel()
	c := newCounted(t, 0)
	l := &lab{namespace: c.namespace, history: newHistory()}
	l.commit(t, "v1")
	c.createService(t, map[string]string{"app": "shop"})
	other := c.rollout.DeepCopy()
	other.Name, other.Spec.Workload.Name, other.Spec.Service.Name = "cart", "cart", "cart"
	cart := workloadOf(c.namespace, "v1")
	cart.Name = "cart"
	cart.Spec.Selector.MatchLabels = map[string]string{"app": "cart"}
	cart.Spec.Template.Labels = map[string]string{"app": "cart"}
	c.Expect(quickClient.Create(t.Context(), cart)).To(Succeed())
	c.Expect(quickClient.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "cart", Namespace: c.namespace},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "cart"}, Ports: []corev1.ServicePort{{Port: 80}}},
	})).To(Succeed())
	for _, obj := range []*v1alpha1.Rollout{c.rollout, other} {
		c.Expect(quickClient.Create(t.Context(), obj)).To(Succeed())
		s := &shop{WithT: c.WithT, namespace: c.namespace, rollout: obj}
		s.reaches(t, func(g Gomega, obj *v1alpha1.Rollout) {
			g.Expect(obj.Status.State).To(Equal(v1alpha1.StateIdle), "%s waits for %s", obj.Name, obj.Status.WaitingFor)
		})
	}
	c.Eventually(func() int { return len(c.meter.since()) }, "20s", "2s").Should(BeZero(), "they come to rest")

	shop, cartBefore := c.looks.of("shop"), c.looks.of("cart")
	for range 3 {
		c.touchPods(t, "cart")
		time.Sleep(200 * time.Millisecond)
	}
	c.Eventually(func() int { return c.looks.of("cart") }).Should(BeNumerically(">", cartBefore))
	c.Expect(c.looks.of("shop")).To(Equal(shop), "what happens to another workload is no concern of it")
	c.Expect(c.meter.since()).To(BeEmpty())
}

// TestCost_AStepIsThreeWrites counts what is written from one step to the next, where the candidate keeps its size: the route, the
// status, and an event.
func TestCost_AStepIsThreeWrites(t *testing.T) {
	t.Parallel()
	s := scenario{
		spec:   func(spec *v1alpha1.RolloutSpec) { spec.Steps = weights(1, 2, 3, 4, 5) },
		events: []occasion{commit(idle, "v2")}, until: runs("v2"),
	}
	l := newLab(t, s)
	l.running = l.start(t, "weighlock", 0)
	l.play(t, s)
	var writes []string
	step := -1
	for _, e := range l.history.entries {
		if e.kind == trafficSplits && e.obj != nil {
			progress, err := rollout.ParseProgress(e.obj.GetAnnotations()[v1alpha1.AnnotationProgress])
			if err != nil {
				t.Fatal(err)
			}
			if step >= 0 && (progress.Phase != rollout.PhaseStep || progress.Step != step) && step < len(l.rollout.Spec.Steps)-1 {
				if len(writes) > 2 {
					t.Errorf("step %d took these writes, and an event: %s", step, strings.Join(writes, ", "))
				}
			}
			if progress.Phase == rollout.PhaseStep && progress.Step != step {
				step, writes = progress.Step, nil
			}
		}
		if e.by == "weighlock" {
			text := e.kind.Kind
			if e.obj != nil {
				state, _, _ := unstructured.NestedString(e.obj.Object, "status", "state")
				text += " " + state
			}
			writes = append(writes, text)
		}
	}
	if step < 0 {
		t.Fatal("no step was seen")
	}
}
