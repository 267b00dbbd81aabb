package deployment_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

// newAutoscaler is an autoscaler of the workload as a user has it.
func newAutoscaler(namespace, name string) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"argocd.argoproj.io/instance": "shop"}},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "checkout"},
			MinReplicas:    new(int32(2)), MaxReplicas: 10,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ResourceMetricSourceType,
				Resource: &autoscalingv2.ResourceMetricSource{
					Name:   corev1.ResourceCPU,
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(70))},
				},
			}},
		},
	}
}

// scaleDown is a behavior that says only how pods are taken away.
func scaleDown(rules autoscalingv2.HPAScalingRules) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &rules}
}

func (r *rig) autoscaler(name string) *autoscalingv2.HorizontalPodAutoscaler {
	r.Helper()
	scaler := &autoscalingv2.HorizontalPodAutoscaler{}
	r.must("read the autoscaler", server.Get(r.Context(), types.NamespacedName{Namespace: r.ref.Namespace, Name: name}, scaler))
	return scaler
}

// applied is obj as it stands in git: without what a typed object says of itself.
func (r *rig) applied(obj client.Object) *unstructured.Unstructured {
	r.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	r.must("convert", err)
	u := &unstructured.Unstructured{Object: content}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return u
}

// gitApply applies obj server-side.
func (r *rig) gitApply(obj client.Object, opts ...client.ApplyOption) error {
	r.Helper()
	return server.Apply(r.Context(), client.ApplyConfigurationFromUnstructured(r.applied(obj)), append(opts, client.FieldOwner("git"))...)
}

// kubectlApply applies obj client-side.
func (r *rig) kubectlApply(obj client.Object) error {
	r.Helper()
	data, err := yaml.Marshal(r.applied(obj).Object)
	r.must("write YAML", err)
	file := filepath.Join(r.TempDir(), "object.yaml")
	r.must("write YAML", os.WriteFile(file, data, 0o600))
	cmd := exec.CommandContext(r.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "--kubeconfig", kubeconfig, "apply", "-f", file)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// writers are the ways in which people write objects; each can be repeated.
var writers = map[string]func(*rig, client.Object) error{
	"server-side apply": func(r *rig, obj client.Object) error { return r.gitApply(obj) },
	"kubectl apply":     (*rig).kubectlApply,
	"create and update": func(r *rig, obj client.Object) error {
		current := &autoscalingv2.HorizontalPodAutoscaler{}
		if err := server.Get(r.Context(), client.ObjectKeyFromObject(obj), current); err != nil {
			return server.Create(r.Context(), obj.DeepCopyObject().(client.Object), client.FieldOwner("operator"))
		}
		current.Labels = obj.GetLabels()
		return server.Update(r.Context(), current, client.FieldOwner("operator"))
	},
}

func TestGuard_KeepsAllPods_AndUnguardGivesBackExactlyWhatWasThere(t *testing.T) {
	behaviors := map[string]*autoscalingv2.HorizontalPodAutoscalerBehavior{
		"no behavior":        nil,
		"a window":           scaleDown(autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: new(int32(60))}),
		"a policy of taking": scaleDown(autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 1, PeriodSeconds: 60}}}),
		"a policy of adding": {ScaleUp: &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 1, PeriodSeconds: 60}}}},
	}
	for writer, write := range writers {
		for name, behavior := range behaviors {
			t.Run(writer+", "+name, func(t *testing.T) {
				r := newRig(t)
				r.make(shape{})
				mine := newAutoscaler(r.ref.Namespace, "checkout")
				mine.Spec.Behavior = behavior
				r.must("write the autoscaler", write(r, mine))
				before := r.autoscaler("checkout")
				o := r.until("the autoscaler", func(o *workload.Observation) bool { return o.Problem == nil && o.Autoscaler != nil })
				window := 5 * time.Minute
				if name == "a window" {
					window = time.Minute
				}
				if want := (workload.Autoscaler{Name: "checkout", Window: window}); *o.Autoscaler != want {
					t.Errorf("the autoscaler is %+v, want %+v", *o.Autoscaler, want)
				}

				r.must("guard", r.Guard(t.Context(), r.ref))
				r.until("the guard", func(o *workload.Observation) bool { return o.Problem == nil && o.Autoscaler.Guarded })
				writes := len(r.written)
				r.must("guard again", r.Guard(t.Context(), r.ref))
				if len(r.written) != writes || writes != 1 {
					t.Errorf("%d writes, then %d more", writes, len(r.written)-writes)
				}
				r.must("write the autoscaler again while it is guarded", write(r, mine))
				guarded := r.autoscaler("checkout")
				if policy := guarded.Spec.Behavior.ScaleDown.SelectPolicy; policy == nil || *policy != autoscalingv2.DisabledPolicySelect {
					t.Errorf("the policy is %v", policy)
				}

				eventually(t, "unguard", func() error { return r.Unguard(t.Context(), r.ref) })
				r.until("the guard to be gone", func(o *workload.Observation) bool { return o.Autoscaler != nil && !o.Autoscaler.Guarded })
				after := r.autoscaler("checkout")
				if diff := cmp.Diff(before.Spec, after.Spec) + cmp.Diff(before.Labels, after.Labels); diff != "" {
					t.Errorf("it isn't as it was (-before +after):\n%s", diff)
				}
				for _, entry := range after.ManagedFields {
					if entry.Manager == v1alpha1.FieldManager {
						t.Errorf("Weighlock still owns %s", entry.FieldsV1.GetRawString())
					}
				}
				writes = len(r.written)
				r.must("unguard again", r.Unguard(t.Context(), r.ref))
				if len(r.written) != writes {
					t.Error("unguarding again wrote something")
				}
				r.must("write the autoscaler afterwards", write(r, mine))
			})
		}
	}
}

