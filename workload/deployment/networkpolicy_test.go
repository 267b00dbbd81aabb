package deployment_test

import (
	"context"
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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
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
		n.Cleanup(func() {
			// Policies may be about pods in all namespaces, those of other tests too.
			_ = server.Delete(context.Background(), rendered)
		})
		n.shown(rendered)
		made = append(made, rendered)
	}
	return made
}

// shown waits until caches show a policy.
func (n *neighbourhood) shown(policy *networkingv1.NetworkPolicy) {
	n.Helper()
	eventually(n.T, "the caches to show the policy", func() error {
		return informers.Get(n.Context(), client.ObjectKeyFromObject(policy), networkPolicy())
	})
}

// name gives the teams in peers the names that they have in this test.
func (n *neighbourhood) name(peers []networkingv1.NetworkPolicyPeer) {
	for i := range peers {
		if selector := peers[i].NamespaceSelector; selector != nil && len(selector.MatchLabels) > 0 {
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
		"all teams' pods of that label are a peer": {
			[]policy{{pods: app("database"), from: peers(networkingv1.NetworkPolicyPeer{PodSelector: app("checkout"), NamespaceSelector: everybody})}}, 1,
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
		"all but some are closed and it nearly": {
			[]policy{
				{pods: appIs(metav1.LabelSelectorOpNotIn, "checkout", "frontend", "database"), from: nobody, to: nobody},
				{pods: app("checkout"), from: peers(near(app("frontend"))), to: peers(near(app("database")))},
			}, 1,
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
			stranger := party{n.elsewhere, n.deployment("checkout-" + revision).Spec.Template.Labels}
			database := party{n.ref.Namespace, app("database").MatchLabels}
			if bare.allows(stranger, database) != all.allows(stranger, database) {
				t.Error("twins let a pod of another namespace in that has the copy's labels")
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
