package deployment_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

func TestCopy_WritesTwinsBeforeThereCanBePods(t *testing.T) {
	n := newNeighbourhood(t)
	n.lay(policy{pods: app("checkout"), from: []networkingv1.NetworkPolicyPeer{near(app("frontend"))}})
	n.tried()
	var kinds []string
	for _, obj := range n.written {
		if obj.GetLabels()[v1alpha1.LabelTrack] != "" {
			kinds = append(kinds, obj.GetObjectKind().GroupVersionKind().Kind)
		}
	}
	if diff := cmp.Diff([]string{"NetworkPolicy", "Deployment", "Service"}, kinds); diff != "" {
		t.Errorf("order of writes (-want +got):\n%s", diff)
	}
}

func TestCopy_GivesTwinsNothingByWhichOthersWouldTakeThemForTheirs(t *testing.T) {
	n := newNeighbourhood(t)
	made := n.lay(policy{elsewhere: true, pods: app("database"), from: []networkingv1.NetworkPolicyPeer{within("shop", app("checkout"))}})
	revision := n.tried()
	twin := n.twins()[0]
	want := map[string]string{
		v1alpha1.LabelRollout: "checkout", v1alpha1.LabelRolloutNamespace: n.ref.Namespace,
		v1alpha1.LabelRevision: revision, v1alpha1.LabelTrack: "checkout-" + revision,
	}
	if diff := cmp.Diff(want, twin.Labels) + cmp.Diff(map[string]string{v1alpha1.AnnotationTwinOf: made[0].Name}, twin.Annotations); diff != "" {
		t.Errorf("labels and annotations (-want +got):\n%s", diff)
	}
	if twin.Namespace != n.elsewhere || len(twin.OwnerReferences) > 0 {
		t.Errorf("the twin is %+v", twin.ObjectMeta)
	}
}

func TestCopy_KeepsPortsInTwins(t *testing.T) {
	n := newNeighbourhood(t)
	ports := []networkingv1.NetworkPolicyPort{{Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(5432))}}
	for _, rules := range [][]networkingv1.NetworkPolicyIngressRule{
		{{From: []networkingv1.NetworkPolicyPeer{near(app("checkout"))}, Ports: ports}, {From: []networkingv1.NetworkPolicyPeer{near(app("cart"))}}},
		{{Ports: ports}},
	} {
		made := policy{pods: app("database"), from: []networkingv1.NetworkPolicyPeer{}}.render(n.ref.Namespace)
		if rules[0].From == nil {
			made.Spec.PodSelector = *app("checkout")
		}
		made.Spec.Ingress = rules
		n.create(made)
		n.shown(made)
	}
	n.tried()
	twins := n.twins()
	if len(twins) != 2 {
		t.Fatalf("there are %d twins, want 2", len(twins))
	}
	for i := range twins {
		if len(twins[i].Spec.Ingress) != 1 || cmp.Diff(ports, twins[i].Spec.Ingress[0].Ports) != "" {
			t.Errorf("the twin of %s lets in by %+v", twins[i].Annotations[v1alpha1.AnnotationTwinOf], twins[i].Spec.Ingress)
		}
	}
}

func TestCopy_ClosesNothingThatThePolicyLeavesOpen(t *testing.T) {
	n := newNeighbourhood(t)
	// Its egress rules mean nothing: it is a policy for ingress only.
	made := policy{
		pods: app("frontend"),
		from: []networkingv1.NetworkPolicyPeer{near(app("cart"))}, to: []networkingv1.NetworkPolicyPeer{near(app("checkout"))},
	}.render(n.ref.Namespace)
	made.Spec.PolicyTypes = made.Spec.PolicyTypes[:1]
	n.create(made)
	n.shown(made)
	n.tried()
	if twins := n.twins(); len(twins) > 0 {
		t.Errorf("there are twins: %+v", twins)
	}
}

func TestCopy_LeavesPoliciesForCopiesAlone(t *testing.T) {
	n := newNeighbourhood(t)
	candidates := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: v1alpha1.LabelTrack, Operator: metav1.LabelSelectorOpExists}}}
	n.lay(policy{pods: candidates, to: []networkingv1.NetworkPolicyPeer{}})
	n.tried()
	if twins := n.twins(); len(twins) > 0 {
		t.Errorf("what a user closed for candidates is opened: %+v", twins)
	}
}

