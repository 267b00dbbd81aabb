package deployment

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

// Observe tells the state of the Deployment, its copies and its records. It needs get, list and watch on
// deployments, replicasets, pods, controllerrevisions, services, endpointslices, networkpolicies, namespaces, rollouts,
// mutatingadmissionpolicies and mutatingadmissionpolicybindings, get on persistentvolumeclaims, and patch on deployments (a dry run, for a
// template that no record names).
func (a *Adapter) Observe(ctx context.Context, ref workload.Reference) (*workload.Observation, error) {
	seen, err := a.gather(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("observe %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	observation := &workload.Observation{Copies: map[string]*workload.State{}, Records: seen.records}
	if observation.HeldByAdmission, err = a.heldByAdmission(ctx); err != nil {
		return nil, err
	}
	names := &resolver{adapter: a, deployment: seen.deployment, records: seen.records}
	if seen.deployment != nil {
		if observation.Workload, err = seen.workload(ctx, names); err != nil {
			return nil, err
		}
	}
	for i := range seen.copies {
		state, err := seen.copied(ctx, names, &seen.copies[i])
		if err != nil {
			return nil, err
		}
		observation.Copies[seen.copies[i].GetLabels()[v1alpha1.LabelRevision]] = state
	}
	if err := a.permitted(ctx, seen, observation.Copies); err != nil {
		return nil, err
	}
	for i := range seen.copies {
		state := observation.Copies[seen.copies[i].GetLabels()[v1alpha1.LabelRevision]]
		state.Protected, state.Autoscaled = seen.protection.protects(&seen.copies[i])
	}
	observation.Others = seen.others()
	observation.Autoscaler = seen.protection.autoscaler()
	observation.Problem = seen.problem()
	if observation.Problem == nil {
		observation.Problem = a.unguardable(seen.protection)
	}
	return observation, nil
}

// seen is all that was read for one observation.
type seen struct {
	ref        workload.Reference
	deployment *unstructured.Unstructured
	copies     []unstructured.Unstructured
	sets       map[types.UID][]unstructured.Unstructured
	root       *corev1.Service
	services   map[string]*corev1.Service
	ready      map[string]int32
	records    map[string]workload.Record
	rollouts   []v1alpha1.Rollout
	claims     []claim
	protection *protection
	near       surroundings
	// neighbours are the Services of the namespace, read only, where there are copies.
	neighbours []corev1.Service
	// readySince is when the ready pods of copies got so, by the copies' names.
	readySince map[string][]time.Time
}

func (a *Adapter) gather(ctx context.Context, ref workload.Reference) (*seen, error) {
	s := &seen{ref: ref}
	var err error
	if s.deployment, err = a.deployment(ctx, ref.Namespace, ref.Name); err != nil {
		return nil, err
	}
	copies := &unstructured.UnstructuredList{}
	copies.SetGroupVersionKind(deploymentKind)
	if err := a.list(ctx, ref, copies, client.MatchingLabels{v1alpha1.LabelRollout: naming.LabelValue(ref.Rollout)}); err != nil {
		return nil, err
	}
	s.copies = copies.Items
	if err := a.gatherSets(ctx, s); err != nil {
		return nil, err
	}
	if err := a.gatherServices(ctx, s); err != nil {
		return nil, err
	}
	if err := a.gatherReadiness(ctx, s); err != nil {
		return nil, err
	}
	if s.deployment != nil {
		if s.claims, err = a.claimsOf(ctx, s.deployment); err != nil {
			return nil, err
		}
	}
	if s.records, err = a.records(ctx, ref); err != nil {
		return nil, err
	}
	if s.protection, err = a.protectionOf(ctx, ref, s.deployment); err != nil {
		return nil, err
	}
	if s.deployment != nil {
		if s.near, err = a.surroundings(ctx, ref, s.deployment, s.root); err != nil {
			return nil, err
		}
	}
	rollouts := &v1alpha1.RolloutList{}
	if err := a.list(ctx, ref, rollouts); err != nil {
		return nil, err
	}
	s.rollouts = rollouts.Items
	return s, nil
}

func (a *Adapter) list(ctx context.Context, ref workload.Reference, into client.ObjectList, opts ...client.ListOption) error {
	if err := a.reader.List(ctx, into, append(opts, client.InNamespace(ref.Namespace))...); err != nil {
		return fmt.Errorf("list %T in %s: %w", into, ref.Namespace, err)
	}
	return nil
}

// gatherSets finds the active ReplicaSets of the workload and its copies.
func (a *Adapter) gatherSets(ctx context.Context, s *seen) error {
	owners := map[types.UID]bool{}
	if s.deployment != nil {
		owners[s.deployment.GetUID()] = true
	}
	for i := range s.copies {
		owners[s.copies[i].GetUID()] = true
	}
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(replicaSetKind)
	// Only read here: the cache's own objects will do.
	if err := a.list(ctx, s.ref, all, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	s.sets = map[types.UID][]unstructured.Unstructured{}
	for i := range all.Items {
		owner := metav1.GetControllerOfNoCopy(&all.Items[i])
		if owner != nil && owners[owner.UID] && active(&all.Items[i]) {
			s.sets[owner.UID] = append(s.sets[owner.UID], all.Items[i])
		}
	}
	return nil
}

// gatherServices reads the root Service, the track services, and how many endpoints of each are ready.
func (a *Adapter) gatherServices(ctx context.Context, s *seen) error {
	names := []string{s.ref.Service, workloadServiceName(s.ref)}
	for i := range s.copies {
		names = append(names, copyServiceName(s.ref, s.copies[i].GetLabels()[v1alpha1.LabelRevision]))
	}
	s.services = map[string]*corev1.Service{}
	s.ready = map[string]int32{}
	for _, name := range names {
		service := &corev1.Service{}
		found, err := a.get(ctx, s.ref.Namespace, name, service)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		s.services[name] = service
		if name == s.ref.Service {
			continue
		}
		slices := &discoveryv1.EndpointSliceList{}
		if err := a.list(ctx, s.ref, slices, client.MatchingLabels{discoveryv1.LabelServiceName: name}, client.UnsafeDisableDeepCopy); err != nil {
			return err
		}
		s.ready[name] = readyEndpoints(slices.Items)
	}
	s.root = s.services[s.ref.Service]
	if len(s.copies) == 0 {
		return nil
	}
	neighbours := &corev1.ServiceList{}
	if err := a.list(ctx, s.ref, neighbours, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	s.neighbours = neighbours.Items
	return nil
}

// readyEndpoints counts pods, not addresses: a pod with two address families is in two slices.
func readyEndpoints(items []discoveryv1.EndpointSlice) int32 {
	pods := map[string]bool{}
	for i := range items {
		for j := range items[i].Endpoints {
			endpoint := &items[i].Endpoints[j]
			if endpoint.Conditions.Ready != nil && !*endpoint.Conditions.Ready {
				continue
			}
			switch {
			case endpoint.TargetRef != nil:
				pods[endpoint.TargetRef.Name] = true
			case len(endpoint.Addresses) > 0:
				pods[endpoint.Addresses[0]] = true
			}
		}
	}
	return int32(len(pods)) //nolint:gosec // A service has far fewer pods than overflow it.
}

// workload is the state of the workload itself.
func (s *seen) workload(ctx context.Context, names *resolver) (*workload.State, error) {
	d := s.deployment
	state := s.state(d, workloadServiceName(s.ref))
	labels, annotations := d.GetLabels(), d.GetAnnotations()
	state.Adopted = labels[v1alpha1.LabelHeld] == naming.LabelValue(s.ref.Rollout) &&
		annotations[v1alpha1.AnnotationClaim] == s.ref.UID
	if !state.Adopted {
		return state, nil
	}
	own, err := RevisionOf(templateOf(d))
	if err != nil {
		return nil, err
	}
	revision, err := names.resolve(ctx, own)
	if err != nil {
		return nil, err
	}
	state.Template = workload.Template{
		Revision: revision, Content: templateOf(d),
		Commit: annotations[v1alpha1.AnnotationCommit], Author: annotations[v1alpha1.AnnotationAuthor],
	}
	if err := s.run(ctx, names, d, state, own); err != nil {
		return nil, err
	}
	return state, nil
}

// copied is the state of a copy. Its template is looked at as the workload has it.
func (s *seen) copied(ctx context.Context, names *resolver, d *unstructured.Unstructured) (*workload.State, error) {
	revision := d.GetLabels()[v1alpha1.LabelRevision]
	state := s.state(d, copyServiceName(s.ref, revision))
	state.Adopted = true
	state.ReadySince = s.readySince[state.Name]
	state.Changed = findingsOn(d).Changed
	record := s.records[revision]
	state.Template = workload.Template{Revision: revision, Content: record.Content, Commit: record.Commit, Author: record.Author}
	if s.deployment != nil {
		if apart, ok := escapeOf(s.deployment, d); ok {
			content := apart.back(templateOf(d))
			hash, err := RevisionOf(content)
			if err != nil {
				return nil, err
			}
			if state.Template.Revision, err = names.resolve(ctx, hash); err != nil {
				return nil, err
			}
			state.Template.Content = content
		}
	}
	own, err := RevisionOf(templateOf(d))
	if err != nil {
		return nil, err
	}
	return state, s.run(ctx, names, d, state, own)
}

// state is what a Deployment says of itself, without its template.
func (s *seen) state(d *unstructured.Unstructured, service string) *workload.State {
	state := &workload.State{
		Name: d.GetName(), Service: service,
		UID: string(d.GetUID()), ResourceVersion: d.GetResourceVersion(), Generation: d.GetGeneration(),
		Replicas: replicas(d),
		Ready:    count(d, "status", "availableReplicas"),
		Deleting: d.GetDeletionTimestamp() != nil,
		Stuck:    stuck(d),
	}
	if track := s.services[service]; track != nil && ours(track, s.ref) {
		state.Served = true
		state.Ready = min(state.Ready, s.ready[service])
	}
	state.Paused, _, _ = unstructured.NestedBool(d.Object, "spec", "paused")
	managers := pausedBy(d)
	state.Held = state.Paused && slices.Contains(managers, v1alpha1.FieldManager)
	for _, manager := range managers {
		if manager != v1alpha1.FieldManager {
			state.PausedBy = manager
		}
	}
	return state
}

// run adds to state which revisions the pods of d run, and whether that is all that is asked for. Own is
// the hash of the template of d: its ReplicaSets have the same one, or another version.
func (s *seen) run(ctx context.Context, names *resolver, d *unstructured.Unstructured, state *workload.State, own string) error {
	sets := s.sets[d.GetUID()]
	current := true
	for i := range sets {
		hash, err := hashOfSet(&sets[i])
		if err != nil {
			return err
		}
		revision := state.Template.Revision
		if hash != own {
			current = false
			if revision, err = names.resolve(ctx, hash); err != nil {
				return err
			}
		}
		if !slices.Contains(state.Running, revision) {
			state.Running = append(state.Running, revision)
		}
	}
	slices.Sort(state.Running)
	wanted := state.Replicas
	state.Rolled = current && (len(sets) == 1 || wanted == 0 && len(sets) == 0) &&
		number(d, "status", "observedGeneration") >= d.GetGeneration() &&
		count(d, "status", "replicas") == wanted &&
		count(d, "status", "updatedReplicas") == wanted &&
		count(d, "status", "availableReplicas") == wanted &&
		// Endpoints lag behind pods: while those of pods that are gone are still among them, traffic would meet nobody.
		(!state.Served || s.ready[state.Service] == wanted)
	return nil
}

// active says that a ReplicaSet has pods, or is to have some.
func active(set *unstructured.Unstructured) bool {
	return replicas(set) > 0 || number(set, "status", "replicas") > 0
}

// stuck is the message of a Deployment that is past its progress deadline.
func stuck(d *unstructured.Unstructured) string {
	for _, condition := range list(d.Object, "status", "conditions") {
		fields, _ := condition.(map[string]any)
		if fields["type"] == string(appsv1.DeploymentProgressing) && fields["status"] == string(corev1.ConditionFalse) &&
			fields["reason"] == "ProgressDeadlineExceeded" {
			message, _ := fields["message"].(string)
			return message
		}
	}
	return ""
}

// replicas are the ones asked for: one where nothing is said.
func replicas(u *unstructured.Unstructured) int32 {
	if _, ok, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "replicas"); !ok {
		return 1
	}
	return count(u, "spec", "replicas")
}

func count(u *unstructured.Unstructured, fields ...string) int32 {
	return int32(number(u, fields...)) //nolint:gosec // These fields are int32 in the API.
}

// number is the whole number at fields, 0 where there is none.
func number(u *unstructured.Unstructured, fields ...string) int64 {
	value, _, _ := unstructured.NestedInt64(u.Object, fields...)
	return value
}
