package lint

import (
	"fmt"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// key names an object in its namespace, among those of a folder: others are most likely for another cluster.
type key struct {
	folder, namespace, name string
}

func (o *object) key() key { return key{filepath.Dir(o.file), o.namespace(), o.name()} }

// compare finds what only Weighlock knows of objects which the API server would take, some of it by looking at several of them.
func compare(objects []*object) []Finding {
	var findings []Finding
	names := map[string]*object{}
	templates := map[key]*v1alpha1.AnalysisTemplate{}
	for _, one := range objects {
		id := fmt.Sprintf("%s %v", one.kind.Kind, one.key())
		if first := names[id]; first != nil && one.name() != "" {
			findings = append(findings, one.finding(Error, "metadata.name", "is there twice: the other one is in "+first.at("metadata.name")))
		}
		names[id] = one
		if template := (&v1alpha1.AnalysisTemplate{}); one.kind.Kind == "AnalysisTemplate" && one.into(template) {
			templates[one.key()] = template
		}
	}
	claims := map[key]*object{}
	for _, one := range objects {
		switch one.kind.Kind {
		case "Rollout":
			rollout := &v1alpha1.Rollout{}
			if !one.into(rollout) {
				continue
			}
			if wrong := one.checkNames(rollout); len(wrong) > 0 {
				findings = append(findings, wrong...)
				continue
			}
			findings = append(findings, one.claim(rollout, claims)...)
			findings = append(findings, one.checkSteps(rollout)...)
			findings = append(findings, one.checkAnalysis(rollout, templates)...)
		case "AnalysisTemplate":
			findings = append(findings, one.checkTemplate(templates[one.key()])...)
		}
	}
	return findings
}

// into reads the object as its type.
func (o *object) into(typed any) bool {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(o.content, typed) == nil
}

// at tells where a field of the object stands.
func (o *object) at(field string) string {
	there := o.finding(Error, field, "")
	return fmt.Sprintf("%s:%d", there.File, there.Line)
}

// checkNames finds names that no object can have.
func (o *object) checkNames(rollout *v1alpha1.Rollout) []Finding {
	var findings []Finding
	if wrong := validation.IsDNS1123Subdomain(rollout.Spec.Workload.Name); len(wrong) > 0 {
		findings = append(findings, o.finding(Error, "spec.workload.name", fmt.Sprintf("is %q, which is no name of Kubernetes", rollout.Spec.Workload.Name)))
	}
	if wrong := validation.IsDNS1123Label(rollout.Spec.Service.Name); len(wrong) > 0 {
		findings = append(findings, o.finding(Error, "spec.service.name", fmt.Sprintf("is %q, which is no name of Kubernetes", rollout.Spec.Service.Name)))
	}
	return findings
}

// claim finds Rollouts that want the same workload or Service: the second would be stalled.
func (o *object) claim(rollout *v1alpha1.Rollout, claims map[key]*object) []Finding {
	var findings []Finding
	for field, wanted := range map[string]string{
		"spec.workload.name": "the workload " + rollout.Spec.Workload.Name, "spec.service.name": "the Service " + rollout.Spec.Service.Name,
	} {
		id := key{filepath.Dir(o.file), rollout.Namespace, wanted}
		first := claims[id]
		if first == nil {
			claims[id] = o
			continue
		}
		if first.key() != o.key() {
			findings = append(findings, o.finding(Error, field, fmt.Sprintf("names %s, which %s in %s has: one of them would be stalled", wanted, first, first.at(field))))
		}
	}
	return findings
}

// checkSteps finds what the routers can't do, and what is hardly meant.
func (o *object) checkSteps(rollout *v1alpha1.Rollout) []Finding {
	var findings []Finding
	if len(rollout.Spec.Steps) == 0 {
		findings = append(findings, o.finding(Warning, "spec", "has no steps: a candidate gets all traffic as soon as it is ready, and nothing is weighed"))
	}
	for i := range rollout.Spec.Steps {
		step := &rollout.Spec.Steps[i]
		field := fmt.Sprintf("spec.steps[%d]", i)
		for j := range rollout.Spec.Router {
			if smi := rollout.Spec.Router[j].SMI; smi != nil {
				findings = append(findings, o.checkSMI(field, step, smi)...)
			}
		}
		moves := step.Weight != nil && *step.Weight > 0 || step.Shadow != nil || step.Match != nil
		if moves && rollout.Spec.Analysis == nil && step.Hold == nil && step.Approval == nil {
			findings = append(findings, o.finding(Warning, field, "is left at once: add a hold or an approval, or spec.analysis"))
		}
	}
	return findings
}

// checkSMI finds what SMI has no words for.
func (o *object) checkSMI(field string, step *v1alpha1.Step, smi *v1alpha1.SMIRouter) []Finding {
	var findings []Finding
	if step.Shadow != nil && !smi.Mirror {
		findings = append(findings, o.finding(Error, field+".shadow",
			"can't be done by SMI: leave it out, or set smi.mirror: true in spec.router if the mesh understands the annotation "+v1alpha1.AnnotationMirror))
	}
	if step.Match == nil {
		return findings
	}
	if step.Weight != nil && *step.Weight > 0 {
		findings = append(findings, o.finding(Error, field+".match", "can't stand together with a weight in SMI: make two steps of it"))
	}
	if smi.Version == "v1alpha1" || smi.Version == "v1alpha2" {
		findings = append(findings, o.finding(Error, field+".match",
			fmt.Sprintf("can't be done by a TrafficSplit of version %s: set smi.version in spec.router to v1alpha3 or v1alpha4, or leave it out", smi.Version)))
	}
	return findings
}