func TestPermit_FollowsThePolicies(t *testing.T) {
	n := newNeighbourhood(t)
	frontend := []networkingv1.NetworkPolicyPeer{near(app("frontend"))}
	made := n.lay(
		policy{pods: app("checkout"), from: frontend},
		policy{elsewhere: true, pods: app("database"), from: []networkingv1.NetworkPolicyPeer{within("shop", app("checkout"))}},
	)
	revision := n.tried()
	permitted := func(o *workload.Observation) bool { return o.Copies[revision].Permitted }
	n.until("the twins", permitted)

	changed := made[0].DeepCopy()
	changed.Spec.Ingress[0].Ports = []networkingv1.NetworkPolicyPort{{}}
	n.must("change a policy", server.Update(t.Context(), changed))
	n.until("the change to be seen", func(o *workload.Observation) bool { return !permitted(o) })
	n.must("permit", n.Permit(t.Context(), n.ref, revision))
	n.until("the twin to follow", permitted)
	if diff := cmp.Diff(n.table(n.cluster(true), false, revision), n.table(n.cluster(true), true, revision)); diff != "" {
		t.Errorf("who may call whom (-the workload +the copy):\n%s", diff)
	}

	twin := n.twins()[slices.IndexFunc(n.twins(), func(p networkingv1.NetworkPolicy) bool { return p.Namespace == n.ref.Namespace })]
	twin.Spec.Ingress = nil
	n.must("edit a twin", server.Update(t.Context(), &twin, client.FieldOwner("somebody")))
	n.until("the edit to be seen", func(o *workload.Observation) bool { return !permitted(o) })
	n.must("permit", n.Permit(t.Context(), n.ref, revision))
	n.until("the twin to be right again", permitted)

	for _, original := range made {
		n.must("delete a policy", server.Delete(t.Context(), original))
	}
	n.until("that to be seen", func(o *workload.Observation) bool { return !permitted(o) })
	eventually(t, "the twins to go", func() error {
		if err := n.Permit(t.Context(), n.ref, revision); err != nil {
			return err
		}
		if left := n.twins(); len(left) > 0 {
			return fmt.Errorf("%d twins are left", len(left))
		}
		return nil
	})
	n.lay(policy{pods: app("checkout"), from: frontend})
	n.until("a new policy to be seen", func(o *workload.Observation) bool { return !permitted(o) })
}

func TestPermit_NeverTakesOverWhatIsNotWeighlocks(t *testing.T) {
	n := newNeighbourhood(t)
	n.lay(policy{pods: app("checkout"), from: []networkingv1.NetworkPolicyPeer{near(app("frontend"))}})
	revision := n.tried()
	twin := n.twins()[0]
	n.must("delete the twin", server.Delete(t.Context(), &twin))
	others := policy{pods: app("database"), from: []networkingv1.NetworkPolicyPeer{}}.render(n.ref.Namespace)
	others.GenerateName, others.Name = "", twin.Name
	n.create(others)
	eventually(t, "the refusal", func() error {
		err := n.Permit(t.Context(), n.ref, revision)
		problem := (*workload.ProblemError)(nil)
		if !errors.As(err, &problem) || problem.Problem.Reason != v1alpha1.ReasonNameTaken || !strings.Contains(err.Error(), twin.Name) {
			return fmt.Errorf("the error is %w, want NameTaken", err)
		}
		return nil
	})
	n.must("delete the copy", n.DeleteCopy(t.Context(), n.ref, revision))
	after := &networkingv1.NetworkPolicy{}
	n.must("read the policy", server.Get(t.Context(), client.ObjectKeyFromObject(others), after))
	if diff := cmp.Diff(others.Spec, after.Spec) + cmp.Diff(others.Labels, after.Labels); diff != "" {
		t.Errorf("it was changed (-before +after):\n%s", diff)
	}
}

func TestCopiesIn_ListsTheRolloutsThatHaveCopies(t *testing.T) {
	r := newRig(t)
	revision := r.tried()
	r.until("the copy", func(o *workload.Observation) bool { return o.Copies[revision] != nil })
	subjects, err := deployment.CopiesIn(t.Context(), informers)
	r.must("list them", err)
	if want := (deployment.Subject{Namespace: r.ref.Namespace, Rollout: "checkout"}); !slices.Contains(subjects, want) {
		t.Errorf("%+v is not among %+v", want, subjects)
	}
}

