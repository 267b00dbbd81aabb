package controller_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/controller"
	"github.com/weighlock/weighlock/decision"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/workload/deployment"
)

// quickClient is a client without a limit of calls per second.
var quickClient client.WithWatch

// lab is a namespace in which one Rollout is driven, step by step, through a scenario: the reconciler on the real API server, with
// a clock and caches that the test holds in its hands.
type lab struct {
	namespace string
	rollout   *v1alpha1.Rollout
	history   *history
	world     world
	clock     *clocktesting.FakeClock
	// without says that the cluster has no policy that holds workloads.
	without bool
	// bad says which images fail, and from which step on.
	bad    map[string]int32
	step   atomic.Int32
	images sync.Map // by the Service of their copy's track
	// steps are what candidates do in each step, by their Service and when it began.
	steps sync.Map
	// begin is the place in the history where the Rollout is made; caches show all before it.
	begin int
	// running is the controller, and again makes the next one when it has died.
	running *process
	again   func() *process
	// beside is another controller that acts at the same time; nil for none.
	beside *process
}

var (
	rollouts      = schema.GroupKind{Group: "weighlock.dev", Kind: "Rollout"}
	trafficSplits = schema.GroupKind{Group: "split.smi-spec.io", Kind: "TrafficSplit"}
)

// installed is done once SMI and the admission policy that holds workloads are in the cluster.
var installed sync.Once

var prepare = sync.OnceValue(func() error {
	config := *server.Config
	config.QPS = -1
	var err error
	quickClient, err = client.NewWithWatch(&config, client.Options{Scheme: testScheme})
	return err
})

// newLab makes a namespace in which a shop runs, and a Rollout for it that no controller has seen.
func newLab(t *testing.T, s scenario) *lab {
	t.Helper()
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	installed.Do(func() { installSMI(t); installPolicy(t) })
	l := &lab{
		namespace: newNamespace(t), history: newHistory(), without: s.without, bad: s.bad,
		clock: clocktesting.NewFakeClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)),
	}
	l.world = world{lab: l}
	if err := l.policy(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.rollout = &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: l.namespace},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Name: "shop"},
			Service:  v1alpha1.ServiceReference{Name: "shop", Port: 80},
			Router:   []v1alpha1.RouterSpec{{SMI: &v1alpha1.SMIRouter{}}},
			Steps:    weights(10, 50),
		},
	}
	if s.spec != nil {
		s.spec(&l.rollout.Spec)
	}
	l.commit(t, "v1")
	l.create(t, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: l.namespace},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "shop"},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	})
	for moved := true; moved; {
		moved = l.turn(t)
	}
	l.create(t, l.rollout)
	l.begin = len(l.history.entries)
	return l
}

// weights are steps of a minute each.
func weights(all ...int32) []v1alpha1.Step {
	var steps []v1alpha1.Step
	for _, weight := range all {
		steps = append(steps, v1alpha1.Step{Weight: new(weight), Hold: &metav1.Duration{Duration: time.Minute}})
	}
	return steps
}

// policy puts the admission policies into the history.
func (l *lab) policy(ctx context.Context) error {
	for kind, name := range map[string]string{
		"MutatingAdmissionPolicy": "weighlock-hold", "MutatingAdmissionPolicyBinding": "weighlock-hold",
		"ValidatingAdmissionPolicy": controller.DecisionPolicy, "ValidatingAdmissionPolicyBinding": controller.DecisionPolicy,
	} {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("admissionregistration.k8s.io/v1")
		u.SetKind(kind)
		u.SetName(name)
		if err := l.note(ctx, "user", u); err != nil {
			return err
		}
	}
	return nil
}

// installPolicy puts the policies that hold workloads and that check decisions into the test's cluster.
func installPolicy(tb testing.TB) {
	tb.Helper()
	if err := errors.Join(server.InstallHold(tb.Context()), server.InstallDecisionCheck(tb.Context())); err != nil {
		tb.Fatal(err)
	}
}

func (l *lab) create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := quickClient.Create(t.Context(), obj); err != nil {
		t.Fatalf("create %s: %v", obj.GetName(), err)
	}
	l.noted(t, obj)
}

func (l *lab) noted(t *testing.T, obj client.Object) {
	t.Helper()
	if err := l.note(t.Context(), "user", obj); err != nil {
		t.Fatal(err)
	}
}

