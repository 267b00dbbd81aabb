package deployment

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

var (
	networkPolicyKind = networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy")
	namespaceKind     = corev1.SchemeGroupVersion.WithKind("Namespace")
	podKind           = corev1.SchemeGroupVersion.WithKind("Pod")
)

// maxHeirs is how many pods a twin is left to. Those of one copy end at about the same time.
const maxHeirs = 200

// Permit brings the twins of network policies for a copy up to date. It needs get, list, watch, create, patch and
// delete on networkpolicies, in all namespaces that policies may name the workload's pods from, and get, list and
// watch on namespaces.
func (a *Adapter) Permit(ctx context.Context, ref workload.Reference, revision string) error {
	existing, err := a.ownCopy(ctx, ref, revision)
	if err != nil || existing == nil {
		return err
	}
	return a.permit(ctx, ref, revision, podLabels(existing))
}

// permit writes the twins for the copy whose pods have those labels, which needn't be there yet.
func (a *Adapter) permit(ctx context.Context, ref workload.Reference, revision string, podLabels map[string]string) error {
	deployment, err := a.deployment(ctx, ref.Namespace, ref.Name)
	if err != nil || deployment == nil {
		return err
	}
	net, err := a.network(ctx)
	if err != nil {
		return err
	}
	own, err := a.siblingOf(ctx, deployment, ref.Namespace, podLabels)
	if err != nil || own == nil {
		return err
	}
	net.add(own)
	wanted, stale := net.compare(ref, revision, own)
	for _, u := range wanted {
		there := net.policy(u.GetNamespace(), u.GetName())
		if there != nil && !isTwinFor(there, ref) {
			return &workload.ProblemError{Problem: *nameTakenIn(ref, "NetworkPolicy", u.GetNamespace(), u.GetName())}
		}
		if there != nil {
			u.SetUID(there.GetUID())
		}
		if err := a.apply(ctx, u, there != nil); err != nil {
			return err
		}
	}
	for _, u := range stale {
		if err := a.remove(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// network is what caches show of network policies, and of the copies that these may be about.
type network struct {
	policies []unstructured.Unstructured
	siblings []*sibling
}

// network reads all policies of the cluster: any may name the workload's pods as a peer.
func (a *Adapter) network(ctx context.Context) (*network, error) {
	net := &network{}
	var err error
	if net.policies, err = a.listAll(ctx, networkPolicyKind); err != nil {
		return nil, err
	}
	if len(net.policies) == 0 {
		return net, nil
	}
	copies, err := a.listAll(ctx, deploymentKind, client.HasLabels{v1alpha1.LabelRollout})
	if err != nil {
		return nil, err
	}
	for i := range copies {
		sibling, err := a.siblingFor(ctx, &copies[i])
		if err != nil {
			return nil, err
		}
		if sibling != nil && copies[i].GetDeletionTimestamp() == nil {
			net.siblings = append(net.siblings, sibling)
		}
	}
	net.sort()
	return net, nil
}

// listAll lists what caches have of a kind in all namespaces, to be read only.
func (a *Adapter) listAll(ctx context.Context, kind schema.GroupVersionKind, opts ...client.ListOption) ([]unstructured.Unstructured, error) {
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(kind)
	if err := a.reader.List(ctx, found, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil, fmt.Errorf("list %s objects: %w", kind.Kind, err)
	}
	return found.Items, nil
}

// siblingFor is a copy of whichever Rollout; nil where its workload isn't known.
func (a *Adapter) siblingFor(ctx context.Context, copied *unstructured.Unstructured) (*sibling, error) {
	rollouts := &v1alpha1.RolloutList{}
	namespace := copied.GetNamespace()
	if err := a.reader.List(ctx, rollouts, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the Rollouts of %s: %w", namespace, err)
	}
	for i := range rollouts.Items {
		if naming.LabelValue(rollouts.Items[i].Name) != copied.GetLabels()[v1alpha1.LabelRollout] {
			continue
		}
		deployment, err := a.deployment(ctx, namespace, rollouts.Items[i].Spec.Workload.Name)
		if err != nil || deployment == nil {
			return nil, err
		}
		return a.siblingOf(ctx, deployment, namespace, podLabels(copied))
	}
	return nil, nil
}

// siblingOf is the copy of deployment whose pods have those labels; nil where they aren't a copy's.
func (a *Adapter) siblingOf(ctx context.Context, deployment *unstructured.Unstructured, namespace string, podLabels map[string]string) (*sibling, error) {
	s := &sibling{namespace: namespace, track: podLabels[v1alpha1.LabelTrack]}
	if s.track == "" {
		return nil, nil
	}
	s.before, s.after = labelsOf(deployment, podLabels)
	around := metadataOf(namespaceKind)
	if _, err := a.get(ctx, "", namespace, around); err != nil {
		return nil, err
	}
	s.around = around.Labels
	return s, nil
}

// podLabels are the labels of a Deployment's pods.
func podLabels(deployment *unstructured.Unstructured) map[string]string {
	found, _, _ := unstructured.NestedStringMap(deployment.Object, "spec", "template", "metadata", "labels")
	return found
}

// add puts a copy in, in the place of the one of that name.
func (n *network) add(own *sibling) {
	n.siblings = slices.DeleteFunc(n.siblings, func(s *sibling) bool {
		return s.namespace == own.namespace && s.track == own.track
	})
	n.siblings = append(n.siblings, own)
	n.sort()
}

// sort gives peers the same order every time.
func (n *network) sort() {
	slices.SortFunc(n.siblings, func(one, other *sibling) int {
		return cmp.Or(cmp.Compare(one.namespace, other.namespace), cmp.Compare(one.track, other.track))
	})
}

// policy finds one by its name; nil when there is none.
func (n *network) policy(namespace, name string) *unstructured.Unstructured {
	for i := range n.policies {
		if n.policies[i].GetNamespace() == namespace && n.policies[i].GetName() == name {
			return &n.policies[i]
		}
	}
	return nil
}

// compare tells which twins of a copy are to be written, and which are there for nothing.
func (n *network) compare(ref workload.Reference, revision string, own *sibling) (wanted, stale []*unstructured.Unstructured) {
	keep := map[client.ObjectKey]bool{}
	for _, twin := range twinsFor(n.policies, own, n.siblings) {
		u := twin.render(ref, revision)
		keep[client.ObjectKeyFromObject(u)] = true
		there := n.policy(u.GetNamespace(), u.GetName())
		if there == nil || !isTwinFor(there, ref) || len(there.GetOwnerReferences()) > 0 || there.GetDeletionTimestamp() != nil ||
			!equalJSON(there.Object["spec"], u.Object["spec"]) {
			wanted = append(wanted, u)
		}
	}
	for i := range n.policies {
		u := &n.policies[i]
		if isTwinFor(u, ref) && u.GetLabels()[v1alpha1.LabelRevision] == revision && u.GetDeletionTimestamp() == nil &&
			!keep[client.ObjectKeyFromObject(u)] {
			stale = append(stale, u)
		}
	}
	return wanted, stale
}

// render is the twin as an object. Nothing of the policy's own metadata is on it, by which other tools would take it
// for theirs.
func (t *twin) render(ref workload.Reference, revision string) *unstructured.Unstructured {
	whose := strings.Join([]string{ref.Namespace, ref.Rollout, revision, t.part}, "/")
	u := object(networkPolicyKind, t.of.GetNamespace(), naming.Join(t.of.GetName(), naming.Hash([]byte(whose), revisionLength)))
	u.SetLabels(twinLabels(ref, revision))
	u.SetAnnotations(map[string]string{v1alpha1.AnnotationTwinOf: t.of.GetName()})
	u.Object["spec"] = t.spec
	return u
}

func twinLabels(ref workload.Reference, revision string) map[string]string {
	return withLabel(copyLabels(ref, revision), v1alpha1.LabelRolloutNamespace, ref.Namespace)
}

// isTwinFor says that u was made for the Rollout.
func isTwinFor(u client.Object, ref workload.Reference) bool {
	return ours(u, ref) && u.GetLabels()[v1alpha1.LabelRolloutNamespace] == ref.Namespace
}

// twinsOf reads the twins that a Rollout has, in all namespaces.
func (a *Adapter) twinsOf(ctx context.Context, ref workload.Reference) ([]unstructured.Unstructured, error) {
	return a.listAll(ctx, networkPolicyKind, client.MatchingLabels{
		v1alpha1.LabelRollout: naming.LabelValue(ref.Rollout), v1alpha1.LabelRolloutNamespace: ref.Namespace,
	})
}

// bequeath gives up the twins of a copy that is about to be deleted. Its pods go on for as long as they take to end,
// and without the twins they would be open, or cut off: so those in their namespace are left to the pods, and go with
// the last of them. An owner in another namespace is not possible: from there the pods are cut off at once, which
// is the safe side. It needs list on pods, and patch and delete on networkpolicies.
func (a *Adapter) bequeath(ctx context.Context, ref workload.Reference, revision string) error {
	twins, err := a.twinsOf(ctx, ref)
	if err != nil {
		return err
	}
	twins = slices.DeleteFunc(twins, func(u unstructured.Unstructured) bool {
		return u.GetLabels()[v1alpha1.LabelRevision] != revision || u.GetDeletionTimestamp() != nil || len(u.GetOwnerReferences()) > 0
	})
	var heirs []metav1.OwnerReference
	if slices.ContainsFunc(twins, func(u unstructured.Unstructured) bool { return u.GetNamespace() == ref.Namespace }) {
		if heirs, err = a.heirs(ctx, ref, revision); err != nil {
			return err
		}
	}
	for i := range twins {
		u := &twins[i]
		if u.GetNamespace() != ref.Namespace || len(heirs) == 0 {
			if err := a.remove(ctx, u); err != nil {
				return err
			}
			continue
		}
		left := object(networkPolicyKind, u.GetNamespace(), u.GetName())
		left.SetUID(u.GetUID())
		left.SetLabels(u.GetLabels())
		left.SetAnnotations(u.GetAnnotations())
		left.SetOwnerReferences(heirs)
		left.Object["spec"] = u.Object["spec"]
		// Nobody waits for it: it may be gone before a cache shows this.
		if err := a.applyAs(ctx, v1alpha1.FieldManager, left, true); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// heirs are the pods of a copy, as owners.
func (a *Adapter) heirs(ctx context.Context, ref workload.Reference, revision string) ([]metav1.OwnerReference, error) {
	pods := &metav1.PartialObjectMetadataList{}
	pods.SetGroupVersionKind(podKind)
	err := a.live.List(ctx, pods, client.InNamespace(ref.Namespace), client.Limit(maxHeirs),
		client.MatchingLabels{v1alpha1.LabelTrack: copyName(ref, revision)})
	if err != nil {
		return nil, fmt.Errorf("list the pods of the copy %s/%s: %w", ref.Namespace, copyName(ref, revision), err)
	}
	owners := make([]metav1.OwnerReference, 0, len(pods.Items))
	for i := range pods.Items {
		owners = append(owners, metav1.OwnerReference{
			APIVersion: podKind.GroupVersion().String(), Kind: podKind.Kind, Name: pods.Items[i].Name, UID: pods.Items[i].UID,
		})
	}
	return owners, nil
}

// sweepTwins removes the twins of copies that aren't there and were never deleted: the controller was stopped
// between the two writes.
func (a *Adapter) sweepTwins(ctx context.Context, ref workload.Reference) error {
	twins, err := a.twinsOf(ctx, ref)
	if err != nil {
		return err
	}
	for i := range twins {
		u := &twins[i]
		if u.GetDeletionTimestamp() != nil || len(u.GetOwnerReferences()) > 0 {
			continue
		}
		existing, err := a.deployment(ctx, ref.Namespace, copyName(ref, u.GetLabels()[v1alpha1.LabelRevision]))
		if err != nil {
			return err
		}
		if existing == nil {
			if err := a.remove(ctx, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// permitted adds to the copies' states whether their twins are as they should be.
func (a *Adapter) permitted(ctx context.Context, s *seen, states map[string]*workload.State) error {
	if len(s.copies) == 0 || s.deployment == nil {
		return nil
	}
	net, err := a.network(ctx)
	if err != nil {
		return err
	}
	for i := range s.copies {
		revision := s.copies[i].GetLabels()[v1alpha1.LabelRevision]
		own, err := a.siblingOf(ctx, s.deployment, s.ref.Namespace, podLabels(&s.copies[i]))
		if err != nil {
			return err
		}
		if own == nil {
			states[revision].Permitted = true
			continue
		}
		net.add(own)
		wanted, stale := net.compare(s.ref, revision, own)
		states[revision].Permitted = len(wanted) == 0 && len(stale) == 0
	}
	return nil
}