func TestCopy_LetsTwoCandidatesCallEachOther(t *testing.T) {
	n := newNeighbourhood(t)
	n.lay(
		policy{pods: app("checkout"), to: []networkingv1.NetworkPolicyPeer{near(app("cart"))}, from: []networkingv1.NetworkPolicyPeer{}},
		policy{pods: app("cart"), from: []networkingv1.NetworkPolicyPeer{near(app("checkout"))}, to: []networkingv1.NetworkPolicyPeer{}},
	)
	ref := n.rollout("checkout")
	n.ref = ref
	first := n.tried()

	other := n.ref
	other.Rollout, other.Name, other.Service = "cart", "cart", "cart"
	rollout := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: "cart"},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "cart"},
			Service:  v1alpha1.ServiceReference{Name: "cart", Port: 8080},
			Router:   []v1alpha1.RouterSpec{{SMI: &v1alpha1.SMIRouter{}}},
		},
	}
	cart := newDeployment(other.Namespace, "cart", "v1")
	cart.Spec.Replicas = new(int32)
	n.create(rollout, cart, newService(other.Namespace, "cart", app("cart").MatchLabels))
	other.UID = string(rollout.UID)
	n.ref = other
	second := n.tryAdopted()

	n.ref = ref
	n.until("the other copy to be seen", func(o *workload.Observation) bool { return !o.Copies[first].Permitted })
	n.must("permit", n.Permit(t.Context(), ref, first))
	n.until("the twins to be right", func(o *workload.Observation) bool { return o.Copies[first].Permitted })
	pod := func(name string) party { return party{ref.Namespace, n.deployment(name).Spec.Template.Labels} }
	c := n.cluster(true)
	for _, one := range []string{"checkout", "checkout-" + first} {
		for _, another := range []string{"cart", "cart-" + second} {
			if !c.allows(pod(one), pod(another)) {
				t.Errorf("%s can't call %s", one, another)
			}
			if c.allows(pod(another), pod(one)) {
				t.Errorf("%s can call %s", another, one)
			}
		}
	}
}

// lingering makes the pods of a copy stay when they are deleted, until the returned function lets them go.
func (r *rig) lingering(track string) (let func()) {
	r.Helper()
	patch := func(text string) {
		pods := &corev1.PodList{}
		r.must("list pods", server.List(r.Context(), pods, client.InNamespace(r.ref.Namespace), client.MatchingLabels{v1alpha1.LabelTrack: track}))
		for i := range pods.Items {
			r.must("patch a pod", client.IgnoreNotFound(server.Patch(r.Context(), &pods.Items[i], client.RawPatch("application/merge-patch+json", []byte(text)))))
		}
	}
	patch(`{"metadata":{"finalizers":["example.com/linger"]}}`)
	return func() { patch(`{"metadata":{"finalizers":null}}`) }
}

func TestDeleteCopy_LeavesTwinsToPodsThatAreEnding(t *testing.T) {
	n := newNeighbourhood(t)
	n.lay(
		policy{pods: app("checkout"), from: []networkingv1.NetworkPolicyPeer{near(app("frontend"))}},
		policy{pods: app("database"), from: []networkingv1.NetworkPolicyPeer{near(app("checkout"))}},
		policy{elsewhere: true, pods: app("database"), from: []networkingv1.NetworkPolicyPeer{within("shop", app("checkout"))}},
	)
	o, _, second := n.candidate()
	n.copy(o, second, 2)
	if got := len(n.twins()); got != 3 {
		t.Fatalf("there are %d twins, want 3", got)
	}
	n.until("the twins", func(o *workload.Observation) bool { return o.Copies[second].Permitted })
	let := n.lingering("checkout-" + second)
	n.must("delete the copy", n.DeleteCopy(t.Context(), n.ref, second))
	eventually(t, "the copy to be gone", func() error {
		return gone(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: n.ref.Namespace, Name: "checkout-" + second}})
	})
	eventually(t, "the pods to be ending", func() error {
		pods := &corev1.PodList{}
		n.must("list pods", server.List(t.Context(), pods, client.InNamespace(n.ref.Namespace), client.MatchingLabels{v1alpha1.LabelTrack: "checkout-" + second}))
		for i := range pods.Items {
			if pods.Items[i].DeletionTimestamp == nil {
				return fmt.Errorf("pod %s isn't ending", pods.Items[i].Name)
			}
		}
		return nil
	})
	left := n.twins()
	if len(left) != 2 || left[0].Namespace != n.ref.Namespace || left[1].Namespace != n.ref.Namespace {
		t.Errorf("while pods are ending there are %d twins, want the 2 in their namespace", len(left))
	}
	n.must("delete it again", n.DeleteCopy(t.Context(), n.ref, second))
	n.must("unserve", n.Unserve(t.Context(), n.ref))
	if now := n.twins(); len(now) != len(left) {
		t.Errorf("then there are %d twins, there were %d", len(now), len(left))
	}
	let()
	eventually(t, "the twins to go with the pods", func() error {
		if left := n.twins(); len(left) > 0 {
			return fmt.Errorf("%d twins are left", len(left))
		}
		return nil
	})
}