func workloadOf(namespace, image string) *appsv1.Deployment {
	labels := map[string]string{"app": "shop"}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: namespace},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: image}}},
			},
		},
	}
}

// commit applies the workload as git has it: with an image, and two replicas unless people scale it.
func (l *lab) commit(t *testing.T, image string) {
	t.Helper()
	d := workloadOf(l.namespace, image)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "spec", "strategy")
	if err := quickClient.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("git")); err != nil {
		t.Fatalf("commit %s: %v", image, err)
	}
	l.noted(t, u)
	template, _, _ := unstructured.NestedMap(u.Object, "spec", "template")
	revision, err := deployment.RevisionOf(template)
	if err != nil {
		t.Fatal(err)
	}
	l.images.Store("shop-"+revision, image)
	if l.history.latest[rollouts] == nil {
		l.scale(t, 2)
	}
}

// administrator is who the tests are to the API server.
const administrator = "admin"

// decide makes a decision on what is under way, as a person does.
func (l *lab) decide(t *testing.T, verb v1alpha1.DecisionVerb, full bool) {
	t.Helper()
	obj := l.seen()
	d := decision.New(obj, verb, decision.Author{Actor: administrator, Via: "test"}, "because")
	d.GenerateName, d.Name, d.Spec.Full = "", "shop-"+string(verb), full
	if d.Spec.Revision == "" {
		t.Fatalf("there is no candidate: %s", l.tail(10))
	}
	l.create(t, d)
}

// scale sets the workload's replicas, as people do.
func (l *lab) scale(t *testing.T, replicas int32) {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: l.namespace}}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	if err := quickClient.Patch(t.Context(), d, patch, client.FieldOwner("people")); err != nil {
		t.Fatalf("scale: %v", err)
	}
	l.noted(t, d)
}

// remove deletes the Rollout.
func (l *lab) remove(t *testing.T) {
	t.Helper()
	if err := quickClient.Delete(t.Context(), l.rollout.DeepCopy()); err != nil {
		t.Fatalf("delete the Rollout: %v", err)
	}
	l.noted(t, l.rollout.DeepCopy())
}

func (l *lab) turn(t *testing.T) bool {
	t.Helper()
	moved, err := l.world.turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return moved
}

// progress is what the route remembers; the zero value when there is none.
func (l *lab) progress() rollout.Progress {
	split := l.history.latest[trafficSplits][types.NamespacedName{Namespace: l.namespace, Name: "shop"}]
	if split == nil {
		return rollout.Progress{}
	}
	progress, err := rollout.ParseProgress(split.GetAnnotations()[v1alpha1.AnnotationProgress])
	if err != nil {
		panic(err)
	}
	return *progress
}

// seen is the Rollout as it is; nil when it is gone.
func (l *lab) seen() *v1alpha1.Rollout { return held[v1alpha1.Rollout](l, rollouts)["shop"] }

// asks says whether the present step has a question that the monitor should have an answer to.
func (l *lab) asks() bool {
	obj := l.seen()
	return obj != nil && obj.DeletionTimestamp == nil && obj.Spec.Analysis != nil && obj.Status.State == v1alpha1.StateWaiting &&
		obj.Status.Traffic != nil && obj.Status.Traffic.Taken && obj.Status.Step != nil
}

// rest reconciles, and lets the cluster follow, until nothing happens any more. It returns after how long something is
// to happen by itself; 0 for never.
func (l *lab) rest(t *testing.T) time.Duration {
	t.Helper()
	const soon = 200 * time.Millisecond
	hurry := false
	for range 200 {
		place := len(l.history.entries)
		if l.beside != nil {
			l.beside.hurry = hurry
		}
		l.step.Store(int32(l.progress().Step))
		result, err := l.reconcile(t)
		moved := l.turn(t)
		hurry = false
		switch {
		case err != nil:
			l.clock.Step(soon)
		case moved || len(l.history.entries) > place:
		case l.beside != nil && l.beside.behind:
			hurry = true
			l.clock.Step(soon)
		case l.running.behind || result.RequeueAfter > 0 && result.RequeueAfter <= soon:
			l.clock.Step(soon)
		case l.asks() && l.news(t):
		default:
			return result.RequeueAfter
		}
	}
	t.Fatalf("no rest is found; the last writes: %s", l.tail(20))
	return 0
}

