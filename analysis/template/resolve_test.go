package template_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/template"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// queue is a template with an argument that must be given, and some that needn't.
func queue() *v1alpha1.AnalysisTemplate {
	queue := &v1alpha1.AnalysisTemplate{}
	queue.Name = "queue"
	queue.Spec.Args = []v1alpha1.ArgumentDefinition{
		{Name: "queue"}, {Name: "window", Default: new("5m")}, {Name: "max", Default: new("10")}, {Name: "slo", Default: new("99.9")}, {Name: "margin", Default: new("1.25")},
	}
	queue.Spec.Metrics = []v1alpha1.Metric{
		{Name: "lag", DryRun: true, Threshold: &v1alpha1.ThresholdMetric{
			Query: `max_over_time(lag{queue="{args.queue}",pod=~"{candidate.workload}-.*"}[{args.window}])`, Min: "0", Max: "{args.max}", Times: 3,
		}},
		{Name: "lost", Ratio: &v1alpha1.RatioMetric{
			Bad: `lost{queue=~"{args.queue}",service="{service}"}`, Total: `sent{queue="{args.queue}",service="{service}"}`, SLO: "{args.slo}", Margin: "{args.margin}",
		}},
	}
	return queue
}

func namespace(templates ...*v1alpha1.AnalysisTemplate) func(string) (*v1alpha1.AnalysisTemplate, error) {
	return func(name string) (*v1alpha1.AnalysisTemplate, error) {
		for _, template := range templates {
			if template.Name == name {
				return template, nil
			}
		}
		return nil, nil
	}
}

func carts() v1alpha1.Metric {
	return v1alpha1.Metric{Name: "carts", Threshold: &v1alpha1.ThresholdMetric{Query: `carts{a="{namespace}"}`, Max: "1"}}
}

func uses(args ...v1alpha1.Argument) v1alpha1.Analysis {
	return v1alpha1.Analysis{
		Errors:    &v1alpha1.ErrorAnalysis{SLO: "99"},
		Metrics:   []v1alpha1.Metric{carts()},
		Templates: []v1alpha1.TemplateReference{{Name: "queue", Args: args}},
	}
}

