package controller_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/runtime/conditions/check"
	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/metrics"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/monitor"
	"github.com/weighlock/weighlock/analysis/prometheus"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/controller"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/router/smi"
	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

// wiring is what a test has in its hands of the controller that it runs.
type wiring struct {
	// meter counts calls to the API server, looks how often workloads are looked at; nil for neither.
	meter *meter
	looks *looks
	// provider of metrics; one that is away unless set.
	provider analysis.Provider
	// changes has Rollouts looked at.
	changes chan event.GenericEvent
	// resync is how often all that is in caches is looked at; 0 for seldom.
	resync time.Duration
}

// startRollouts runs the reconciler of Rollouts in a namespace, as cmd/weighlock does.
func startRollouts(t *testing.T, namespace string) *record.FakeRecorder {
	t.Helper()
	provider, err := prometheus.New(prometheus.Options{Address: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return runRollouts(t, namespace, wiring{provider: provider})
}

func runRollouts(t *testing.T, namespace string, w wiring) *record.FakeRecorder {
	t.Helper()
	events := record.NewFakeRecorder(1000)
	startManager(t, namespace, w, func(mgr ctrl.Manager) error {
		watch, err := monitor.New(w.provider, clock.RealClock{}, monitor.Options{
			OnChange: func(key string) {
				if w.changes != nil {
					w.changes <- controller.ChangeOf(key)
				}
			},
		})
		if err != nil {
			return err
		}
		if err := mgr.Add(watch); err != nil {
			return err
		}
		expectations := controller.NewExpectations(mgr.GetCache(), mgr.GetScheme(), clock.RealClock{})
		index := smi.NewIndex(mgr.GetFieldIndexer())
		var workloads workload.Adapter = deployment.New(deployment.Options{
			Reader: mgr.GetCache(), Live: mgr.GetAPIReader(), Writer: mgr.GetClient(), Mapper: mgr.GetRESTMapper(),
			Written: expectations.Written, Deleted: expectations.Deleted,
		})
		if w.looks != nil {
			w.looks.Adapter = workloads
			workloads = w.looks
		}
		reconciler := &controller.RolloutReconciler{
			Client:    mgr.GetClient(),
			Workloads: workloads,
			Routers: func(spec v1alpha1.RouterSpec, _ []v1alpha1.Step) (router.Router, error) {
				options := smi.Options{
					Reader: mgr.GetCache(), Writer: mgr.GetClient(), Mapper: mgr.GetRESTMapper(), Index: index,
					Written: expectations.Written, Deleted: expectations.Deleted,
				}
				if spec.SMI.Settle != nil {
					options.Settle = spec.SMI.Settle.Duration
				}
				return smi.New(options), nil
			},
			Monitor: watch, Expectations: expectations, Freshness: controller.NewFreshness(mgr.GetCache(), mgr.GetAPIReader()),
			Events: events, Clock: clock.RealClock{},
			Metrics: fluxcontroller.NewMetrics(mgr, metrics.NewRecorder(), v1alpha1.Finalizer),
		}
		return reconciler.SetupWithManager(mgr, controller.RolloutOptions{Concurrent: 2, Changes: w.changes})
	})
	return events
}

// shop is a namespace with a Deployment and a Service, and a Rollout for them.
type shop struct {
	*WithT
	namespace string
	rollout   *v1alpha1.Rollout
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{WithT: NewWithT(t), namespace: newNamespace(t)}
	weight := int32(10)
	s.rollout = &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: s.namespace},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Name: "shop"},
			Service:  v1alpha1.ServiceReference{Name: "shop", Port: 80},
			Router:   []v1alpha1.RouterSpec{{SMI: &v1alpha1.SMIRouter{}}},
			Steps:    []v1alpha1.Step{{Weight: &weight}},
		},
	}
	return s
}

func (s *shop) createWorkload(t *testing.T) {
	t.Helper()
	labels := map[string]string{"app": "shop"}
	s.Expect(testClient.Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: s.namespace},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: "shop:1"}}},
			},
		},
	})).To(Succeed())
}

