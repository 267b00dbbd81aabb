package deployment_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// shape changes the workload and the service that a test starts from; nil leaves one out.
type shape struct {
	ref      func(*workload.Reference)
	workload func(*appsv1.Deployment)
	service  func(*corev1.Service)
	claim    *corev1.PersistentVolumeClaim
	no       string
}

func TestObserve_SaysWhatIsWrongAndWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		shape  shape
		reason string
		words  []string
	}{
		"nothing": {},
		"no workload": {
			shape{no: "workload"},
			v1alpha1.ReasonWorkloadNotFound,
			[]string{"Deployment checkout", "spec.workload.name", "create it"},
		},
		"no service": {
			shape{no: "service"},
			v1alpha1.ReasonServiceNotFound,
			[]string{"Service checkout", "spec.service.name", "create it"},
		},
		"another port": {
			shape{ref: func(r *workload.Reference) { r.Port = 80 }},
			v1alpha1.ReasonPortNotFound,
			[]string{"no port 80", "8080, 9090"},
		},
		"a selector that misses": {
			shape{service: func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "cart"} }},
			v1alpha1.ReasonServiceSelectorMismatch,
			[]string{"app=cart", "app=checkout", "correct the Service's selector"},
		},
		"no selector": {
			shape{service: func(s *corev1.Service) { s.Spec.Selector = nil }},
			v1alpha1.ReasonServiceSelectorMismatch,
			[]string{"no selector", "app=checkout"},
		},
		"no label in common": {
			shape{service: func(s *corev1.Service) { s.Spec.Selector = map[string]string{"extra": "yes"} }},
			v1alpha1.ReasonSelectorNotEscapable,
			[]string{"app=checkout,tier=web", "extra=yes", "in common"},
		},
		"another label in common": {
			shape: shape{service: func(s *corev1.Service) { s.Spec.Selector = map[string]string{"tier": "web"} }},
		},
		"a track label that the service lacks": {
			shape{ref: func(r *workload.Reference) { r.TrackLabel = "tier" }},
			v1alpha1.ReasonSelectorNotEscapable,
			[]string{"spec.workload.trackLabel", "tier"},
		},
		"a label that expressions name too": {
			shape{workload: func(d *appsv1.Deployment) {
				d.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpExists}}
			}},
			v1alpha1.ReasonSelectorNotEscapable,
			[]string{"matchExpressions"},
		},
		"Recreate": {
			shape{workload: func(d *appsv1.Deployment) { d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType }},
			v1alpha1.ReasonCannotRunTwice,
			[]string{"spec.strategy.type: Recreate", "RollingUpdate"},
		},
		"a volume claim for one node": {
			shape{claim: claim(corev1.ReadWriteOnce), workload: claimVolume(false)},
			v1alpha1.ReasonCannotRunTwice,
			[]string{"spec.template.spec.volumes[data].persistentVolumeClaim", "claim store is ReadWriteOnce", "readOnly"},
		},
		"a volume claim for one pod": {
			shape{claim: claim(corev1.ReadWriteOncePod), workload: claimVolume(true)},
			v1alpha1.ReasonCannotRunTwice,
			[]string{"spec.template.spec.volumes[data].persistentVolumeClaim", "claim store is ReadWriteOncePod", "ReadWriteMany"},
		},
		"a volume claim that isn't there": {
			shape{workload: claimVolume(true)},
			v1alpha1.ReasonCannotRunTwice,
			[]string{"spec.template.spec.volumes[data].persistentVolumeClaim", "there is no claim store", "create it"},
		},
		"a volume claim that is read only": {shape: shape{claim: claim(corev1.ReadWriteOnce), workload: claimVolume(true)}},
		"a volume claim for many":          {shape: shape{claim: claim(corev1.ReadWriteOnce, corev1.ReadWriteMany), workload: claimVolume(false)}},
		"a volume claim for many readers":  {shape: shape{claim: claim(corev1.ReadOnlyMany), workload: claimVolume(false)}},
		"a volume of each pod's own": {shape: shape{workload: func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
				VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: claim(corev1.ReadWriteOncePod).Spec},
			}}}}
		}}},
		"a headless service": {
			shape{service: func(s *corev1.Service) { s.Spec.ClusterIP = corev1.ClusterIPNone }},
			v1alpha1.ReasonServiceHeadless,
			[]string{"Service checkout", "spec.clusterIP: None", "cluster IP"},
		},
		"a host port": {
			shape{workload: func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Ports[0].HostPort = 8080 }},
			v1alpha1.ReasonCannotRunTwice,
			[]string{"hostPort of container shop"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.make(test.shape)
			o := r.until("an observation", func(o *workload.Observation) bool {
				return (o.Workload != nil || test.shape.no == "workload") && (o.Problem == nil) == (test.reason == "") &&
					(o.Problem == nil || o.Problem.Reason == test.reason)
			})
			for _, word := range test.words {
				if !strings.Contains(o.Problem.Message, word) {
					t.Errorf("the message %q doesn't say %q", o.Problem.Message, word)
				}
			}
		})
	}
}

