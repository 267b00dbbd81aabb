package lint

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/prometheus"
	"github.com/weighlock/weighlock/analysis/template"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// The tracks of a rollout that isn't there, by which queries are tried.
func tracks(namespace string, spec *v1alpha1.RolloutSpec) (incumbent, candidate analysis.Track) {
	if namespace == "" {
		namespace = "default"
	}
	incumbent = analysis.Track{Namespace: namespace, Service: spec.Service.Name + "-workload", Workload: spec.Workload.Name, Port: spec.Service.Port}
	candidate = analysis.Track{Namespace: namespace, Service: spec.Service.Name + "-tried", Workload: spec.Workload.Name + "-tried", Port: spec.Service.Port}
	return incumbent, candidate
}

// checkAnalysis reads the analysis as the controller does. Templates that aren't among the files are left out: they may be in the cluster.
func (o *object) checkAnalysis(rollout *v1alpha1.Rollout, templates map[key]*v1alpha1.AnalysisTemplate) []Finding {
	spec := rollout.Spec.Analysis
	if spec == nil {
		return nil
	}
	known := spec.DeepCopy()
	// Fields are told by their index, so that a template which is left out must not move the others.
	known.Templates = nil
	if !slices.ContainsFunc(spec.Templates, func(named v1alpha1.TemplateReference) bool {
		return o.template(templates, named.Name) == nil
	}) {
		known.Templates = spec.Templates
	}
	resolved, err := template.Resolve(*known, func(name string) (*v1alpha1.AnalysisTemplate, error) {
		return o.template(templates, name), nil
	})
	if err == nil {
		err = resolved.Explain(try(resolved.Analysis, rollout))
	}
	return o.wrong(err, func(field string) string { return field })
}

// template is one that the Rollout names: in its own folder or, where it is in one other only, there; nil when there is none, or several.
func (o *object) template(templates map[key]*v1alpha1.AnalysisTemplate, name string) *v1alpha1.AnalysisTemplate {
	wanted := o.key()
	wanted.name = name
	if own := templates[wanted]; own != nil {
		return own
	}
	var found *v1alpha1.AnalysisTemplate
	for at, template := range templates {
		if at.namespace != wanted.namespace || at.name != name {
			continue
		}
		if found != nil {
			return nil
		}
		found = template
	}
	return found
}

// try asks what a Rollout's controller would ask, of nobody.
func try(spec v1alpha1.Analysis, rollout *v1alpha1.Rollout) error {
	criteria, err := analysis.ParseCriteria(spec)
	if err != nil {
		return err
	}
	incumbent, candidate := tracks(rollout.Namespace, &rollout.Spec)
	query := analysis.Query{
		Source: spec.Source, Incumbent: incumbent, Candidate: candidate, Since: time.Unix(0, 0), Latency: criteria.Latency, Ratios: criteria.Ratios,
	}
	var evaluations []analysis.Evaluation
	for _, threshold := range criteria.Thresholds {
		evaluations = append(evaluations, analysis.Evaluation{
			Source: spec.Source, Field: threshold.Field, Expression: threshold.Expression, Incumbent: incumbent, Candidate: candidate,
		})
	}
	return prometheus.Check(query, evaluations...)
}

// wrong makes findings of an error about a field, whose path in the file is given by place.
func (o *object) wrong(err error, place func(field string) string) []Finding {
	if err == nil {
		return nil
	}
	if wrong, is := errors.AsType[*analysis.FieldError](err); is {
		return []Finding{o.finding(Error, place(wrong.Field), wrong.Problem)}
	}
	return []Finding{o.finding(Error, "spec", err.Error())}
}

// ofTemplate is how an error names a metric of a template.
var ofTemplate = regexp.MustCompile(`^metric "([^"]+)" of AnalysisTemplate "[^"]*": (?:((?:threshold|ratio)[a-z.]*): )?(.*)$`)

// checkTemplate tries a template in a Rollout that gives it arguments which fit everywhere.
func (o *object) checkTemplate(made *v1alpha1.AnalysisTemplate) []Finding {
	if made == nil {
		return nil
	}
	tried := made.DeepCopy()
	reference := v1alpha1.TemplateReference{Name: tried.Name}
	for _, definition := range tried.Spec.Args {
		if definition.Default == nil {
			reference.Args = append(reference.Args, v1alpha1.Argument{Name: definition.Name, Value: "1"})
		}
	}
	for i := range tried.Spec.Metrics {
		if threshold := tried.Spec.Metrics[i].Threshold; threshold != nil && threshold.Min != "" && threshold.Max != "" && given(reference, threshold.Min+threshold.Max) {
			// Which of the bounds is higher depends on the Rollout.
			threshold.Min = ""
		}
	}
	resolved, err := template.Resolve(v1alpha1.Analysis{Templates: []v1alpha1.TemplateReference{reference}},
		func(string) (*v1alpha1.AnalysisTemplate, error) { return tried, nil })
	if err == nil {
		rollout := &v1alpha1.Rollout{Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Name: "tried"}, Service: v1alpha1.ServiceReference{Name: "tried", Port: 80},
		}}
		err = try(resolved.Analysis, rollout)
		return o.wrong(err, func(field string) string { return strings.Replace(field, "spec.analysis.metrics", "spec.metrics", 1) })
	}
	if wrong, is := errors.AsType[*analysis.FieldError](err); is {
		if match := ofTemplate.FindStringSubmatch(wrong.Problem); match != nil {
			index := slices.IndexFunc(tried.Spec.Metrics, func(metric v1alpha1.Metric) bool { return metric.Name == match[1] })
			return []Finding{o.finding(Error, strings.TrimSuffix(fmt.Sprintf("spec.metrics[%d].%s", index, match[2]), "."), match[3])}
		}
	}
	return o.wrong(err, func(string) string { return "spec" })
}

// given says whether a text holds an argument that has no default.
func given(reference v1alpha1.TemplateReference, text string) bool {
	return slices.ContainsFunc(reference.Args, func(argument v1alpha1.Argument) bool {
		return strings.Contains(text, "{args."+argument.Name+"}")
	})
}