func (s *shop) createService(t *testing.T, selector map[string]string) {
	t.Helper()
	s.Expect(testClient.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: s.namespace},
		Spec: corev1.ServiceSpec{
			Selector: selector,
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	})).To(Succeed())
}

// get reads the Rollout from the API server.
func (s *shop) get(ctx context.Context) *v1alpha1.Rollout {
	obj := &v1alpha1.Rollout{}
	s.Expect(testClient.Get(ctx, client.ObjectKeyFromObject(s.rollout), obj)).To(Succeed())
	return obj
}

// stalls waits until the Rollout is Stalled for a reason, in words, and is right for kstatus.
func (s *shop) stalls(t *testing.T, reason string, words ...string) {
	t.Helper()
	var obj *v1alpha1.Rollout
	s.Eventually(func(g Gomega) {
		obj = s.get(t.Context())
		g.Expect(conditions.GetReason(obj, v1alpha1.ConditionStalled)).To(Equal(reason))
		g.Expect(obj.Status.State).To(Equal(v1alpha1.StateStalled))
	}).WithTimeout(30 * time.Second).Should(Succeed())
	for _, word := range words {
		s.Expect(conditions.GetMessage(obj, v1alpha1.ConditionStalled)).To(ContainSubstring(word))
	}
	s.checkConditions(t, obj)
}

func (s *shop) checkConditions(t *testing.T, obj *v1alpha1.Rollout) {
	t.Helper()
	checker := check.NewChecker(testClient, &check.Conditions{NegativePolarity: []string{v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling}})
	checker.DisableFetch = true
	checker.WithT(s.WithT).CheckErr(t.Context(), obj)
}

// untouched expects that nothing was written on the workload or its Service, and no track was made.
func (s *shop) untouched(t *testing.T) {
	t.Helper()
	var deployments appsv1.DeploymentList
	s.Expect(testClient.List(t.Context(), &deployments, client.InNamespace(s.namespace))).To(Succeed())
	for i := range deployments.Items {
		s.Expect(deployments.Items[i].Labels).NotTo(HaveKey(v1alpha1.LabelHeld))
		s.Expect(deployments.Items[i].Labels).NotTo(HaveKey(v1alpha1.LabelRollout))
	}
	var services corev1.ServiceList
	s.Expect(testClient.List(t.Context(), &services, client.InNamespace(s.namespace))).To(Succeed())
	s.Expect(len(services.Items)).To(BeNumerically("<=", 1))
}

