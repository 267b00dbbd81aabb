package deployment_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

// candidate adopts the workload, commits v2, and records that.
func (r *rig) candidate() (o *workload.Observation, first, second string) {
	r.Helper()
	o = r.shop()
	first = o.Workload.Template.Revision
	r.record(o.Workload.Template)
	r.commit("v2")
	o = r.until("the new template to be held", func(o *workload.Observation) bool { return o.Workload.Template.Revision != first })
	r.record(o.Workload.Template)
	return o, first, o.Workload.Template.Revision
}

func TestCopy_RunsTheNewTemplateBesideTheWorkload(t *testing.T) {
	r := newRig(t)
	o, first, second := r.candidate()
	pods := r.pods(map[string]string{"app": "checkout"})
	r.must("serve", r.Serve(t.Context(), r.ref, o.Workload))
	o = r.copy(o, second, 3)
	name := "checkout-" + second

	c := o.Copies[second]
	if c.Name != name || c.Service != "checkout-"+second || c.Template.Revision != second || !cmp.Equal(c.Running, []string{second}) || c.Replicas != 3 || c.Paused || c.Stuck != "" {
		t.Errorf("it observes %s", describe(o))
	}
	r.until("when each pod got ready", func(o *workload.Observation) bool { return len(o.Copies[second].ReadySince) == 3 })
	if w := o.Workload; !cmp.Equal(w.Running, []string{first}) || w.Service != "checkout-workload" {
		t.Errorf("of the workload it observes %s", describe(o))
	}
	made := r.deployment(name)
	if diff := cmp.Diff(map[string]string{v1alpha1.LabelRollout: "checkout", v1alpha1.LabelRevision: second, v1alpha1.LabelTrack: name}, made.Labels); diff != "" {
		t.Errorf("labels of the copy (-want +got):\n%s", diff)
	}
	for key := range made.Annotations {
		if !strings.HasPrefix(key, "deployment.kubernetes.io/") {
			t.Errorf("the copy has the annotation %s", key)
		}
	}
	if len(made.OwnerReferences) > 0 {
		t.Errorf("the copy has owners: %v", made.OwnerReferences)
	}
	if diff := cmp.Diff(map[string]string{"app": "checkout-" + second, "tier": "web", v1alpha1.LabelTrack: name}, made.Spec.Selector.MatchLabels); diff != "" {
		t.Errorf("selector of the copy (-want +got):\n%s", diff)
	}
	for what, selector := range map[string]map[string]string{
		"the workload":     r.live().Spec.Selector.MatchLabels,
		"the root service": r.service("checkout").Spec.Selector,
		"its own service":  r.service("checkout-workload").Spec.Selector,
	} {
		if labels.SelectorFromSet(selector).Matches(labels.Set(made.Spec.Template.Labels)) {
			t.Errorf("the selector of %s (%v) finds the copy's pods", what, selector)
		}
	}
	if got := r.pods(map[string]string{"app": "checkout"}); got != pods {
		t.Errorf("the workload's pods went from %s to %s", pods, got)
	}
	track, root := r.service("checkout-"+second), r.service("checkout")
	if diff := cmp.Diff(root.Spec.Ports, track.Spec.Ports); diff != "" {
		t.Errorf("ports of the copy's service (-root +track):\n%s", diff)
	}
	if !labels.SelectorFromSet(track.Spec.Selector).Matches(labels.Set(made.Spec.Template.Labels)) {
		t.Errorf("the copy's service (%v) misses its pods", track.Spec.Selector)
	}

	writes := len(r.written)
	r.must("copy again", r.Copy(t.Context(), r.ref, o.Workload, second, 3))
	r.must("scale to the same", r.Scale(t.Context(), r.ref, second, 3))
	r.must("serve again", r.Serve(t.Context(), r.ref, o.Workload))
	if len(r.written) != writes {
		t.Errorf("%d objects were written though nothing changed", len(r.written)-writes)
	}
}

