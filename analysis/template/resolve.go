package template

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

const (
	// A metric costs its queries, every interval.
	maxMetrics = 32

	metricsField   = "spec.analysis.metrics"
	templatesField = "spec.analysis.templates"
)

// Resolved is an analysis in which the metrics of templates follow its own ones. It has no templates any more.
type Resolved struct {
	Analysis v1alpha1.Analysis

	// own is how many metrics are the Rollout's own, and origins where each of the others is from.
	own     int
	origins []origin
}

// origin is a metric of a template that an analysis names.
type origin struct {
	field, template, metric string
}

// Resolve puts the metrics of the templates of an analysis into it. Get returns a template of the Rollout's namespace by its name, and nil where there
// is none. An error is a *analysis.FieldError, or wraps one of get. The analysis itself isn't changed.
func Resolve(spec v1alpha1.Analysis, get func(name string) (*v1alpha1.AnalysisTemplate, error)) (Resolved, error) {
	resolved := Resolved{Analysis: *spec.DeepCopy(), own: len(spec.Metrics)}
	resolved.Analysis.Templates = nil
	owners := map[string]string{}
	for _, metric := range spec.Metrics {
		owners[metric.Name] = "the Rollout"
	}
	for i, reference := range spec.Templates {
		template, err := get(reference.Name)
		if err != nil {
			return Resolved{}, fmt.Errorf("getting AnalysisTemplate %s: %w", reference.Name, err)
		}
		field := fmt.Sprintf("%s[%d]", templatesField, i)
		if template == nil {
			return Resolved{}, &analysis.FieldError{Field: field + ".name", Problem: fmt.Sprintf(
				"there is no AnalysisTemplate %q in the Rollout's namespace: create it, or remove this entry", reference.Name)}
		}
		values, err := arguments(field, reference, template)
		if err != nil {
			return Resolved{}, err
		}
		if err := resolved.add(field, template, values, owners); err != nil {
			return Resolved{}, err
		}
	}
	if n := len(resolved.Analysis.Metrics); n > maxMetrics {
		return Resolved{}, &analysis.FieldError{Field: templatesField, Problem: fmt.Sprintf("the Rollout and its templates have %d metrics: there may be at most %d", n, maxMetrics)}
	}
	return resolved, nil
}

// add appends the metrics of a template. Owners has who gave a metric its name.
func (r *Resolved) add(field string, template *v1alpha1.AnalysisTemplate, values map[string]string, owners map[string]string) error {
	for i := range template.Spec.Metrics {
		metric := template.Spec.Metrics[i].DeepCopy()
		from := origin{field: field, template: template.Name, metric: metric.Name}
		if owner, taken := owners[metric.Name]; taken {
			return from.problem("", fmt.Sprintf("has the name of a metric of %s: rename one of them", owner))
		}
		owners[metric.Name] = fmt.Sprintf("AnalysisTemplate %q", template.Name)
		if part, err := fillMetric(metric, values); err != nil {
			return from.problem(part, err.Error())
		}
		r.Analysis.Metrics = append(r.Analysis.Metrics, *metric)
		r.origins = append(r.origins, from)
	}
	return nil
}

// Explain returns an error about a metric of the resolved analysis as one about the template that it is from, which is what a
// reader of the Rollout finds there. Other errors are returned as they are.
func (r *Resolved) Explain(err error) error {
	var wrong *analysis.FieldError
	if !errors.As(err, &wrong) {
		return err
	}
	var index int
	if n, _ := fmt.Sscanf(wrong.Field, metricsField+"[%d]", &index); n != 1 || index < r.own || index-r.own >= len(r.origins) {
		return err
	}
	_, part, _ := strings.Cut(wrong.Field, "]")
	return r.origins[index-r.own].problem(strings.TrimPrefix(part, "."), wrong.Problem)
}

// problem is an error about a part of a template's metric: its query, say, or the metric itself where that is empty.
func (o origin) problem(part, problem string) *analysis.FieldError {
	if part != "" {
		problem = part + ": " + problem
	}
	return &analysis.FieldError{Field: o.field, Problem: fmt.Sprintf("metric %q of AnalysisTemplate %q: %s", o.metric, o.template, problem)}
}
