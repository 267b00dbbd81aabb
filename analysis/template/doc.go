// Package template puts the metrics of AnalysisTemplates, with their arguments filled in, into the analysis of a Rollout. It asks nobody: templates are
// given to it.
package template
