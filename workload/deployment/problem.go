package deployment

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// The reasons of problems, as conditions have them.
const (
	ReasonWorkloadNotFound        = "WorkloadNotFound"
	ReasonServiceNotFound         = "ServiceNotFound"
	ReasonPortNotFound            = "PortNotFound"
	ReasonAlreadyClaimed          = "AlreadyClaimed"
	ReasonServiceSelectorMismatch = "ServiceSelectorMismatch"
	ReasonSelectorNotEscapable    = "SelectorNotEscapable"
	ReasonCannotRunTwice          = "CannotRunTwice"
	ReasonNameTaken               = "NameTaken"
)

// problem is the first reason not to handle the workload; nil when there is none.
func (s *seen) problem() *workload.Problem {
	for _, check := range []func(*seen) *workload.Problem{
		(*seen).workloadMissing,
		(*seen).serviceMissing,
		(*seen).portMissing,
		(*seen).claimed,
		(*seen).selectorMismatch,
		(*seen).selectorNotEscapable,
		(*seen).cannotRunTwice,
		(*seen).trackServiceTaken,
	} {
		if problem := check(s); problem != nil {
			return problem
		}
	}
	return nil
}

func (s *seen) workloadMissing() *workload.Problem {
	if s.deployment != nil {
		return nil
	}
	return workloadNotFound(s.ref)
}

func (s *seen) serviceMissing() *workload.Problem {
	if s.root != nil {
		return nil
	}
	return serviceNotFound(s.ref)
}

func (s *seen) portMissing() *workload.Problem {
	has := make([]string, 0, len(s.root.Spec.Ports))
	for i := range s.root.Spec.Ports {
		if s.root.Spec.Ports[i].Port == s.ref.Port {
			return nil
		}
		has = append(has, fmt.Sprint(s.root.Spec.Ports[i].Port))
	}
	return &workload.Problem{
		Reason: ReasonPortNotFound,
		Message: fmt.Sprintf("Service %s has no port %d (spec.service.port); it has %s: add the port to the Service, or make the Rollout anew with one that it has",
			s.ref.Service, s.ref.Port, strings.Join(has, ", ")),
	}
}

// claimed finds another Rollout that has the workload or the Service. A claim of a Rollout that is gone
// doesn't count; where there is no claim yet, the oldest Rollout gets it.
func (s *seen) claimed() *workload.Problem {
	claims := []struct{ kind, name, uid string }{
		{"Deployment", s.ref.Name, s.deployment.GetAnnotations()[v1alpha1.AnnotationClaim]},
		{"Service", s.ref.Service, s.root.Annotations[v1alpha1.AnnotationClaim]},
	}
	self := slices.IndexFunc(s.rollouts, func(r v1alpha1.Rollout) bool { return string(r.UID) == s.ref.UID })
	for _, claim := range claims {
		if claim.uid == s.ref.UID {
			continue
		}
		living := ""
		for i := range s.rollouts {
			if string(s.rollouts[i].UID) == claim.uid {
				living = s.rollouts[i].Name
			}
		}
		for i := range s.rollouts {
			other := &s.rollouts[i]
			wants := claim.kind == "Deployment" && other.Spec.Workload.Name == claim.name ||
				claim.kind == "Service" && other.Spec.Service.Name == claim.name
			if living == "" && wants && string(other.UID) != s.ref.UID && self >= 0 && older(other, &s.rollouts[self]) {
				living = other.Name
			}
		}
		if living != "" {
			return &workload.Problem{
				Reason: ReasonAlreadyClaimed,
				Message: fmt.Sprintf("%s %s belongs to Rollout %s: delete one of the two Rollouts, or give this one another workload and Service",
					claim.kind, claim.name, living),
			}
		}
	}
	return nil
}

// older orders Rollouts by age, and by name where they were made in the same second.
func older(one, other *v1alpha1.Rollout) bool {
	if !one.CreationTimestamp.Equal(&other.CreationTimestamp) {
		return one.CreationTimestamp.Before(&other.CreationTimestamp)
	}
	return one.Name < other.Name
}

func (s *seen) selectorMismatch() *workload.Problem {
	problem := &workload.Problem{Reason: ReasonServiceSelectorMismatch}
	podLabels, _, _ := unstructured.NestedStringMap(s.deployment.Object, "spec", "template", "metadata", "labels")
	switch {
	case s.root.Spec.Type == corev1.ServiceTypeExternalName || len(s.root.Spec.Selector) == 0:
		problem.Message = fmt.Sprintf("Service %s has no selector, so its traffic can't be split between versions of Deployment %s: give it the labels of the Deployment's pods (%s)",
			s.ref.Service, s.ref.Name, joined(selectorLabels(s.deployment)))
	case !labels.SelectorFromSet(s.root.Spec.Selector).Matches(labels.Set(podLabels)):
		problem.Message = fmt.Sprintf("Service %s selects %s, which misses the pods of Deployment %s (%s): correct the Service's selector, or make the Rollout anew with the Service of this workload",
			s.ref.Service, joined(s.root.Spec.Selector), s.ref.Name, joined(podLabels))
	default:
		return nil
	}
	return problem
}