func TestResolve_AppendsTheMetricsWithTheirArguments(t *testing.T) {
	spec := uses(v1alpha1.Argument{Name: "queue", Value: `or"ders.v1`}, v1alpha1.Argument{Name: "max", Value: "2.5"})
	before, stored := *spec.DeepCopy(), queue()
	resolved, err := template.Resolve(spec, namespace(stored))
	if err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{SLO: "99"}, Metrics: []v1alpha1.Metric{
		carts(),
		{Name: "lag", DryRun: true, Threshold: &v1alpha1.ThresholdMetric{
			Query: `max_over_time(lag{queue="or\"ders.v1",pod=~"{candidate.workload}-.*"}[5m])`, Min: "0", Max: "2.5", Times: 3,
		}},
		{Name: "lost", Ratio: &v1alpha1.RatioMetric{
			Bad: `lost{queue=~"or\"ders\\.v1",service="{service}"}`, Total: `sent{queue="or\"ders.v1",service="{service}"}`, SLO: "99.9", Margin: "1.25",
		}},
	}}
	if diff := cmp.Diff(want, resolved.Analysis); diff != "" {
		t.Errorf("it became (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, spec); diff != "" {
		t.Errorf("the Rollout's analysis was changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(queue(), stored); diff != "" {
		t.Errorf("the template was changed (-before +after):\n%s", diff)
	}
}

func TestResolve_LeavesAnAnalysisWithoutTemplatesAsItIs(t *testing.T) {
	spec := uses()
	spec.Templates = nil
	resolved, err := template.Resolve(spec, func(string) (*v1alpha1.AnalysisTemplate, error) { return nil, errors.New("asked") })
	if diff := cmp.Diff(spec, resolved.Analysis); diff != "" || err != nil {
		t.Errorf("%v, it became (-want +got):\n%s", err, diff)
	}
}

// changed is the template with a change.
func changed(change func(*v1alpha1.AnalysisTemplate)) *v1alpha1.AnalysisTemplate {
	template := queue()
	change(template)
	return template
}

func TestResolve_SaysWhatIsWrongAndWhere(t *testing.T) {
	orders := v1alpha1.Argument{Name: "queue", Value: "orders"}
	lag := func(change func(*v1alpha1.ThresholdMetric)) *v1alpha1.AnalysisTemplate {
		return changed(func(template *v1alpha1.AnalysisTemplate) { change(template.Spec.Metrics[0].Threshold) })
	}
	for name, test := range map[string]struct {
		spec         v1alpha1.Analysis
		templates    []*v1alpha1.AnalysisTemplate
		field, words string
	}{
		"no template": {uses(orders), nil, "spec.analysis.templates[0].name", `there is no AnalysisTemplate "queue" in the Rollout's namespace: create it`},
		"missing argument": {
			uses(),
			[]*v1alpha1.AnalysisTemplate{queue()},
			"spec.analysis.templates[0].args",
			`AnalysisTemplate "queue" needs its argument "queue": add {name: queue, value: ...}`,
		},
		"unknown argument": {
			uses(orders, v1alpha1.Argument{Name: "maximum", Value: "1"}),
			[]*v1alpha1.AnalysisTemplate{queue()},
			"spec.analysis.templates[0].args[1].name",
			`AnalysisTemplate "queue" has no argument "maximum": it has queue, window, max, slo, margin`,
		},
		"no arguments at all": {
			uses(orders),
			[]*v1alpha1.AnalysisTemplate{changed(func(template *v1alpha1.AnalysisTemplate) { template.Spec.Args = nil })},
			"spec.analysis.templates[0].args[0].name",
			`has no argument "queue": it has none`,
		},
		"a query with an unknown argument": {
			uses(orders),
			[]*v1alpha1.AnalysisTemplate{lag(func(lag *v1alpha1.ThresholdMetric) { lag.Query = `lag{a="{args.b}"}` })},
			"spec.analysis.templates[0]",
			`metric "lag" of AnalysisTemplate "queue": threshold.query: has an unknown placeholder {args.b}: there are {args.margin}, {args.max}, {args.queue}, {args.slo}, {args.window}`,
		},
		"a value that is no duration": {
			uses(orders, v1alpha1.Argument{Name: "window", Value: "5m]) or vector(1"}),
			[]*v1alpha1.AnalysisTemplate{queue()},
			"spec.analysis.templates[0]",
			`metric "lag" of AnalysisTemplate "queue": threshold.query: has a placeholder outside of strings`,
		},
		"a value that is no number": {
			uses(orders, v1alpha1.Argument{Name: "max", Value: "ten"}),
			[]*v1alpha1.AnalysisTemplate{queue()},
			"spec.analysis.templates[0]",
			`metric "lag" of AnalysisTemplate "queue": threshold.max: is "ten" with its arguments, and must be a number, written like "0.5"`,
		},
		"an empty value": {
			uses(orders, v1alpha1.Argument{Name: "max", Value: ""}),
			[]*v1alpha1.AnalysisTemplate{queue()},
			"spec.analysis.templates[0]",
			`threshold.max: is "" with its arguments, and must be a number`,
		},
		"a value below the least": {
			uses(orders, v1alpha1.Argument{Name: "max", Value: "-1"}),
			[]*v1alpha1.AnalysisTemplate{queue()},
			"spec.analysis.templates[0]",
			`metric "lag" of AnalysisTemplate "queue": threshold: its min 0 is above its max -1: no value would be good`,
		},
		"a value that is no percentage": {
			uses(orders, v1alpha1.Argument{Name: "slo", Value: "100"}),
			[]*v1alpha1.AnalysisTemplate{queue()},
			"spec.analysis.templates[0]",
			`metric "lost" of AnalysisTemplate "queue": ratio.slo: is "100" with its arguments, and must be a percentage below 100`,
		},
		"a value that is no odds ratio": {
			uses(orders, v1alpha1.Argument{Name: "margin", Value: "0.5"}),
			[]*v1alpha1.AnalysisTemplate{queue()},
			"spec.analysis.templates[0]",
			`ratio.margin: is "0.5" with its arguments, and must be an odds ratio of at least 1`,
		},
		"a query that grew too long": {
			uses(v1alpha1.Argument{Name: "queue", Value: strings.Repeat("q", 1024)}),
			[]*v1alpha1.AnalysisTemplate{lag(func(lag *v1alpha1.ThresholdMetric) { lag.Query = `lag{a="` + strings.Repeat("{args.queue}", 17) + `"}` })},
			"spec.analysis.templates[0]",
			`threshold.query: has 17417 characters with its arguments: there may be at most 16384`,
		},
		"a metric of the Rollout's name": {
			uses(orders),
			[]*v1alpha1.AnalysisTemplate{changed(func(template *v1alpha1.AnalysisTemplate) { template.Spec.Metrics[1].Name = "carts" })},
			"spec.analysis.templates[0]",
			`metric "carts" of AnalysisTemplate "queue": has the name of a metric of the Rollout: rename one of them`,
		},
		"a metric of another template's name": {
			v1alpha1.Analysis{Templates: []v1alpha1.TemplateReference{{Name: "queue", Args: []v1alpha1.Argument{orders}}, {Name: "other"}}},
			[]*v1alpha1.AnalysisTemplate{queue(), changed(func(template *v1alpha1.AnalysisTemplate) {
				template.Name, template.Spec.Args, template.Spec.Metrics = "other", nil, []v1alpha1.Metric{{Name: "lag", Threshold: carts().Threshold}}
			})},
			"spec.analysis.templates[1]",
			`metric "lag" of AnalysisTemplate "other": has the name of a metric of AnalysisTemplate "queue": rename one of them`,
		},
		"too many metrics": {
			uses(orders), []*v1alpha1.AnalysisTemplate{changed(func(template *v1alpha1.AnalysisTemplate) {
				for i := range 30 {
					template.Spec.Metrics = append(template.Spec.Metrics, v1alpha1.Metric{Name: fmt.Sprintf("m%d", i), Threshold: carts().Threshold})
				}
			})}, "spec.analysis.templates", "the Rollout and its templates have 33 metrics: there may be at most 32",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := template.Resolve(test.spec, namespace(test.templates...))
			wants(t, err, test.field, test.words)
		})
	}
}