// make creates the workload and the service in their shape. No pods are needed.
func (r *rig) make(s shape) {
	r.Helper()
	if s.ref != nil {
		s.ref(&r.ref)
	}
	if s.claim != nil {
		s.claim.Namespace = r.ref.Namespace
		r.create(s.claim)
	}
	if s.no != "workload" {
		d := newDeployment(r.ref.Namespace, "checkout", "v1")
		d.Spec.Replicas = new(int32)
		if s.workload != nil {
			s.workload(d)
		}
		r.create(d)
	}
	if s.no != "service" {
		service := newService(r.ref.Namespace, "checkout", map[string]string{"app": "checkout"})
		if s.service != nil {
			s.service(service)
		}
		r.create(service)
	}
}

func TestObserve_PrefersTheUsualLabelsAndTakesTheOneThatIsChosen(t *testing.T) {
	both := map[string]string{"app": "checkout", "a-first": "one", "app.kubernetes.io/name": "checkout"}
	for chosen, want := range map[string]string{"": "app.kubernetes.io/name", "a-first": "a-first"} {
		r := newRig(t)
		r.make(shape{
			ref: func(ref *workload.Reference) { ref.TrackLabel = chosen },
			workload: func(d *appsv1.Deployment) {
				d.Spec.Selector.MatchLabels, d.Spec.Template.Labels = both, both
			},
			service: func(s *corev1.Service) { s.Spec.Selector = both },
		})
		r.until("the workload", func(o *workload.Observation) bool { return o.Workload != nil && o.Problem == nil })
		r.retry("adopt", func(state *workload.State) error { return r.Adopt(t.Context(), r.ref, state) })
		o := r.until("the workload to be adopted", func(o *workload.Observation) bool { return o.Workload.Adopted })
		revision := o.Workload.Template.Revision
		r.record(o.Workload.Template)
		r.copy(o, revision, 0)
		selector := r.deployment("checkout-" + revision).Spec.Selector.MatchLabels
		for key, value := range both {
			if changed := selector[key] != value; changed != (key == want) {
				t.Errorf("trackLabel %q: %s is %q in the copy's selector", chosen, key, selector[key])
			}
		}
	}
}

func TestObserve_SaysThatTheTrackServicesNameIsTaken(t *testing.T) {
	r := newRig(t)
	r.make(shape{})
	r.create(newService(r.ref.Namespace, "checkout-workload", map[string]string{"app": "other"}))
	r.until("the problem", func(o *workload.Observation) bool {
		return o.Problem != nil && o.Problem.Reason == v1alpha1.ReasonNameTaken && strings.Contains(o.Problem.Message, "checkout-workload")
	})
}

// rollout makes a Rollout of the workload and service, and speaks for it.
func (r *rig) rollout(name string) workload.Reference {
	r.Helper()
	rollout := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.ref.Namespace, Name: name},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "checkout"},
			Service:  v1alpha1.ServiceReference{Name: "checkout", Port: 8080},
			Router:   []v1alpha1.RouterSpec{{SMI: &v1alpha1.SMIRouter{}}},
		},
	}
	r.create(rollout)
	ref := r.ref
	ref.Rollout, ref.UID = name, string(rollout.UID)
	return ref
}

func TestObserve_GivesAWorkloadToOneRolloutOnly(t *testing.T) {
	r := newRig(t)
	r.make(shape{})
	first, second := r.rollout("alpha"), r.rollout("beta")
	claimed := func(ref workload.Reference, by string) {
		t.Helper()
		r.ref = ref
		r.until(ref.Rollout+" to see who has the workload", func(o *workload.Observation) bool {
			if by == "" {
				return o.Workload != nil && o.Problem == nil
			}
			return o.Problem != nil && o.Problem.Reason == v1alpha1.ReasonAlreadyClaimed && strings.Contains(o.Problem.Message, "Rollout "+by)
		})
	}
	claimed(first, "")
	claimed(second, "alpha")

	r.ref = second
	r.retry("claim it for the second", func(state *workload.State) error { return r.Adopt(t.Context(), second, state) })
	claimed(second, "")
	claimed(first, "beta")

	r.must("delete the second", server.Delete(t.Context(), &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: second.Namespace, Name: "beta"}}))
	claimed(first, "")
	r.retry("take over what a dead Rollout claimed", func(state *workload.State) error { return r.Adopt(t.Context(), first, state) })
	r.until("the workload to be adopted", func(o *workload.Observation) bool { return o.Workload.Adopted })
	if live := r.live(); live.Annotations[v1alpha1.AnnotationClaim] != first.UID || live.Labels[v1alpha1.LabelHeld] != "alpha" {
		t.Errorf("the labels are %v and the annotations %v", live.Labels, live.Annotations)
	}
}