func (s *seen) selectorNotEscapable() *workload.Problem {
	_, problem := chooseEscape(s.ref, s.deployment, s.root, "")
	return problem
}

// cannotRunTwice names the field that keeps a copy from running beside the workload.
func (s *seen) cannotRunTwice() *workload.Problem {
	field, advice := "", ""
	if kind, _, _ := unstructured.NestedString(s.deployment.Object, "spec", "strategy", "type"); kind == "Recreate" {
		field, advice = "spec.strategy.type: Recreate", "use RollingUpdate, if two versions may run at the same time"
	}
	for _, found := range singletons(s.deployment) {
		if field != "" || len(found.items) == 0 {
			continue
		}
		item, _ := found.items[0].(map[string]any)
		if found.fields[len(found.fields)-1] == "volumes" {
			field = fmt.Sprintf("spec.template.spec.volumes[%v].persistentVolumeClaim", item["name"])
			advice = "keep the state elsewhere, or mount the claim readOnly"
			continue
		}
		field, advice = fmt.Sprintf("a hostPort of container %v", item["name"]), "remove it, and reach the pods through the Service"
	}
	if field == "" {
		return nil
	}
	return &workload.Problem{
		Reason:  ReasonCannotRunTwice,
		Message: fmt.Sprintf("a copy of Deployment %s can't run beside it because of %s: %s", s.ref.Name, field, advice),
	}
}

// exclusive is a list of a pod template's parts that can't be there twice.
type exclusive struct {
	fields []string
	items  []any
}

// singletons are the volumes of a template that a second set of pods may not be able to mount, and the
// containers that want ports of their node, in a trimmed form that it finds again itself.
func singletons(u *unstructured.Unstructured) []exclusive {
	volumes := exclusive{fields: []string{"spec", "template", "spec", "volumes"}}
	for _, volume := range list(u.Object, volumes.fields...) {
		fields, _ := volume.(map[string]any)
		claim, ok := fields["persistentVolumeClaim"].(map[string]any)
		if readOnly, _ := claim["readOnly"].(bool); ok && !readOnly {
			volumes.items = append(volumes.items, map[string]any{"name": fields["name"], "persistentVolumeClaim": map[string]any{}})
		}
	}
	found := []exclusive{volumes}
	for _, name := range []string{"containers", "initContainers"} {
		containers := exclusive{fields: []string{"spec", "template", "spec", name}}
		for _, container := range list(u.Object, containers.fields...) {
			fields, _ := container.(map[string]any)
			if ports := hostPorts(fields); len(ports) > 0 {
				containers.items = append(containers.items, map[string]any{"name": fields["name"], "ports": ports})
			}
		}
		found = append(found, containers)
	}
	return found
}

func hostPorts(container map[string]any) []any {
	var out []any
	for _, port := range list(container, "ports") {
		fields, _ := port.(map[string]any)
		if host, ok := fields["hostPort"]; ok {
			out = append(out, map[string]any{"hostPort": host})
		}
	}
	return out
}

func (s *seen) trackServiceTaken() *workload.Problem {
	name := workloadServiceName(s.ref)
	if there := s.services[name]; there != nil && !ours(there, s.ref) {
		return nameTaken(s.ref, "Service", name)
	}
	return nil
}

func workloadNotFound(ref workload.Reference) *workload.Problem {
	return &workload.Problem{
		Reason:  ReasonWorkloadNotFound,
		Message: fmt.Sprintf("there is no Deployment %s in namespace %s (spec.workload.name): create it, or make the Rollout anew with the right name", ref.Name, ref.Namespace),
	}
}

func serviceNotFound(ref workload.Reference) *workload.Problem {
	return &workload.Problem{
		Reason:  ReasonServiceNotFound,
		Message: fmt.Sprintf("there is no Service %s in namespace %s (spec.service.name): create it, or make the Rollout anew with the right name", ref.Service, ref.Namespace),
	}
}

func nameTaken(ref workload.Reference, kind, name string) *workload.Problem {
	return &workload.Problem{
		Reason:  ReasonNameTaken,
		Message: fmt.Sprintf("%s %s/%s is in the way: Weighlock needs the name for Rollout %s and doesn't take over what it hasn't made: rename or delete it", kind, ref.Namespace, name, ref.Rollout),
	}
}
