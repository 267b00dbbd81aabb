package deployment

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// annotationTemplate is on ReplicaSets in caches only: the hash of the template that was dropped.
const annotationTemplate = "weighlock.dev/template-hash"

// Watched are the kinds whose changes may change an observation, as the objects to watch them by.
func Watched() []client.Object {
	return []client.Object{
		object(deploymentKind, "", ""),
		object(replicaSetKind, "", ""),
		&appsv1.ControllerRevision{},
		&corev1.Service{},
		&discoveryv1.EndpointSlice{},
		&corev1.Pod{},
		object(autoscalerKind, "", ""),
		object(budgetKind, "", ""),
		object(networkPolicyKind, "", ""),
	}
}

// ByObject says what caches keep of each kind: only what observations need, for there are far more
// Deployments, ReplicaSets and EndpointSlices in a cluster than Rollouts.
func ByObject() map[client.Object]cache.ByObject {
	made, err := labels.NewRequirement(v1alpha1.LabelRollout, selection.Exists, nil)
	if err != nil {
		panic(err) // The requirement is constant.
	}
	return map[client.Object]cache.ByObject{
		object(deploymentKind, "", ""):    {Transform: trimDeployment},
		object(replicaSetKind, "", ""):    {Transform: trimReplicaSet},
		&appsv1.ControllerRevision{}:      {Label: labels.NewSelector().Add(*made), Transform: cache.TransformStripManagedFields()},
		&corev1.Service{}:                 {Transform: trimService},
		&corev1.Pod{}:                     {Label: labels.NewSelector().Add(*made), Transform: trimPod},
		&discoveryv1.EndpointSlice{}:      {Transform: trimEndpointSlice},
		object(networkPolicyKind, "", ""): {Transform: trimNetworkPolicy},
		metadataOf(namespaceKind):         {Transform: trimNamespace},
		object(autoscalerKind, "", ""):    {Transform: trimAutoscaler},
		object(budgetKind, "", ""):        {Transform: trimBudget},
	}
}

// Subject is what an event is about: as much as the object itself tells.
type Subject struct {
	Namespace string
	// Rollout is the value of the label by which the object belongs to a Rollout (see naming.LabelValue);
	// empty when it has none.
	Rollout string
	// Workload is the name of the Deployment that the object is, or belongs to.
	Workload string
	// Service is the name of the Service that the object is, or belongs to.
	Service string
	// Selects says that the object is about the workloads whose pods it selects (see SelectedBy).
	Selects bool
	// Copies says that the object may concern every Rollout in the cluster that has copies (see CopiesIn).
	Copies bool
}

// CopiesIn lists the Rollouts that have copies, from caches: few of all, so that an event that may concern any of them
// costs little.
func CopiesIn(ctx context.Context, reader client.Reader) ([]Subject, error) {
	copies := &unstructured.UnstructuredList{}
	copies.SetGroupVersionKind(deploymentKind)
	if err := reader.List(ctx, copies, client.HasLabels{v1alpha1.LabelRollout}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the copies in the cluster: %w", err)
	}
	var subjects []Subject
	for i := range copies.Items {
		subject := SubjectOf(&copies.Items[i])
		subject.Workload = ""
		if !slices.Contains(subjects, subject) {
			subjects = append(subjects, subject)
		}
	}
	return subjects, nil
}

// SubjectOf tells what an event about obj is about.
func SubjectOf(obj client.Object) Subject {
	subject := Subject{Namespace: obj.GetNamespace(), Rollout: obj.GetLabels()[v1alpha1.LabelRollout]}
	switch obj := obj.(type) {
	case *corev1.Service:
		subject.Service = obj.GetName()
	case *discoveryv1.EndpointSlice:
		subject.Service = obj.GetLabels()[discoveryv1.LabelServiceName]
	case *unstructured.Unstructured:
		switch obj.GetObjectKind().GroupVersionKind().Kind {
		case deploymentKind.Kind:
			subject.Workload = obj.GetName()
			if subject.Rollout == "" {
				subject.Rollout = obj.GetLabels()[v1alpha1.LabelHeld]
			}
		case replicaSetKind.Kind:
			if owner := metav1.GetControllerOfNoCopy(obj); owner != nil && owner.Kind == deploymentKind.Kind {
				subject.Workload = owner.Name
			}
		case autoscalerKind.Kind:
			subject.Workload = targetOf(obj)
		case networkPolicyKind.Kind:
			if namespace := obj.GetLabels()[v1alpha1.LabelRolloutNamespace]; namespace != "" {
				subject.Namespace = namespace
			}
			subject.Copies = subject.Rollout == ""
		case budgetKind.Kind:
			subject.Selects = subject.Rollout == ""
		}
	}
	return subject
}

// trimDeployment keeps adopted Deployments and copies whole, so that fields newer than Weighlock aren't
// lost, and of others what can be said before they are adopted.
func trimDeployment(in any) (any, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in, nil
	}
	trimManagers(u)
	held, made := u.GetLabels()[v1alpha1.LabelHeld], u.GetLabels()[v1alpha1.LabelRollout]
	if held != "" || made != "" {
		return u, nil
	}
	trimmed := object(deploymentKind, u.GetNamespace(), u.GetName())
	keepMetadata(trimmed, u)
	trimmed.SetManagedFields(u.GetManagedFields())
	for _, fields := range [][]string{
		{"spec", "replicas"},
		{"spec", "paused"},
		{"spec", "selector"},
		{"spec", "strategy", "type"},
		{"spec", "template", "metadata", "labels"},
		{"status", "availableReplicas"},
	} {
		keep(trimmed, u, fields...)
	}
	for _, list := range singletons(u) {
		setIfAny(trimmed, list.items, list.fields...)
	}
	return trimmed, nil
}

