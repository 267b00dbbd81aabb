// Package lint finds what is wrong with manifests of Weighlock before they reach a cluster: what the API server would reject, by its own rules, and what
// Weighlock would refuse later. It asks nobody.
package lint

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

// Severity says how bad a finding is.
type Severity string

// The severities. A warning is about what is allowed, and most likely not meant.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is what is wrong with a manifest, and where.
type Finding struct {
	// File is the path as it was given, or that of a file in a folder that was given.
	File string `json:"file"`
	// Line and Column count from 1.
	Line   int `json:"line"`
	Column int `json:"column"`

	Severity Severity `json:"severity"`
	// Object is the kind and the name of what it is about, such as Rollout/checkout.
	Object string `json:"object,omitempty"`
	// Field is the path of the field, such as spec.steps[0].weight.
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// String tells the finding in a line, as compilers do.
func (f Finding) String() string {
	text := fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column)
	if f.Severity == Warning {
		text += "warning: "
	}
	if f.Object != "" {
		text += f.Object + ": "
	}
	if f.Field != "" {
		text += f.Field + ": "
	}
	return text + f.Message
}

// Report is what was found.
type Report struct {
	// Files is how many files were read, and Objects how many objects of Weighlock were in them.
	Files    int       `json:"files"`
	Objects  int       `json:"objects"`
	Findings []Finding `json:"findings"`
}

// Errors counts the findings that are errors.
func (r *Report) Errors() int {
	count := 0
	for _, finding := range r.Findings {
		if finding.Severity == Error {
			count++
		}
	}
	return count
}

// Check looks at files, at all YAML files in folders and, for -, at what in holds. An error says that something could not be read.
func Check(paths []string, in io.Reader) (Report, error) {
	read, err := readAll(paths, in)
	if err != nil {
		return Report{}, err
	}
	report := Report{Files: len(read), Findings: []Finding{}}
	var checked []*object
	for _, file := range read {
		objects, findings := file.objects()
		report.Findings = append(report.Findings, findings...)
		for _, one := range objects {
			findings, err := one.check()
			if err != nil {
				return Report{}, err
			}
			report.Findings = append(report.Findings, findings...)
			if len(findings) == 0 {
				checked = append(checked, one)
			}
		}
		report.Objects += len(objects)
	}
	// What is wrong by itself is not held against others.
	report.Findings = append(report.Findings, compare(checked)...)
	slices.SortStableFunc(report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return report, nil
}
