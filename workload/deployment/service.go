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

// Unserve removes the track service of the workload itself, and what copies that are gone have left. It needs delete
// on services and networkpolicies.
func (a *Adapter) Unserve(ctx context.Context, ref workload.Reference) error {
	if err := a.sweepTwins(ctx, ref); err != nil {
		return err
	}
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

// applyService writes a track service that serves as the root does. The selector of one that exists stays
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
		if equalJSON(servedAs(existing), servedAs(root)) {
			return nil
		}
		selector = existing.Spec.Selector
	}
	u := object(serviceKind, ref.Namespace, name)
	u.SetLabels(labels)
	if found {
		u.SetUID(existing.UID)
	}
	u.Object["spec"] = servedAs(root)
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

// servedAs is what a track service has in common with the root: ports, address families, and to which of its pods a
// client goes. Not publishNotReadyAddresses: no track gets requests on pods that aren't ready.
func servedAs(service *corev1.Service) map[string]any {
	in := &service.Spec
	spec := map[string]any{"ports": ports(service)}
	if in.IPFamilyPolicy != nil {
		spec["ipFamilyPolicy"] = string(*in.IPFamilyPolicy)
	}
	if len(in.IPFamilies) > 0 {
		families := make([]any, 0, len(in.IPFamilies))
		for _, family := range in.IPFamilies {
			families = append(families, string(family))
		}
		spec["ipFamilies"] = families
	}
	if in.SessionAffinity != "" {
		spec["sessionAffinity"] = string(in.SessionAffinity)
	}
	if config := in.SessionAffinityConfig; config != nil && config.ClientIP != nil && config.ClientIP.TimeoutSeconds != nil {
		spec["sessionAffinityConfig"] = map[string]any{"clientIP": map[string]any{"timeoutSeconds": int64(*config.ClientIP.TimeoutSeconds)}}
	}
	if in.InternalTrafficPolicy != nil {
		spec["internalTrafficPolicy"] = string(*in.InternalTrafficPolicy)
	}
	if in.TrafficDistribution != nil {
		spec["trafficDistribution"] = *in.TrafficDistribution
	}
	return spec
}
