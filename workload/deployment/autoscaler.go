package deployment

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

var (
	autoscalerKind = autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler")
	budgetKind     = policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget")

	protectionKinds = []schema.GroupVersionKind{autoscalerKind, budgetKind}

	// policyPath is policyField as managedFields have it, policyFields what is kept of a manager that owns it.
	policyPath   = []string{"f:spec", "f:behavior", "f:scaleDown", "f:selectPolicy"}
	policyFields = metav1.NewFieldsV1(`{"f:spec":{"f:behavior":{"f:scaleDown":{"f:selectPolicy":{}}}}}`)
)

const (
	// annotationNamesPolicy is on autoscalers in caches only: what kubectl applied last names policyField.
	annotationNamesPolicy = "weighlock.dev/names-select-policy"
	// annotationTwin is on autoscalers and budgets of copies: the hash of what was written, which tells whether the
	// workload's has changed since.
	annotationTwin = "weighlock.dev/twin-hash"
)

// protection is what was read of the autoscalers and disruption budgets of a workload and its copies. All of it is
// shared with the caches.
type protection struct {
	ref        workload.Reference
	deployment *unstructured.Unstructured
	// scalers and budgets are the workload's, by name.
	scalers, budgets []*unstructured.Unstructured
	// twins were made for copies; by kind and name.
	twins map[twinKey]*unstructured.Unstructured
	// taken are the others of these kinds.
	taken map[twinKey]bool
}

type twinKey struct{ kind, name string }

// protection reads what protects the workload. It needs get, list and watch on horizontalpodautoscalers and
// poddisruptionbudgets.
func (a *Adapter) protection(ctx context.Context, ref workload.Reference) (*protection, error) {
	deployment, err := a.deployment(ctx, ref.Namespace, ref.Name)
	if err != nil {
		return nil, err
	}
	return a.protectionOf(ctx, ref, deployment)
}

// protectionOf is protection of a workload that was read already; nil where there is none.
func (a *Adapter) protectionOf(ctx context.Context, ref workload.Reference, deployment *unstructured.Unstructured) (*protection, error) {
	p := &protection{ref: ref, deployment: deployment, twins: map[twinKey]*unstructured.Unstructured{}, taken: map[twinKey]bool{}}
	for _, kind := range protectionKinds {
		all := &unstructured.UnstructuredList{}
		all.SetGroupVersionKind(kind)
		if err := a.list(ctx, p.ref, all, client.UnsafeDisableDeepCopy); err != nil {
			return nil, err
		}
		slices.SortFunc(all.Items, func(one, other unstructured.Unstructured) int {
			return cmp.Compare(one.GetName(), other.GetName())
		})
		for i := range all.Items {
			p.sort(kind, &all.Items[i])
		}
	}
	return p, nil
}

// sort puts one object where it belongs.
func (p *protection) sort(kind schema.GroupVersionKind, u *unstructured.Unstructured) {
	key := twinKey{kind.Kind, u.GetName()}
	if ours(u, p.ref) && u.GetLabels()[v1alpha1.LabelTrack] != "" {
		p.twins[key] = u
		return
	}
	p.taken[key] = true
	switch {
	case p.deployment == nil:
	case kind == autoscalerKind && targetOf(u) == p.ref.Name:
		p.scalers = append(p.scalers, u)
	case kind == budgetKind && covers(u, podLabels(p.deployment)):
		p.budgets = append(p.budgets, u)
	}
}

// targetOf is the name of the Deployment that an autoscaler scales; empty where it scales something else.
func targetOf(scaler *unstructured.Unstructured) string {
	target, _, _ := unstructured.NestedStringMap(scaler.Object, "spec", "scaleTargetRef")
	version, err := schema.ParseGroupVersion(target["apiVersion"])
	if err != nil || version.Group != deploymentKind.Group || target["kind"] != deploymentKind.Kind {
		return ""
	}
	return target["name"]
}

// policyOf is the autoscaler's policy of taking pods away; empty where nothing is said.
func policyOf(scaler *unstructured.Unstructured) string {
	policy, _, _ := unstructured.NestedString(scaler.Object, "spec", "behavior", "scaleDown", "selectPolicy")
	return policy
}