func TestScale_ChangesNothingButTheSize(t *testing.T) {
	r := newRig(t)
	o, _, second := r.candidate()
	r.copy(o, second, 1)
	before := r.deployment("checkout-" + second)
	for _, replicas := range []int32{3, 0, 1} {
		r.must("scale", r.Scale(t.Context(), r.ref, second, replicas))
		r.until("the copy to be scaled", func(o *workload.Observation) bool {
			c := o.Copies[second]
			return c != nil && c.Replicas == replicas && c.Ready == replicas && c.Rolled
		})
	}
	after := r.deployment("checkout-" + second)
	if diff := cmp.Diff(before.Spec, after.Spec) + cmp.Diff(before.Labels, after.Labels); diff != "" {
		t.Errorf("scaling to and fro changed something (-before +after):\n%s", diff)
	}
	if err := r.Scale(t.Context(), r.ref, "none", 1); err == nil {
		t.Error("a copy that isn't there was scaled")
	}
}

func TestDeleteCopy_RemovesTheCopyAndItsServiceOnly(t *testing.T) {
	r := newRig(t)
	o, _, second := r.candidate()
	r.must("serve", r.Serve(t.Context(), r.ref, o.Workload))
	pods := r.pods(map[string]string{"app": "checkout"})
	r.copy(o, second, 1)
	made, track := r.deployment("checkout-"+second), r.service("checkout-"+second)
	r.must("delete the copy", r.DeleteCopy(t.Context(), r.ref, second))
	eventually(t, "the copy to be gone", func() error { return errors.Join(gone(made), gone(track)) })
	eventually(t, "its pods to be gone", func() error {
		if left := r.pods(map[string]string{v1alpha1.LabelTrack: "checkout-" + second}); left != "" {
			return errors.New(left)
		}
		return nil
	})
	if len(r.deleted) != 2 {
		t.Errorf("%d deletions were told of, want 2", len(r.deleted))
	}
	r.until("the copy not to be seen", func(o *workload.Observation) bool { return len(o.Copies) == 0 })
	r.must("delete it again", r.DeleteCopy(t.Context(), r.ref, second))
	if got := r.pods(map[string]string{"app": "checkout"}); got != pods {
		t.Errorf("the workload's pods went from %s to %s", pods, got)
	}
	r.service("checkout-workload")
	r.must("unserve", r.Unserve(t.Context(), r.ref))
	r.until("the track service to be gone", func(o *workload.Observation) bool { return !o.Workload.Served })
	r.must("unserve again", r.Unserve(t.Context(), r.ref))
	r.service("checkout")
}

func TestCopy_IsSetRightWhenSomebodyEditsIt(t *testing.T) {
	r := newRig(t)
	o, _, second := r.candidate()
	r.copy(o, second, 1)
	edited := r.deployment("checkout-" + second)
	edited.Spec.Template.Spec.Containers[0].Image = "elsewhere"
	r.must("edit the copy", server.Update(t.Context(), edited, client.FieldOwner("somebody")))
	o = r.until("the edit to be seen", func(o *workload.Observation) bool {
		c := o.Copies[second]
		return c.Template.Revision != second && !cmp.Equal(c.Running, []string{second})
	})
	r.copy(o, second, 1)
	r.until("the copy to be right again", func(o *workload.Observation) bool {
		return o.Copies[second].Template.Revision == second && cmp.Equal(o.Copies[second].Running, []string{second})
	})
}

