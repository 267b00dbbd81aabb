package template

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/promql"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

const (
	// prefix is how the placeholders of arguments begin.
	prefix = "args."
	// A query travels in a URL, perhaps through proxies.
	maxFilled = 16 << 10
)

// What the API server checks where a number is written itself, and can't where it is an argument's.
var (
	number = regexp.MustCompile(`^-?[0-9]{1,15}([.][0-9]{1,15})?$`)
	slo    = regexp.MustCompile(`^([0-9]|[1-9][0-9])([.][0-9]{1,6})?$`)
	margin = regexp.MustCompile(`^[1-9][0-9]{0,2}([.][0-9]{1,4})?$`)
)

// arguments are the values of all arguments of a template, by the names of their placeholders.
func arguments(field string, reference v1alpha1.TemplateReference, template *v1alpha1.AnalysisTemplate) (map[string]string, error) {
	values, known := map[string]string{}, map[string]bool{}
	var names []string
	for _, definition := range template.Spec.Args {
		known[definition.Name] = true
		names = append(names, definition.Name)
		if definition.Default != nil {
			values[prefix+definition.Name] = *definition.Default
		}
	}
	for i, given := range reference.Args {
		if !known[given.Name] {
			has := "none"
			if len(names) > 0 {
				has = strings.Join(names, ", ")
			}
			return nil, &analysis.FieldError{Field: fmt.Sprintf("%s.args[%d].name", field, i), Problem: fmt.Sprintf(
				"AnalysisTemplate %q has no argument %q: it has %s", template.Name, given.Name, has)}
		}
		values[prefix+given.Name] = given.Value
	}
	for _, name := range names {
		if _, given := values[prefix+name]; !given {
			return nil, &analysis.FieldError{Field: field + ".args", Problem: fmt.Sprintf(
				"AnalysisTemplate %q needs its argument %q: add {name: %s, value: ...}", template.Name, name, name)}
		}
	}
	return values, nil
}

// part is a text of a metric in which arguments can stand: PromQL, or a number that must match a pattern.
type part struct {
	name    string
	text    *string
	pattern *regexp.Regexp
	must    string
}

func partsOf(metric *v1alpha1.Metric) []part {
	var parts []part
	if threshold := metric.Threshold; threshold != nil {
		parts = append(parts,
			part{name: "threshold.query", text: &threshold.Query},
			part{"threshold.min", &threshold.Min, number, `a number, written like "0.5"`},
			part{"threshold.max", &threshold.Max, number, `a number, written like "0.5"`})
	}
	if ratio := metric.Ratio; ratio != nil {
		parts = append(parts,
			part{name: "ratio.bad", text: &ratio.Bad},
			part{name: "ratio.total", text: &ratio.Total},
			part{"ratio.slo", &ratio.SLO, slo, `a percentage below 100, written like "99.5"`},
			part{"ratio.margin", &ratio.Margin, margin, `an odds ratio of at least 1, written like "1.25"`})
	}
	return parts
}

// fillMetric puts arguments into a metric. With an error it returns the name of the part that is wrong.
func fillMetric(metric *v1alpha1.Metric, values map[string]string) (string, error) {
	for _, part := range partsOf(metric) {
		if err := part.fill(values); err != nil {
			return part.name, err
		}
	}
	if threshold := metric.Threshold; threshold != nil && threshold.Min != "" && threshold.Max != "" {
		lowest, _ := strconv.ParseFloat(threshold.Min, 64)  // It matches
		highest, _ := strconv.ParseFloat(threshold.Max, 64) // the pattern.
		if lowest > highest {
			return "threshold", fmt.Errorf("its min %s is above its max %s: no value would be good", threshold.Min, threshold.Max)
		}
	}
	return "", nil
}

func (p part) fill(values map[string]string) error {
	fill := promql.FillOnly
	if p.pattern != nil {
		fill = promql.FillText
	}
	filled, err := fill(prefix, *p.text, values)
	switch {
	case err != nil:
		return err
	case p.pattern != nil && filled != "" && !p.pattern.MatchString(filled), p.pattern != nil && filled == "" && *p.text != "":
		return fmt.Errorf("is %q with its arguments, and must be %s", filled, p.must)
	case len(filled) > maxFilled:
		return fmt.Errorf("has %d characters with its arguments: there may be at most %d", len(filled), maxFilled)
	}
	*p.text = filled
	return nil
}
