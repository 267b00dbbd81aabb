package deployment

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

// Serve makes the track service of the workload itself. It needs create and patch on services.
func (a *Adapter) Serve(ctx context.Context, ref workload.Reference, _ *workload.State) error {
	root, err := a.root(ctx, ref)
	if err != nil {
		return err
	}
	labels := map[string]string{v1alpha1.LabelRollout: naming.LabelValue(ref.Rollout)}
	return a.applyService(ctx, ref, root, workloadServiceName(ref), maps.Clone(root.Spec.Selector), labels)
}

// Unserve removes the track service of the workload itself. It needs delete on services.
func (a *Adapter) Unserve(ctx context.Context, ref workload.Reference) error {
	return a.removeService(ctx, ref, workloadServiceName(ref))
}

// root reads the root Service.
func (a *Adapter) root(ctx context.Context, ref workload.Reference) (*corev1.Service, error) {
	root := &corev1.Service{}
	found, err := a.get(ctx, ref.Namespace, ref.Service, root)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, &workload.ProblemError{Problem: *serviceNotFound(ref)}
	}
	return root, nil
}

// applyService writes a track service with the ports of the root. The selector of one that exists stays
// as it is: a selector that changes sends requests to pods that aren't warm.
func (a *Adapter) applyService(ctx context.Context, ref workload.Reference, root *corev1.Service, name string, selector, labels map[string]string) error {
	existing := &corev1.Service{}
	found, err := a.get(ctx, ref.Namespace, name, existing)
	if err != nil {
		return err
	}
	if found {
		if !ours(existing, ref) {
			return &workload.ProblemError{Problem: *nameTaken(ref, "Service", name)}
		}
		if samePorts(existing, root) {
			return nil
		}
		selector = existing.Spec.Selector
	}
	u := object(serviceKind, ref.Namespace, name)
	u.SetLabels(labels)
	if found {
		u.SetUID(existing.UID)
	}
	spec := map[string]any{"ports": ports(root)}
	u.Object["spec"] = spec
	if err := unstructured.SetNestedStringMap(u.Object, selector, "spec", "selector"); err != nil {
		return fmt.Errorf("select pods for Service %s/%s: %w", ref.Namespace, name, err)
	}
	return a.apply(ctx, u, found)
}

// removeService deletes a track service, if it is ours.
func (a *Adapter) removeService(ctx context.Context, ref workload.Reference, name string) error {
	existing := &corev1.Service{}
	found, err := a.get(ctx, ref.Namespace, name, existing)
	if err != nil || !found || !ours(existing, ref) || existing.DeletionTimestamp != nil {
		return err
	}
	return a.remove(ctx, existing)
}

// ports are the ports of a Service, without what the cluster chose for it.
func ports(service *corev1.Service) []any {
	out := make([]any, 0, len(service.Spec.Ports))
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		fields := map[string]any{"port": int64(port.Port), "protocol": string(port.Protocol)}
		if port.Protocol == "" {
			fields["protocol"] = string(corev1.ProtocolTCP)
		}
		if port.Name != "" {
			fields["name"] = port.Name
		}
		if port.AppProtocol != nil {
			fields["appProtocol"] = *port.AppProtocol
		}
		switch {
		case port.TargetPort.StrVal != "":
			fields["targetPort"] = port.TargetPort.StrVal
		case port.TargetPort.IntVal != 0:
			fields["targetPort"] = int64(port.TargetPort.IntVal)
		}
		out = append(out, fields)
	}
	return out
}

// samePorts says that two Services have the same ports.
func samePorts(one, other *corev1.Service) bool {
	return equalJSON(ports(one), ports(other))
}