func TestCopy_NeverTakesOverWhatIsNotWeighlocks(t *testing.T) {
	for name, blind := range map[string]bool{"that caches show": false, "that caches don't show yet": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			o, _, second := r.candidate()
			other := newDeployment(r.ref.Namespace, "checkout-"+second, "other")
			r.create(other)
			if blind {
				r.Adapter = deployment.New(deployment.Options{Reader: without{informers, other.Name}, Writer: server, Mapper: server.RESTMapper()})
			} else {
				eventually(t, "the cache to show it", func() error {
					return informers.Get(t.Context(), client.ObjectKeyFromObject(other), unstructuredDeployment())
				})
			}
			err := r.Copy(t.Context(), r.ref, o.Workload, second, 1)
			problem := (*workload.ProblemError)(nil)
			switch {
			case blind && !apierrors.IsConflict(err) && !apierrors.IsInvalid(err):
				t.Errorf("the error is %v, want a refusal", err)
			case !blind && (!errors.As(err, &problem) || problem.Problem.Reason != v1alpha1.ReasonNameTaken):
				t.Errorf("the error is %v, want NameTaken", err)
			}
			after := r.deployment(other.Name)
			if diff := cmp.Diff(other.Spec, after.Spec) + cmp.Diff(other.Labels, after.Labels); diff != "" {
				t.Errorf("it was changed (-before +after):\n%s", diff)
			}
			r.must("delete the copy that isn't one", r.DeleteCopy(t.Context(), r.ref, second))
			r.deployment(other.Name)
		})
	}
}

// without is a cache that doesn't show one name yet.
type without struct {
	client.Reader
	name string
}

func (w without) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if key.Name == w.name {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	return w.Reader.Get(ctx, key, obj, opts...)
}

func TestCopy_FindsOnlyItselfByAffinityAndSpread(t *testing.T) {
	r := newRig(t)
	self := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout"}}
	among := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"checkout", "cart"}},
	}}
	database := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "database"}}
	term := func(selector *metav1.LabelSelector) corev1.PodAffinityTerm {
		return corev1.PodAffinityTerm{LabelSelector: selector, TopologyKey: "kubernetes.io/hostname"}
	}
	d := newDeployment(r.ref.Namespace, "checkout", "v1")
	d.Spec.Replicas = new(int32)
	d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: new(intstr.FromInt32(3)), MaxUnavailable: new(intstr.FromInt32(0))}
	d.Spec.MinReadySeconds = 7
	d.Spec.ProgressDeadlineSeconds = new(int32(77))
	d.Spec.Template.Spec.Affinity = &corev1.Affinity{
		PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution:  []corev1.PodAffinityTerm{term(self), term(among)},
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: term(self)}},
		},
		PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(database)}},
	}
	d.Spec.Template.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{
		{MaxSkew: 1, TopologyKey: "zone", WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: self},
	}
	r.create(d, newService(r.ref.Namespace, "checkout", map[string]string{"app": "checkout"}))
	r.until("the workload to be seen", func(o *workload.Observation) bool { return o.Workload != nil && o.Problem == nil })
	r.retry("adopt", func(state *workload.State) error { return r.Adopt(t.Context(), r.ref, state) })
	o := r.until("the workload to be adopted", func(o *workload.Observation) bool { return o.Workload.Adopted })
	revision := o.Workload.Template.Revision
	r.record(o.Workload.Template)
	o = r.copy(o, revision, 0)
	if o.Copies[revision].Template.Revision != revision {
		t.Errorf("read back, the copy's template is revision %s, want %s", o.Copies[revision].Template.Revision, revision)
	}

	copied := r.deployment("checkout-" + revision)
	mine := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout-" + revision}}
	mineAmong := among.DeepCopy()
	mineAmong.MatchExpressions[0].Values[0] = "checkout-" + revision
	want := r.live().Spec.Template.Spec
	anti := want.Affinity.PodAntiAffinity
	anti.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector = mine
	anti.RequiredDuringSchedulingIgnoredDuringExecution[1].LabelSelector = mineAmong
	anti.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm.LabelSelector = mine
	want.TopologySpreadConstraints[0].LabelSelector = mine
	if diff := cmp.Diff(want, copied.Spec.Template.Spec); diff != "" {
		t.Errorf("pods of the copy (-want +got):\n%s", diff)
	}
	if copied.Spec.MinReadySeconds != 7 || *copied.Spec.ProgressDeadlineSeconds != 77 || copied.Spec.Strategy.RollingUpdate.MaxSurge.IntVal != 3 {
		t.Errorf("the copy rolls otherwise than the workload: %+v", copied.Spec)
	}
}

