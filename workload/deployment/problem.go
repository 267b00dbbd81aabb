package deployment

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// problem is the first reason not to handle the workload; nil when there is none.
func (s *seen) problem() *workload.Problem {
	for _, check := range []func(*seen) *workload.Problem{
		(*seen).workloadMissing,
		(*seen).serviceMissing,
		(*seen).serviceHeadless,
		(*seen).portMissing,
		(*seen).claimed,
		(*seen).selectorMismatch,
		(*seen).selectorNotEscapable,
		(*seen).budgetNotEscapable,
		(*seen).cannotRunTwice,
		(*seen).trackServiceTaken,
		(*seen).twinTaken,
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

// serviceHeadless finds a root Service without an address: its clients call the pods' own, and go past the mesh.
func (s *seen) serviceHeadless() *workload.Problem {
	if s.root.Spec.ClusterIP != corev1.ClusterIPNone {
		return nil
	}
	return &workload.Problem{
		Reason: v1alpha1.ReasonServiceHeadless,
		Message: fmt.Sprintf("Service %s is headless (spec.clusterIP: None): its clients call pods by their own addresses, so its traffic can't be split: make the Rollout anew with a Service that has a cluster IP",
			s.ref.Service),
	}
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
		Reason: v1alpha1.ReasonPortNotFound,
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
				Reason: v1alpha1.ReasonAlreadyClaimed,
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
	problem := &workload.Problem{Reason: v1alpha1.ReasonServiceSelectorMismatch}
	pods := podLabels(s.deployment)
	switch {
	case s.root.Spec.Type == corev1.ServiceTypeExternalName || len(s.root.Spec.Selector) == 0:
		problem.Message = fmt.Sprintf("Service %s has no selector, so its traffic can't be split between versions of Deployment %s: give it the labels of the Deployment's pods (%s)",
			s.ref.Service, s.ref.Name, joined(selectorLabels(s.deployment)))
	case !labels.SelectorFromSet(s.root.Spec.Selector).Matches(labels.Set(pods)):
		problem.Message = fmt.Sprintf("Service %s selects %s, which misses the pods of Deployment %s (%s): correct the Service's selector, or make the Rollout anew with the Service of this workload",
			s.ref.Service, joined(s.root.Spec.Selector), s.ref.Name, joined(pods))
	default:
		return nil
	}
	return problem
}

func (s *seen) selectorNotEscapable() *workload.Problem {
	_, problem := chooseEscape(s.ref, s.deployment, s.root, s.near, anyRevision)
	return problem
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
		Reason:  v1alpha1.ReasonWorkloadNotFound,
		Message: fmt.Sprintf("there is no Deployment %s in namespace %s (spec.workload.name): create it, or make the Rollout anew with the right name", ref.Name, ref.Namespace),
	}
}

func serviceNotFound(ref workload.Reference) *workload.Problem {
	return &workload.Problem{
		Reason:  v1alpha1.ReasonServiceNotFound,
		Message: fmt.Sprintf("there is no Service %s in namespace %s (spec.service.name): create it, or make the Rollout anew with the right name", ref.Service, ref.Namespace),
	}
}

func nameTaken(ref workload.Reference, kind, name string) *workload.Problem {
	return nameTakenIn(ref, kind, ref.Namespace, name)
}

func nameTakenIn(ref workload.Reference, kind, namespace, name string) *workload.Problem {
	return &workload.Problem{
		Reason:  v1alpha1.ReasonNameTaken,
		Message: fmt.Sprintf("%s %s/%s is in the way: Weighlock needs the name for Rollout %s and doesn't take over what it hasn't made: rename or delete it", kind, namespace, name, ref.Rollout),
	}
}