func TestCopy_TakesTwinsBackFromPodsThatAreEnding(t *testing.T) {
	n := newNeighbourhood(t)
	n.lay(policy{pods: app("checkout"), from: []networkingv1.NetworkPolicyPeer{near(app("frontend"))}})
	o, _, second := n.candidate()
	n.copy(o, second, 1)
	n.until("the twin", func(o *workload.Observation) bool { return o.Copies[second].Permitted })
	let := n.lingering("checkout-" + second)
	n.must("delete the copy", n.DeleteCopy(t.Context(), n.ref, second))
	n.until("the copy to be gone, and its twin to be left to a pod", func(o *workload.Observation) bool {
		shown := networkPolicy()
		left := n.twins()[0]
		return informers.Get(t.Context(), client.ObjectKeyFromObject(&left), shown) == nil && len(shown.GetOwnerReferences()) == 1 && len(o.Copies) == 0
	})
	n.must("copy again", n.Copy(t.Context(), n.ref, o.Workload, second, 1))
	if twin := n.twins()[0]; len(twin.OwnerReferences) > 0 {
		t.Errorf("the twin still goes with %v", twin.OwnerReferences)
	}
	let()
	n.until("the copy to be ready with its twin", func(o *workload.Observation) bool {
		c := o.Copies[second]
		return c != nil && c.Ready == 1 && c.Permitted
	})
}

// stopping is a writer that fails at the first write of a kind, as if the controller was killed there.
type stopping struct {
	client.Client
	kind string
}

var errStopped = errors.New("stopped")

func (s stopping) Apply(ctx context.Context, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	if named, ok := obj.(interface{ GetKind() string }); ok && named.GetKind() == s.kind {
		return errStopped
	}
	return s.Client.Apply(ctx, obj, opts...)
}

func TestUnserve_RemovesTwinsWhoseCopyWasNeverMade(t *testing.T) {
	n := newNeighbourhood(t)
	n.lay(policy{pods: app("checkout"), from: []networkingv1.NetworkPolicyPeer{near(app("frontend"))}})
	n.make(shape{})
	n.until("the workload", func(o *workload.Observation) bool { return o.Workload != nil && o.Problem == nil })
	n.retry("adopt", func(state *workload.State) error { return n.Adopt(t.Context(), n.ref, state) })
	o := n.until("the workload to be adopted", func(o *workload.Observation) bool { return o.Workload.Adopted })
	n.record(o.Workload.Template)
	killed := deployment.New(deployment.Options{Reader: informers, Live: server, Writer: stopping{server, "Deployment"}, Mapper: server.RESTMapper()})
	if err := killed.Copy(t.Context(), n.ref, o.Workload, o.Workload.Template.Revision, 0); !errors.Is(err, errStopped) {
		t.Fatalf("the error is %v", err)
	}
	if got := len(n.twins()); got != 1 {
		t.Fatalf("there are %d twins, want 1", got)
	}
	eventually(t, "the twin to go", func() error {
		if err := n.Unserve(t.Context(), n.ref); err != nil {
			return err
		}
		if left := n.twins(); len(left) > 0 {
			return fmt.Errorf("%d twins are left", len(left))
		}
		return nil
	})
}