func TestGuard_IsRefusedWhereItWouldFight(t *testing.T) {
	policy := func(policy autoscalingv2.ScalingPolicySelect) func(*autoscalingv2.HorizontalPodAutoscaler) {
		return func(scaler *autoscalingv2.HorizontalPodAutoscaler) {
			scaler.Spec.Behavior = scaleDown(autoscalingv2.HPAScalingRules{SelectPolicy: &policy})
		}
	}
	field := "spec.behavior.scaleDown.selectPolicy"
	for name, test := range map[string]struct {
		writer string
		shape  func(*autoscalingv2.HorizontalPodAutoscaler)
		second bool
		words  []string
	}{
		"another value in git":          {"server-side apply", policy(autoscalingv2.MinChangePolicySelect), false, []string{field, "is Min", "set by git", "take it out"}},
		"another value by kubectl":      {"kubectl apply", policy(autoscalingv2.MinChangePolicySelect), false, []string{field, "is Min", "kubectl-client-side-apply"}},
		"another value by an update":    {"create and update", policy(autoscalingv2.MinChangePolicySelect), false, []string{field, "is Min", "set by operator"}},
		"the default that git says":     {"server-side apply", policy(autoscalingv2.MaxChangePolicySelect), false, []string{field, "said by git", "take it out"}},
		"the default that kubectl says": {"kubectl apply", policy(autoscalingv2.MaxChangePolicySelect), false, []string{field, "said by kubectl-client-side-apply"}},
		"two autoscalers":               {"server-side apply", nil, true, []string{"checkout", "checkout-too", "delete one"}},
		"an autoscaler that KEDA wrote": {"create and update", func(scaler *autoscalingv2.HorizontalPodAutoscaler) {
			scaler.OwnerReferences = []metav1.OwnerReference{{APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject", Name: "checkout", UID: "1", Controller: new(true)}}
		}, false, []string{"ScaledObject checkout", field, "Disabled"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.make(shape{})
			mine := newAutoscaler(r.ref.Namespace, "checkout")
			if test.shape != nil {
				test.shape(mine)
			}
			r.must("write the autoscaler", writers[test.writer](r, mine))
			if test.second {
				r.create(newAutoscaler(r.ref.Namespace, "checkout-too"))
			}
			o := r.until("the problem", func(o *workload.Observation) bool {
				return o.Problem != nil && o.Problem.Reason == v1alpha1.ReasonAutoscalerNotGuardable
			})
			for _, word := range test.words {
				if !strings.Contains(o.Problem.Message, word) {
					t.Errorf("the message %q doesn't say %q", o.Problem.Message, word)
				}
			}
			before := r.autoscaler("checkout")
			problem := (*workload.ProblemError)(nil)
			if err := r.Guard(t.Context(), r.ref); !errors.As(err, &problem) || problem.Problem != *o.Problem {
				t.Errorf("the error is %v, want the problem", err)
			}
			if diff := cmp.Diff(before, r.autoscaler("checkout")); diff != "" {
				t.Errorf("it was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestGuard_LeavesAnAutoscalerThatNeverTakesPodsAway(t *testing.T) {
	r := newRig(t)
	r.make(shape{})
	mine := newAutoscaler(r.ref.Namespace, "checkout")
	mine.OwnerReferences = []metav1.OwnerReference{{APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject", Name: "checkout", UID: "1", Controller: new(true)}}
	r.create(mine)
	r.until("the problem", func(o *workload.Observation) bool { return o.Problem != nil })
	mine.Spec.Behavior = scaleDown(autoscalingv2.HPAScalingRules{SelectPolicy: new(autoscalingv2.DisabledPolicySelect)})
	r.must("have the owner disable it", server.Update(t.Context(), mine, client.FieldOwner("keda-operator")))
	r.until("nothing to guard", func(o *workload.Observation) bool { return o.Problem == nil && o.Autoscaler == nil })
	r.must("guard", r.Guard(t.Context(), r.ref))
	r.must("unguard", r.Unguard(t.Context(), r.ref))
	if len(r.written) != 0 {
		t.Errorf("%d writes", len(r.written))
	}
}

func TestGuard_LeavesTheAutoscalersOfOthers(t *testing.T) {
	r := newRig(t)
	r.make(shape{})
	for name, target := range map[string]autoscalingv2.CrossVersionObjectReference{
		"another-name":  {APIVersion: "apps/v1", Kind: "Deployment", Name: "cart"},
		"another-kind":  {APIVersion: "apps/v1", Kind: "StatefulSet", Name: "checkout"},
		"another-group": {APIVersion: "example.com/v1", Kind: "Deployment", Name: "checkout"},
	} {
		other := newAutoscaler(r.ref.Namespace, name)
		other.Spec.ScaleTargetRef = target
		r.create(other)
		eventually(t, "the cache to show it", func() error {
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"))
			return informers.Get(t.Context(), client.ObjectKeyFromObject(other), u)
		})
	}
	o := r.until("the workload", func(o *workload.Observation) bool { return o.Workload != nil && o.Problem == nil })
	if o.Autoscaler != nil {
		t.Errorf("it takes %s for the workload's", o.Autoscaler.Name)
	}
	r.must("guard", r.Guard(t.Context(), r.ref))
	if len(r.written) != 0 {
		t.Errorf("%d writes", len(r.written))
	}
}

func TestGuard_DoesNotFightWhoTakesTheFieldBack(t *testing.T) {
	for name, test := range map[string]struct {
		takeBack func(*rig) error
		manager  string
		heals    bool
	}{
		"git applies it by force": {func(r *rig) error {
			mine := newAutoscaler(r.ref.Namespace, "checkout")
			mine.Spec.Behavior = scaleDown(autoscalingv2.HPAScalingRules{SelectPolicy: new(autoscalingv2.MaxChangePolicySelect)})
			return r.gitApply(mine, client.ForceOwnership)
		}, "git", false},
		"an operator updates it": {func(r *rig) error {
			current := r.autoscaler("checkout")
			current.Spec.Behavior.ScaleDown.SelectPolicy = new(autoscalingv2.MaxChangePolicySelect)
			return server.Update(r.Context(), current, client.FieldOwner("operator"))
		}, "operator", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			clock := clocktesting.NewFakePassiveClock(time.Now())
			r.Adapter = deployment.New(deployment.Options{Reader: informers, Writer: server, Mapper: server.RESTMapper(), Clock: clock})
			r.make(shape{})
			r.must("write the autoscaler", r.gitApply(newAutoscaler(r.ref.Namespace, "checkout")))
			r.until("the autoscaler", func(o *workload.Observation) bool { return o.Problem == nil && o.Autoscaler != nil })
			r.must("guard", r.Guard(t.Context(), r.ref))
			r.until("the guard", func(o *workload.Observation) bool { return o.Problem == nil && o.Autoscaler.Guarded })

			r.must("take it back", test.takeBack(r))
			o := r.until("the problem", func(o *workload.Observation) bool { return o.Problem != nil })
			if o.Problem.Reason != v1alpha1.ReasonAutoscalerNotGuardable || o.Autoscaler == nil || o.Autoscaler.Guarded ||
				!strings.Contains(o.Problem.Message, test.manager) || !strings.Contains(o.Problem.Message, "spec.behavior.scaleDown.selectPolicy") {
				t.Errorf("the problem is %+v, the autoscaler %+v", o.Problem, o.Autoscaler)
			}
			problem := (*workload.ProblemError)(nil)
			if err := r.Guard(t.Context(), r.ref); !errors.As(err, &problem) {
				t.Errorf("the error is %v, want the problem", err)
			}
			clock.SetTime(clock.Now().Add(2 * time.Minute))
			o, err := r.Observe(t.Context(), r.ref)
			r.must("observe", err)
			if (o.Problem == nil) != test.heals {
				t.Errorf("two minutes later the problem is %+v", o.Problem)
			}
			if test.heals {
				r.must("guard again", r.Guard(t.Context(), r.ref))
			}
		})
	}
}

func TestGuard_RefusesAnAutoscalerThatChangedSinceItWasLookedAt(t *testing.T) {
	r := newRig(t)
	r.make(shape{})
	r.must("write the autoscaler", r.gitApply(newAutoscaler(r.ref.Namespace, "checkout")))
	r.until("the autoscaler", func(o *workload.Observation) bool { return o.Problem == nil && o.Autoscaler != nil })
	stale := r.snapshot()
	mine := newAutoscaler(r.ref.Namespace, "checkout")
	mine.Spec.Behavior = scaleDown(autoscalingv2.HPAScalingRules{SelectPolicy: new(autoscalingv2.MinChangePolicySelect)})
	r.must("claim the field in git", r.gitApply(mine))
	if err := stale.Guard(t.Context(), r.ref); err == nil {
		t.Error("it was forced over what git has said by now")
	}
	if policy := *r.autoscaler("checkout").Spec.Behavior.ScaleDown.SelectPolicy; policy != autoscalingv2.MinChangePolicySelect {
		t.Errorf("the policy is %s", policy)
	}
}