// trimReplicaSet keeps counts, and a hash in the place of the template.
func trimReplicaSet(in any) (any, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok || u.GetAnnotations()[annotationTemplate] != "" {
		return in, nil
	}
	trimmed := object(replicaSetKind, u.GetNamespace(), u.GetName())
	keepMetadata(trimmed, u)
	trimmed.SetOwnerReferences(u.GetOwnerReferences())
	keep(trimmed, u, "spec", "replicas")
	keep(trimmed, u, "status", "replicas")
	if active(u) {
		hash, err := RevisionOf(templateOf(u))
		if err != nil {
			return nil, err
		}
		trimmed.SetAnnotations(map[string]string{annotationTemplate: hash})
	}
	return trimmed, nil
}

// hashOfSet is the hash of a ReplicaSet's template, whether the cache has dropped that or not.
func hashOfSet(set *unstructured.Unstructured) (string, error) {
	if hash := set.GetAnnotations()[annotationTemplate]; hash != "" {
		return hash, nil
	}
	return RevisionOf(templateOf(set))
}

func trimService(in any) (any, error) {
	if service, ok := in.(*corev1.Service); ok {
		service.ManagedFields = nil
		service.Status = corev1.ServiceStatus{}
	}
	return in, nil
}

// trimNetworkPolicy drops what users noted on policies. Those on twins are Weighlock's.
func trimNetworkPolicy(in any) (any, error) {
	if u, ok := in.(*unstructured.Unstructured); ok {
		u.SetManagedFields(nil)
		if !isTwin(u) {
			u.SetAnnotations(nil)
		}
	}
	return in, nil
}

// metadataOf is an empty object of a kind of which only the metadata is read.
func metadataOf(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	out := &metav1.PartialObjectMetadata{}
	out.SetGroupVersionKind(kind)
	return out
}

// trimNamespace keeps the labels, by which policies name peers.
func trimNamespace(in any) (any, error) {
	if namespace, ok := in.(*metav1.PartialObjectMetadata); ok {
		namespace.ManagedFields = nil
		namespace.Annotations = nil
	}
	return in, nil
}

// trimEndpointSlice keeps which pods are ready.
func trimEndpointSlice(in any) (any, error) {
	slice, ok := in.(*discoveryv1.EndpointSlice)
	if !ok {
		return in, nil
	}
	slice.ManagedFields = nil
	slice.Annotations = nil
	slice.Ports = nil
	for i := range slice.Endpoints {
		from := &slice.Endpoints[i]
		to := discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: from.Conditions.Ready}}
		if from.TargetRef != nil {
			to.TargetRef = &corev1.ObjectReference{Name: from.TargetRef.Name}
		} else if len(from.Addresses) > 0 {
			to.Addresses = from.Addresses[:1]
		}
		slice.Endpoints[i] = to
	}
	return slice, nil
}

// keepMetadata copies what identifies an object, its labels, and the claim.
func keepMetadata(to, from *unstructured.Unstructured) {
	to.SetUID(from.GetUID())
	to.SetResourceVersion(from.GetResourceVersion())
	to.SetGeneration(from.GetGeneration())
	to.SetCreationTimestamp(from.GetCreationTimestamp())
	to.SetDeletionTimestamp(from.GetDeletionTimestamp())
	to.SetLabels(from.GetLabels())
	if claim := from.GetAnnotations()[v1alpha1.AnnotationClaim]; claim != "" {
		to.SetAnnotations(map[string]string{v1alpha1.AnnotationClaim: claim})
	}
}

func keep(to, from *unstructured.Unstructured, fields ...string) {
	if value, ok, _ := unstructured.NestedFieldCopy(from.Object, fields...); ok {
		setIfAny(to, value, fields...)
	}
}

func setIfAny(to *unstructured.Unstructured, value any, fields ...string) {
	if items, ok := value.([]any); ok && len(items) == 0 {
		return
	}
	// It fails only where a parent isn't a map, and these are made here.
	_ = unstructured.SetNestedField(to.Object, value, fields...)
}

// pausedFields and replicasFields are what managedFields say of a manager that owns the pause, or the size.
var (
	pausedFields   = metav1.NewFieldsV1(`{"f:spec":{"f:paused":{}}}`)
	replicasFields = metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{}}}`)
)

// trimManagers keeps of managedFields only who owns the pause, and whether Weighlock's raise of the size does.
func trimManagers(u *unstructured.Unstructured) {
	managers := slices.DeleteFunc(u.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return !owns(entry, "f:spec", "f:paused") && !isRaise(entry)
	})
	for i := range managers {
		fields := pausedFields
		if isRaise(managers[i]) {
			fields = replicasFields
		}
		managers[i] = metav1.ManagedFieldsEntry{Manager: managers[i].Manager, Operation: managers[i].Operation, FieldsType: "FieldsV1", FieldsV1: fields}
	}
	u.SetManagedFields(managers)
}
