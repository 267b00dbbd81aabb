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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

const (
	ingress = networkingv1.PolicyTypeIngress
	egress  = networkingv1.PolicyTypeEgress
)

// policy is a NetworkPolicy in a few words: in which namespace it is, whose pods it selects, and who may call these
// (from) or be called by them (to). A direction that is nil is not its business, an empty one is forbidden.
type policy struct {
	elsewhere bool
	pods      *metav1.LabelSelector
	from, to  []networkingv1.NetworkPolicyPeer
}

func app(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
}

func appIs(operator metav1.LabelSelectorOperator, names ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: operator, Values: names}}}
}

func near(pods *metav1.LabelSelector) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: pods}
}

// within are pods in the namespaces of a team.
func within(team string, pods *metav1.LabelSelector) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{
		PodSelector:       pods,
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}},
	}
}

func (p policy) render(namespace string) *networkingv1.NetworkPolicy {
	out := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: "users-",
			Labels:      map[string]string{"argocd.argoproj.io/instance": "shop"},
			Annotations: map[string]string{"team": "shop"},
		},
		Spec: networkingv1.NetworkPolicySpec{PodSelector: *p.pods},
	}
	if p.from != nil {
		out.Spec.PolicyTypes = append(out.Spec.PolicyTypes, ingress)
		if len(p.from) > 0 {
			out.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: p.from}}
		}
	}
	if p.to != nil {
		out.Spec.PolicyTypes = append(out.Spec.PolicyTypes, egress)
		if len(p.to) > 0 {
			out.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: p.to}}
		}
	}
	return out
}

// party is a pod that may call another.
type party struct {
	namespace string
	labels    map[string]string
}

// cluster is what decides who may call whom.
type cluster struct {
	policies   []networkingv1.NetworkPolicy
	namespaces map[string]map[string]string
}

// allows says whether one may call other, as a network plugin would.
func (c *cluster) allows(one, other party) bool {
	return c.passes(egress, one, other) && c.passes(ingress, other, one)
}

// passes says whether the policies for subject let it have to do with peer in a direction.
func (c *cluster) passes(direction networkingv1.PolicyType, subject, peer party) bool {
	isolated := false
	for i := range c.policies {
		p := &c.policies[i]
		if p.Namespace != subject.namespace || !slices.Contains(p.Spec.PolicyTypes, direction) || !matches(&p.Spec.PodSelector, subject.labels) {
			continue
		}
		isolated = true
		if direction == ingress && slices.ContainsFunc(p.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
			return c.names(p.Namespace, rule.From, peer)
		}) {
			return true
		}
		if direction == egress && slices.ContainsFunc(p.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
			return c.names(p.Namespace, rule.To, peer)
		}) {
			return true
		}
	}
	return !isolated
}

func (c *cluster) names(namespace string, peers []networkingv1.NetworkPolicyPeer, pod party) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		if peer.NamespaceSelector == nil && pod.namespace != namespace {
			return false
		}
		return (peer.NamespaceSelector == nil || matches(peer.NamespaceSelector, c.namespaces[pod.namespace])) &&
			(peer.PodSelector == nil || matches(peer.PodSelector, pod.labels))
	})
}

func matches(selector *metav1.LabelSelector, of map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labelSet(of))
}

type labelSet map[string]string

func (l labelSet) Has(key string) bool { _, ok := l[key]; return ok }
func (l labelSet) Get(key string) string {
	return l[key]
}

func (l labelSet) Lookup(key string) (string, bool) {
	value, ok := l[key]
	return value, ok
}

// neighbourhood is a rig with a second namespace, both labelled with their teams.
type neighbourhood struct {
	*rig
	elsewhere string
}