// windowOf is how far the autoscaler looks back before it takes pods away.
func windowOf(scaler *unstructured.Unstructured) time.Duration {
	seconds, said, _ := unstructured.NestedInt64(scaler.Object, "spec", "behavior", "scaleDown", "stabilizationWindowSeconds")
	if !said {
		return defaultWindow
	}
	return time.Duration(seconds) * time.Second
}

// covers says that a disruption budget selects pods with these labels. One without a selector selects none.
func covers(budget *unstructured.Unstructured, pods map[string]string) bool {
	raw, said, _ := unstructured.NestedMap(budget.Object, "spec", "selector")
	if !said {
		return false
	}
	return selectorIn(raw).Matches(labels.Set(pods))
}

// trimAutoscaler keeps what an autoscaler asks for, and who says how it takes pods away.
func trimAutoscaler(in any) (any, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in, nil
	}
	annotations := keptAnnotations(u)
	if namesPolicy(u) {
		annotations[annotationNamesPolicy] = "true"
	}
	managers := slices.DeleteFunc(u.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return !owns(entry, policyPath...)
	})
	for i := range managers {
		managers[i] = metav1.ManagedFieldsEntry{Manager: managers[i].Manager, Operation: managers[i].Operation, FieldsType: "FieldsV1", FieldsV1: policyFields}
	}
	trimmed := trimToSpec(autoscalerKind, u, annotations)
	trimmed.SetManagedFields(managers)
	return trimmed, nil
}

// trimBudget keeps what a disruption budget asks for.
func trimBudget(in any) (any, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in, nil
	}
	return trimToSpec(budgetKind, u, keptAnnotations(u)), nil
}

func keptAnnotations(u *unstructured.Unstructured) map[string]string {
	kept := map[string]string{}
	for _, key := range []string{annotationTwin, annotationNamesPolicy} {
		if value := u.GetAnnotations()[key]; value != "" {
			kept[key] = value
		}
	}
	return kept
}

func trimToSpec(kind schema.GroupVersionKind, u *unstructured.Unstructured, annotations map[string]string) *unstructured.Unstructured {
	trimmed := object(kind, u.GetNamespace(), u.GetName())
	keepMetadata(trimmed, u)
	trimmed.SetOwnerReferences(u.GetOwnerReferences())
	trimmed.SetAnnotations(nil)
	if len(annotations) > 0 {
		trimmed.SetAnnotations(annotations)
	}
	keep(trimmed, u, "spec")
	return trimmed
}

// namesPolicy says that what kubectl (or a tool that works as it does) applied last names policyField, so that
// its next apply writes it again.
func namesPolicy(scaler *unstructured.Unstructured) bool {
	applied := scaler.GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"]
	if applied == "" {
		return false
	}
	content := map[string]any{}
	if json.Unmarshal([]byte(applied), &content) != nil {
		return false
	}
	_, named, _ := unstructured.NestedFieldNoCopy(content, "spec", "behavior", "scaleDown", "selectPolicy")
	return named
}

// Changed says whether an update of an object that is watched may change an observation: autoscalers and budgets write
// their status all the time.
func Changed(before, after client.Object) bool {
	if pod, is := after.(*corev1.Pod); is {
		was, wasPod := before.(*corev1.Pod)
		return !wasPod || !samePods(was, pod)
	}
	one, isOne := before.(*unstructured.Unstructured)
	other, isOther := after.(*unstructured.Unstructured)
	if !isOne || !isOther {
		return true
	}
	kind := other.GetObjectKind().GroupVersionKind().Kind
	if kind != autoscalerKind.Kind && kind != budgetKind.Kind {
		return true
	}
	return !sameButVersion(one, other)
}

func sameButVersion(one, other *unstructured.Unstructured) bool {
	with := func(u *unstructured.Unstructured) *unstructured.Unstructured {
		u = u.DeepCopy()
		u.SetResourceVersion("")
		return u
	}
	return equalJSON(with(one).Object, with(other).Object)
}