// news waits for the monitor's answer to the present step's question, and says whether it is another than the last.
func (l *lab) news(t *testing.T) bool {
	t.Helper()
	id, err := l.running.answer()
	if err != nil {
		t.Fatalf("%v in %s", err, l.progress())
	}
	news := id != l.running.heard
	l.running.heard = id
	return news
}

// reconcile looks at the Rollout once, and starts the controller again if that killed it.
func (l *lab) reconcile(t *testing.T) (ctrl.Result, error) {
	t.Helper()
	if l.beside != nil {
		if _, err := l.beside.reconcile(t.Context()); err != nil {
			t.Logf("the other controller: %v", err)
		}
	}
	result, err := l.running.reconcile(t.Context())
	if l.running.dead {
		l.running = l.again()
		return ctrl.Result{RequeueAfter: time.Millisecond}, nil
	}
	if err != nil && !errors.Is(err, errLost) {
		t.Logf("reconciling: %v", err)
	}
	return result, err
}

// tail tells the newest entries of the history.
func (l *lab) tail(n int) string {
	var text strings.Builder
	for _, e := range l.history.entries[max(0, len(l.history.entries)-n):] {
		what := "deleted"
		if e.obj != nil {
			what = e.obj.GetResourceVersion()
			if progress := e.obj.GetAnnotations()[v1alpha1.AnnotationProgress]; progress != "" {
				what = progress
			}
			if state, _, _ := unstructured.NestedString(e.obj.Object, "status", "state"); state != "" {
				why, _, _ := unstructured.NestedString(e.obj.Object, "status", "waitingFor")
				what = state + ": " + why
			}
		}
		fmt.Fprintf(&text, "\n  %s: %s %s %s", e.by, e.kind.Kind, e.name.Name, what)
	}
	return text.String()
}

// table is a provider of metrics that goes by the lab's table of bad candidates.
type table struct{ lab *lab }

// Open begins a stream of what a candidate does in a step: the same one whenever it is asked for.
func (m table) Open(query analysis.Query) (analysis.Stream, error) {
	made, _ := m.lab.steps.LoadOrStore(query.Candidate.Service+query.Since.String(), m.scrapes(query))
	blocks, _ := made.([]analysis.Block)
	return &scrapes{blocks}, nil
}

// Evaluate is not asked of it.
func (m table) Evaluate(context.Context, analysis.Evaluation) ([]analysis.Sample, error) {
	return nil, errors.New("no rollout of the lab has a threshold")
}

// scrapes are enough requests for a verdict, half of which fail where the candidate does.
type scrapes struct{ blocks []analysis.Block }

// Next tells all at once.
func (s *scrapes) Next(context.Context, time.Time) ([]analysis.Block, error) {
	blocks := s.blocks
	s.blocks = nil
	return blocks, nil
}

func (m table) scrapes(query analysis.Query) []analysis.Block {
	spec := m.lab.rollout.Spec
	step := spec.Steps[min(int(m.lab.step.Load()), len(spec.Steps)-1)]
	share := 0.5
	if step.Weight != nil && *step.Weight > 0 {
		share = float64(*step.Weight) / 100
	}
	failing := 0.0
	image, _ := m.lab.images.Load(query.Candidate.Service)
	name, _ := image.(string)
	if from, bad := m.lab.bad[name]; bad && m.lab.step.Load() >= from {
		failing = 0.5
	}
	const all = 100_000
	incumbent := replies((1-share)*all, 0)
	if query.Mirrored {
		incumbent = replies(all, 0)
	}
	var blocks []analysis.Block
	for at := query.Since; len(blocks) < 4; at = at.Add(time.Second) {
		block := analysis.Block{From: at, At: at.Add(time.Second), Paired: true, Incumbent: incumbent}
		if query.Candidate.Service != "" {
			block.Candidate = replies(share*all, failing)
		}
		blocks = append(blocks, block)
	}
	return blocks
}

func replies(requests, failing float64) analysis.Counts {
	return analysis.Counts{Requests: requests, Errors: math.Round(requests * failing), Buckets: []analysis.Bucket{
		{UpperEdge: 10 * time.Millisecond, Count: math.Round(requests * 0.9)}, {UpperEdge: analysis.Unbounded, Count: requests},
	}}
}