func TestServe_FollowsThePortsAndKeepsTheSelector(t *testing.T) {
	r := newRig(t)
	o := r.shop()
	r.must("serve", r.Serve(t.Context(), r.ref, o.Workload))
	r.until("the track service", func(o *workload.Observation) bool { return o.Workload.Served && o.Workload.Ready == 2 })
	root := r.service("checkout")
	if diff := cmp.Diff(root.Spec.Selector, r.service("checkout-workload").Spec.Selector); diff != "" {
		t.Errorf("selector (-root +track):\n%s", diff)
	}

	root.Spec.Ports = append(root.Spec.Ports[:1], corev1.ServicePort{Name: "admin", Port: 7070, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(7070)})
	root.Spec.Selector = map[string]string{"app": "checkout", "tier": "web"}
	root.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	root.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(77))}}
	root.Spec.TrafficDistribution = new(corev1.ServiceTrafficDistributionPreferSameZone)
	root.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyPreferDualStack)
	root.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal)
	r.must("change the root service", server.Update(t.Context(), root))
	eventually(t, "the ports to follow", func() error {
		if err := r.Serve(t.Context(), r.ref, o.Workload); err != nil {
			return err
		}
		if diff := cmp.Diff(root.Spec.Ports, r.service("checkout-workload").Spec.Ports); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	ignored := cmpopts.IgnoreFields(corev1.ServiceSpec{}, "Selector", "ClusterIP", "ClusterIPs")
	if diff := cmp.Diff(r.service("checkout").Spec, r.service("checkout-workload").Spec, ignored); diff != "" {
		t.Errorf("the track service doesn't serve as the root does (-root +track):\n%s", diff)
	}
	root = r.service("checkout")
	root.Spec.SessionAffinity, root.Spec.SessionAffinityConfig, root.Spec.TrafficDistribution = corev1.ServiceAffinityNone, nil, nil
	r.must("change the root service back", server.Update(t.Context(), root))
	eventually(t, "that to be followed", func() error {
		if err := r.Serve(t.Context(), r.ref, o.Workload); err != nil {
			return err
		}
		if diff := cmp.Diff(r.service("checkout").Spec, r.service("checkout-workload").Spec, ignored); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	eventually(t, "nothing more to be written", func() error {
		before := len(r.written)
		if err := r.Serve(t.Context(), r.ref, o.Workload); err != nil {
			return err
		}
		if len(r.written) != before {
			return errors.New("the track service was written though nothing changed")
		}
		return nil
	})
	if diff := cmp.Diff(map[string]string{"app": "checkout"}, r.service("checkout-workload").Spec.Selector); diff != "" {
		t.Errorf("the selector changed (-before +after):\n%s", diff)
	}
}

func TestServe_NeverTakesOverAServiceThatCachesDoNotShowYet(t *testing.T) {
	r := newRig(t)
	o := r.shop()
	other := newService(r.ref.Namespace, "checkout-workload", map[string]string{"app": "other"})
	r.create(other)
	blind := deployment.New(deployment.Options{Reader: without{informers, other.Name}, Writer: server, Mapper: server.RESTMapper()})
	if err := blind.Serve(t.Context(), r.ref, o.Workload); !apierrors.IsConflict(err) {
		t.Errorf("the error is %v, want a conflict", err)
	}
	after := r.service(other.Name)
	if diff := cmp.Diff(other.Spec, after.Spec) + cmp.Diff(other.Labels, after.Labels); diff != "" {
		t.Errorf("it was changed (-before +after):\n%s", diff)
	}
}
