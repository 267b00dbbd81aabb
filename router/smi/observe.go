package smi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router"
)

// Observe reads the TrafficSplit of the root service. It is taken once the mesh has had its time to settle:
// SMI doesn't say more. It needs get, list and watch on trafficsplits.
func (r *Router) Observe(ctx context.Context, target router.Target) (router.Observed, error) {
	observed := router.Observed{Matches: func(router.Traffic) bool { return false }}
	speak, err := r.version()
	if err != nil {
		return observed, err
	}
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(splitKind.WithVersion(speak.name))
	if err := r.reader.List(ctx, all, client.InNamespace(target.Namespace)); err != nil {
		return observed, fmt.Errorf("list TrafficSplits in %s: %w", target.Namespace, err)
	}
	obstacle := ""
	for i := range all.Items {
		item := &all.Items[i]
		switch {
		case item.GetName() == target.Service && ours(item, target):
			r.observe(&observed, speak, target, item)
		case item.GetName() == target.Service || splits(item, target):
			obstacle = item.GetName()
		}
	}
	if obstacle == "" {
		return observed, nil
	}
	if observed.Exists {
		observed.Foreign = "TrafficSplit " + obstacle
		return observed, nil
	}
	return observed, obstructed(obstacle, target)
}

// observe tells of the TrafficSplit of the target.
func (r *Router) observe(observed *router.Observed, speak version, target router.Target, item *unstructured.Unstructured) {
	observed.Exists = true
	observed.Progress = item.GetAnnotations()[v1alpha1.AnnotationProgress]
	observed.Foreign = writtenBy(item)
	observed.Matches = func(traffic router.Traffic) bool {
		return expressible(traffic) == nil && sameTraffic(item, render(speak, target, traffic))
	}
	observed.WrittenAt = writtenAt(item)
	settled := observed.WrittenAt.Add(r.settle)
	if r.clock.Now().Before(settled) {
		observed.Settles = settled
		return
	}
	observed.Taken, observed.TakenAt = true, settled
}

// writtenAt is when the traffic of a TrafficSplit was last changed.
func writtenAt(item *unstructured.Unstructured) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, item.GetAnnotations()[AnnotationWrittenAt]); err == nil {
		return at
	}
	latest := item.GetCreationTimestamp().Time
	for _, entry := range item.GetManagedFields() {
		if entry.Time != nil && entry.Time.After(latest) {
			latest = entry.Time.Time
		}
	}
	return latest
}

// writtenBy is another manager that owns a part of a TrafficSplit's spec; empty when there is none.
func writtenBy(item *unstructured.Unstructured) string {
	for _, entry := range item.GetManagedFields() {
		if entry.Manager != v1alpha1.FieldManager && ownsSpec(entry) {
			return entry.Manager
		}
	}
	return ""
}

func ownsSpec(entry metav1.ManagedFieldsEntry) bool {
	if entry.FieldsV1 == nil {
		return false
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
		return false
	}
	_, ok := fields["f:spec"]
	return ok
}

// splits says that a TrafficSplit is for the target's root service, by any of the names that it has.
func splits(item *unstructured.Unstructured, target router.Target) bool {
	service, _, _ := unstructured.NestedString(item.Object, "spec", "service")
	host, rest, qualified := strings.Cut(service, ".")
	namespace, _, _ := strings.Cut(rest, ".")
	return host == target.Service && (!qualified || namespace == target.Namespace)
}

// obstructed says that another TrafficSplit is in the way.
func obstructed(name string, target router.Target) error {
	return unsupported("TrafficSplit %s/%s, which Weighlock hasn't made for Rollout %s, is in the way of splitting Service %s: delete it",
		target.Namespace, name, target.Rollout, target.Service)
}