func newNeighbourhood(t *testing.T) *neighbourhood {
	t.Helper()
	n := &neighbourhood{rig: newRig(t), elsewhere: newNamespace(t)}
	for _, namespace := range []string{n.ref.Namespace, n.elsewhere} {
		// A team of each test's own: policies of others are in the cluster too.
		team := n.team(namespace)
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"team":"`+team+`"}}}`))
		n.must("label a namespace", server.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, patch))
		eventually(t, "the caches to show the label", func() error {
			shown := &metav1.PartialObjectMetadata{}
			shown.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
			if err := informers.Get(t.Context(), client.ObjectKey{Name: namespace}, shown); err != nil {
				return err
			}
			if shown.Labels["team"] != team {
				return fmt.Errorf("labels are %v", shown.Labels)
			}
			return nil
		})
	}
	return n
}

// team is the label of a namespace: that of the shop, or another.
func (n *neighbourhood) team(namespace string) string {
	if namespace == n.ref.Namespace {
		return "shop-" + n.ref.Namespace
	}
	return "data-" + n.ref.Namespace
}

// lay creates policies, and waits until caches show them.
func (n *neighbourhood) lay(policies ...policy) []*networkingv1.NetworkPolicy {
	n.Helper()
	var made []*networkingv1.NetworkPolicy
	for _, p := range policies {
		namespace := n.ref.Namespace
		if p.elsewhere {
			namespace = n.elsewhere
		}
		rendered := p.render(namespace)
		for i := range rendered.Spec.Ingress {
			n.name(rendered.Spec.Ingress[i].From)
		}
		for i := range rendered.Spec.Egress {
			n.name(rendered.Spec.Egress[i].To)
		}
		n.create(rendered)
		eventually(n.T, "the caches to show the policy", func() error {
			return informers.Get(n.Context(), client.ObjectKeyFromObject(rendered), networkPolicy())
		})
		made = append(made, rendered)
	}
	return made
}

// name gives the teams in peers the names that they have in this test.
func (n *neighbourhood) name(peers []networkingv1.NetworkPolicyPeer) {
	for i := range peers {
		if selector := peers[i].NamespaceSelector; selector != nil {
			peers[i].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": selector.MatchLabels["team"] + "-" + n.ref.Namespace}}
		}
	}
}

func networkPolicy() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"))
	return u
}

// tried makes a copy of the workload's own template without pods, and returns its revision.
func (r *rig) tried() string {
	r.Helper()
	r.make(shape{})
	return r.tryAdopted()
}

func (r *rig) tryAdopted() string {
	r.Helper()
	r.until("the workload", func(o *workload.Observation) bool { return o.Workload != nil && o.Problem == nil })
	r.retry("adopt", func(state *workload.State) error { return r.Adopt(r.Context(), r.ref, state) })
	o := r.until("the workload to be adopted", func(o *workload.Observation) bool { return o.Workload.Adopted })
	r.record(o.Workload.Template)
	r.copy(o, o.Workload.Template.Revision, 0)
	return o.Workload.Template.Revision
}

// cluster reads all policies of the two namespaces, with or without twins.
func (n *neighbourhood) cluster(twins bool) *cluster {
	n.Helper()
	c := &cluster{namespaces: map[string]map[string]string{}}
	for _, namespace := range []string{n.ref.Namespace, n.elsewhere} {
		c.namespaces[namespace] = map[string]string{"team": n.team(namespace), corev1.LabelMetadataName: namespace}
		found := &networkingv1.NetworkPolicyList{}
		n.must("list policies", server.List(n.Context(), found, client.InNamespace(namespace)))
		for i := range found.Items {
			if twins || found.Items[i].Labels[v1alpha1.LabelRollout] == "" {
				c.policies = append(c.policies, found.Items[i])
			}
		}
	}
	return c
}

// twins are the twins in the two namespaces.
func (n *neighbourhood) twins() []networkingv1.NetworkPolicy {
	n.Helper()
	return slices.DeleteFunc(n.cluster(true).policies, func(p networkingv1.NetworkPolicy) bool { return p.Labels[v1alpha1.LabelRollout] == "" })
}

// table says who may call whom: the parties, the workload's pods or the copy's in their place, and both among each other.
func (n *neighbourhood) table(c *cluster, copied bool, revision string) string {
	n.Helper()
	pod := func(d *appsv1.Deployment) party { return party{n.ref.Namespace, d.Spec.Template.Labels} }
	old, self := pod(n.live()), pod(n.live())
	if copied {
		self = pod(n.deployment("checkout-" + revision))
	}
	others := map[string]party{
		"frontend":           {n.ref.Namespace, map[string]string{"app": "frontend"}},
		"cart":               {n.ref.Namespace, map[string]string{"app": "cart"}},
		"database":           {n.ref.Namespace, map[string]string{"app": "database"}},
		"database elsewhere": {n.elsewhere, map[string]string{"app": "database"}},
		"checkout elsewhere": {n.elsewhere, map[string]string{"app": "checkout"}},
		"copy elsewhere":     {n.elsewhere, n.deployment("checkout-" + revision).Spec.Template.Labels},
		"incumbent":          old, "itself": self,
	}
	var lines []string
	for name, other := range others {
		lines = append(lines, fmt.Sprintf("%s: calls it %v, is called %v", name, c.allows(other, self), c.allows(self, other)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestCopy_MayDoWhatTheWorkloadMayAndNoMore(t *testing.T) {
	everybody := &metav1.LabelSelector{}
	peers := func(p ...networkingv1.NetworkPolicyPeer) []networkingv1.NetworkPolicyPeer { return p }
	nobody := []networkingv1.NetworkPolicyPeer{}
	for name, test := range map[string]struct {
		policies []policy
		twins    int
	}{
		"it is called": {
			[]policy{{pods: app("checkout"), from: peers(near(app("frontend")))}}, 1,
		},
		"it calls another namespace": {
			[]policy{{pods: app("checkout"), to: peers(within("data", app("database")))}}, 1,
		},
		"it is closed": {
			[]policy{{pods: app("checkout"), from: nobody, to: nobody}}, 1,
		},
		"it is a peer": {
			[]policy{{pods: app("database"), from: peers(near(app("checkout")), near(app("cart")))}}, 1,
		},
		"it is a peer that is called": {
			[]policy{{pods: app("frontend"), from: peers(near(app("cart"))), to: peers(near(app("checkout")))}}, 1,
		},
		"it is a peer from another namespace": {
			[]policy{{elsewhere: true, pods: app("database"), from: peers(within("shop", app("checkout")))}}, 1,
		},
		"another team's pods of that label are a peer": {
			[]policy{{elsewhere: true, pods: app("database"), from: peers(within("data", app("checkout")), near(app("checkout")))}}, 0,
		},
		"it calls itself only": {
			[]policy{{pods: app("checkout"), from: peers(near(app("checkout"))), to: peers(near(app("checkout")))}}, 2,
		},
		"it is one of some": {
			[]policy{{pods: appIs(metav1.LabelSelectorOpIn, "checkout", "cart"), from: peers(near(appIs(metav1.LabelSelectorOpIn, "checkout", "frontend")))}}, 2,
		},
		"all are closed and it is let through": {
			[]policy{
				{pods: everybody, from: nobody, to: nobody},
				{pods: app("checkout"), from: peers(near(app("frontend"))), to: peers(near(app("database")))},
				{pods: app("database"), from: peers(near(app("checkout"))), to: nobody},
				{pods: app("frontend"), from: nobody, to: peers(near(app("checkout")))},
			}, 3,
		},
		"all but it are closed": {
			[]policy{{pods: appIs(metav1.LabelSelectorOpNotIn, "checkout"), from: nobody, to: nobody}}, 1,
		},
		"all are closed and all may call": {
			[]policy{{pods: everybody, from: peers(near(everybody)), to: nobody}}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNeighbourhood(t)
			n.lay(test.policies...)
			revision := n.tried()
			if got := len(n.twins()); got != test.twins {
				t.Errorf("there are %d twins, want %d: %+v", got, test.twins, n.twins())
			}
			all, bare := n.cluster(true), n.cluster(false)
			want := n.table(bare, false, revision)
			if diff := cmp.Diff(want, n.table(all, true, revision)); diff != "" {
				t.Errorf("who may call whom (-the workload +the copy):\n%s", diff)
			}
			if diff := cmp.Diff(want, n.table(all, false, revision)); diff != "" {
				t.Errorf("twins changed what holds for the workload (-before +after):\n%s", diff)
			}
			if test.twins > 0 && n.table(bare, true, revision) == want {
				t.Error("the test shows nothing: without twins it would be the same")
			}
			o := n.until("the twins to be seen", func(o *workload.Observation) bool { return o.Copies[revision].Permitted })
			writes := len(n.written)
			n.must("permit again", n.Permit(t.Context(), n.ref, revision))
			n.must("copy again", n.Copy(t.Context(), n.ref, o.Workload, revision, 0))
			if len(n.written) != writes {
				t.Errorf("%d objects were written though nothing changed", len(n.written)-writes)
			}
		})
	}
}

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
		if !errors.As(err, &problem) || problem.Problem.Reason != deployment.ReasonNameTaken || !strings.Contains(err.Error(), twin.Name) {
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