// TestRollout_BadInput goes through what users get wrong. Its order matters: the cluster has no SMI at first.
func TestRollout_BadInput(t *testing.T) {
	ctx := t.Context()
	t.Run("without SMI in the cluster it is stalled, and goes on once there is", func(t *testing.T) {
		s := newShop(t)
		startRollouts(t, s.namespace)
		s.createWorkload(t)
		s.createService(t, map[string]string{"app": "shop"})
		s.Expect(testClient.Create(ctx, s.rollout)).To(Succeed())
		s.stalls(t, "RouterUnsupported", "TrafficSplit", "split.smi-spec.io")
		s.untouched(t)
	})
	installSMI(t)
	t.Run("an unknown workload is named, and found once it is there", func(t *testing.T) {
		s := newShop(t)
		events := startRollouts(t, s.namespace)
		s.createService(t, map[string]string{"app": "shop"})
		s.Expect(testClient.Create(ctx, s.rollout)).To(Succeed())
		s.stalls(t, v1alpha1.ReasonWorkloadNotFound, "shop")
		s.Eventually(events.Events).Should(Receive(ContainSubstring(v1alpha1.ReasonWorkloadNotFound)))
		s.Consistently(events.Events, "1s").ShouldNot(Receive())
		s.createWorkload(t)
		s.Eventually(func(g Gomega) {
			obj := s.get(ctx)
			g.Expect(conditions.IsStalled(obj)).To(BeFalse())
			g.Expect(obj.Status.State).To(Equal(v1alpha1.StateAdopting))
		}).WithTimeout(30 * time.Second).Should(Succeed())
	})
	t.Run("a Service whose selector misses the workload is refused", func(t *testing.T) {
		s := newShop(t)
		startRollouts(t, s.namespace)
		s.createWorkload(t)
		s.createService(t, map[string]string{"app": "cart"})
		s.Expect(testClient.Create(ctx, s.rollout)).To(Succeed())
		s.stalls(t, v1alpha1.ReasonServiceSelectorMismatch, "app=cart")
		s.untouched(t)
	})
	t.Run("a step that the router can't express is refused before traffic moves", func(t *testing.T) {
		s := newShop(t)
		startRollouts(t, s.namespace)
		s.createWorkload(t)
		s.createService(t, map[string]string{"app": "shop"})
		s.rollout.Spec.Steps = append(s.rollout.Spec.Steps, v1alpha1.Step{Shadow: new(int32(50))})
		s.Expect(testClient.Create(ctx, s.rollout)).To(Succeed())
		s.stalls(t, "StepUnsupported", "spec.steps[1]", "mirror")
		s.untouched(t)
	})
	t.Run("an AnalysisTemplate that is not there is named, and found once it is there", func(t *testing.T) {
		s := newShop(t)
		startRollouts(t, s.namespace)
		s.createWorkload(t)
		s.createService(t, map[string]string{"app": "shop"})
		s.rollout.Spec.Analysis = &v1alpha1.Analysis{Templates: []v1alpha1.TemplateReference{{Name: "queues"}}}
		s.Expect(testClient.Create(ctx, s.rollout)).To(Succeed())
		s.stalls(t, v1alpha1.ReasonInvalidAnalysis, "spec.analysis.templates[0]", "queues")
		s.untouched(t)
		s.Expect(testClient.Create(ctx, &v1alpha1.AnalysisTemplate{
			ObjectMeta: metav1.ObjectMeta{Name: "queues", Namespace: s.namespace},
			Spec: v1alpha1.AnalysisTemplateSpec{Metrics: []v1alpha1.Metric{{
				Name: "depth", Threshold: &v1alpha1.ThresholdMetric{Query: `queue_depth{service="{candidate.service}"}`, Max: "100"},
			}}},
		})).To(Succeed())
		s.Eventually(func(g Gomega) { g.Expect(conditions.IsStalled(s.get(ctx))).To(BeFalse()) }).WithTimeout(30 * time.Second).Should(Succeed())
	})
	t.Run("a step with an impossible weight is rejected", func(t *testing.T) {
		s := newShop(t)
		s.rollout.Spec.Steps[0].Weight = new(int32(101))
		err := testClient.Create(ctx, s.rollout)
		s.Expect(apierrors.IsInvalid(err)).To(BeTrue())
		s.Expect(err).To(MatchError(ContainSubstring("raise spec.totalWeight")))
	})
	t.Run("a Rollout that never got to anything is deleted at once", func(t *testing.T) {
		s := newShop(t)
		startRollouts(t, s.namespace)
		s.Expect(testClient.Create(ctx, s.rollout)).To(Succeed())
		s.stalls(t, v1alpha1.ReasonWorkloadNotFound)
		s.Expect(testClient.Delete(ctx, s.rollout)).To(Succeed())
		s.Eventually(func() bool {
			return apierrors.IsNotFound(testClient.Get(ctx, client.ObjectKeyFromObject(s.rollout), &v1alpha1.Rollout{}))
		}).WithTimeout(30 * time.Second).Should(BeTrue())
	})
}

// installSMI puts the CRDs of SMI into the test's cluster.
func installSMI(tb testing.TB) {
	tb.Helper()
	path := filepath.Join("..", "local", "crds", "smi.yaml")
	content, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(content), "trafficsplits") {
		tb.Fatalf("reading the CRDs of SMI: %v", err)
	}
	if _, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{Paths: []string{path}, Scheme: testScheme}); err != nil {
		tb.Fatalf("installing the CRDs of SMI: %v", err)
	}
}