func wants(t *testing.T, err error, field, words string) {
	t.Helper()
	var wrong *analysis.FieldError
	if !errors.As(err, &wrong) || wrong.Field != field || !strings.Contains(wrong.Problem, words) {
		t.Errorf("got %v, want %s: %s", err, field, words)
	}
}

func TestResolve_PassesOnWhyATemplateCantBeHad(t *testing.T) {
	outage := errors.New("no connection")
	_, err := template.Resolve(uses(), func(string) (*v1alpha1.AnalysisTemplate, error) { return nil, outage })
	var wrong *analysis.FieldError
	if !errors.Is(err, outage) || errors.As(err, &wrong) {
		t.Errorf("got %v", err)
	}
}

func TestExplain_NamesTheTemplateOfAMetric(t *testing.T) {
	resolved, err := template.Resolve(uses(v1alpha1.Argument{Name: "queue", Value: "orders"}), namespace(queue()))
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"spec.analysis.metrics[1].threshold.query": `spec.analysis.templates[0]: metric "lag" of AnalysisTemplate "queue": threshold.query: is wrong`,
		"spec.analysis.metrics[2].ratio.bad":       `spec.analysis.templates[0]: metric "lost" of AnalysisTemplate "queue": ratio.bad: is wrong`,
		"spec.analysis.metrics[2]":                 `spec.analysis.templates[0]: metric "lost" of AnalysisTemplate "queue": is wrong`,
		"spec.analysis.metrics[0].threshold.query": `asking: spec.analysis.metrics[0].threshold.query: is wrong`,
		"spec.analysis.metrics[3].threshold.query": `asking: spec.analysis.metrics[3].threshold.query: is wrong`,
		"spec.analysis.errors.slo":                 `asking: spec.analysis.errors.slo: is wrong`,
	} {
		err := resolved.Explain(fmt.Errorf("asking: %w", &analysis.FieldError{Field: field, Problem: "is wrong"}))
		var wrong *analysis.FieldError
		if err.Error() != want || !errors.As(err, &wrong) {
			t.Errorf("%s was explained as %q, want %q", field, err, want)
		}
	}
	outage := errors.New("no connection")
	if err := resolved.Explain(outage); !errors.Is(err, outage) || resolved.Explain(nil) != nil {
		t.Errorf("got %v", err)
	}
}
