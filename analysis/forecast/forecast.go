// Package forecast says beforehand how a Rollout will go: how long a good release stays in each step, how small a regression is found
// there, and what a bad release does to users. It tries the engine that will judge on simulated traffic.
package forecast

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Service is the traffic that is expected.
type Service struct {
	// Rate is how many requests users send per second, and Scrape the time between two samples of the counters.
	Rate   float64
	Scrape time.Duration
	// Errors is the share of the incumbent's requests that fail, and Latency how long they take.
	Errors  float64
	Latency simulation.Latency
	// Matched is the share of the requests that steps with match send to the candidate.
	Matched float64
	// BadErrors is the share of a bad release's requests that fail.
	BadErrors float64
}

// Forecast is how a Rollout is expected to go.
type Forecast struct {
	// Rollout is its name.
	Rollout string `json:"rollout"`
	Steps   []Step `json:"steps"`
	// Good is how long a good release takes for all steps, without the times for which people are waited for. RolledBack is the share of those
	// that were tried and didn't get so far.
	Good       Spread  `json:"good"`
	RolledBack float64 `json:"rolledBack,omitempty"`
	// BadErrors is the share of a bad release's requests that fail, from 0 to 1; Bad is what one that is bad from the start does.
	BadErrors float64 `json:"badErrors"`
	Bad       Harm    `json:"bad"`
	// Approvals is how many steps wait for a person.
	Approvals int `json:"approvals"`
	// Notes are what the forecast leaves out.
	Notes []string `json:"notes,omitempty"`
}

// Step is what is expected of a step.
type Step struct {
	Name string `json:"name,omitempty"`
	// Traffic says what the candidate gets.
	Traffic string `json:"traffic"`
	// Weighed says that analysis has a say in it.
	Weighed bool `json:"weighed"`
	// Approval says that it waits for a person. Good does not hold that time.
	Approval bool `json:"approval,omitempty"`
	// Good is how long a good release stays, and RolledBack the share of those that were tried that are rolled back in it.
	Good       Spread  `json:"good"`
	RolledBack float64 `json:"rolledBack,omitempty"`
	// Errors and Latency are the smallest regressions, from this step on, that are found in it; nil when none is.
	Errors  *Regression `json:"errors,omitempty"`
	Latency *Regression `json:"latency,omitempty"`
	// Bad is what a release does that turns bad in this step; nil where it isn't weighed.
	Bad *Harm `json:"bad,omitempty"`
}

// Spread is the middle and the far end of times.
type Spread struct {
	Median Seconds `json:"medianSeconds"`
	// Most is what 95% stay below.
	Most Seconds `json:"p95Seconds"`
	// Over is the share that takes longer than the deadline, or than anything that was tried.
	Over float64 `json:"over,omitempty"`
}

// Regression is one that is found.
type Regression struct {
	// To is the error rate, from 0 to 1, or the factor by which requests take longer.
	To float64 `json:"to"`
	// After is the median time until it is.
	After Seconds `json:"afterSeconds"`
}

// Harm is what a bad release does.
type Harm struct {
	// After is how long it has traffic, and Requests how many of the users' requests fail because of it.
	After    Spread `json:"after"`
	Requests int    `json:"failedRequests"`
	// Missed is the share that isn't found.
	Missed float64 `json:"missed,omitempty"`
}

// Seconds is a time.
type Seconds float64

func secondsOf(d time.Duration) Seconds { return Seconds(d.Seconds()) }

// Check says what is wrong with a service; nil when nothing is.
func (s Service) Check() error {
	switch {
	case !(s.Rate > 0) || s.Rate > 1e7:
		return errors.New("the rate must be above zero and at most 10 million requests per second")
	case s.Scrape < time.Second || s.Scrape > 10*time.Minute:
		return errors.New("the scrape interval must be between 1s and 10m")
	case !(s.Errors >= 0) || s.Errors >= 0.9:
		return errors.New("the baseline's errors must be between 0% and 90%")
	case !(s.BadErrors > s.Errors) || s.BadErrors > 1:
		return errors.New("a bad release's errors must be more than the baseline's, and at most 100%")
	case s.Latency.Median <= 0 || !(s.Latency.LogSD > 0):
		return errors.New("latency must be two times, the second longer than the first")
	case !(s.Matched > 0) || s.Matched > 1:
		return errors.New("the share of matched requests must be above 0% and at most 100%")
	}
	return nil
}

// Make forecasts a Rollout. The same seed leads to the same forecast. An error is about the service, or a
// *analysis.FieldError.
func Make(rollout *v1alpha1.Rollout, service Service, seed uint64) (*Forecast, error) {
	if err := service.Check(); err != nil {
		return nil, err
	}
	// Odds ratios need some errors to multiply.
	service.Errors = max(service.Errors, 1e-6)
	service.BadErrors = min(service.BadErrors, 0.999)
	f := &Forecast{Rollout: rollout.Name, BadErrors: service.BadErrors}
	p := &plan{service: service, seed: seed}
	for i, step := range rollout.Spec.Steps {
		stage, err := p.stageOf(i, step, &rollout.Spec)
		if err != nil {
			return nil, err
		}
		weighed := rollout.Spec.Analysis != nil && stage.Share > 0
		if step.Approval != nil {
			f.Approvals++
		}
		f.Steps = append(f.Steps, Step{Name: step.Name, Traffic: traffic(step, rollout.Spec.TotalWeight), Weighed: weighed, Approval: step.Approval != nil})
		p.stages = append(p.stages, stage)
		p.weighed = append(p.weighed, weighed)
	}
	if spec := rollout.Spec.Analysis; spec != nil {
		judged, notes := simulated(*spec)
		f.Notes = notes
		criteria, err := analysis.ParseCriteria(judged)
		if err != nil {
			return nil, err
		}
		p.criteria = criteria
	}
	p.fill(f)
	return f, nil
}

// simulated is the part of an analysis that can be tried, and what is said of the rest.
func simulated(spec v1alpha1.Analysis) (v1alpha1.Analysis, []string) {
	var names, notes []string
	for _, metric := range spec.Metrics {
		names = append(names, metric.Name)
	}
	if len(names) > 0 {
		notes = append(notes, "taken for good: "+strings.Join(names, ", "))
	}
	names = names[:0]
	for _, template := range spec.Templates {
		names = append(names, template.Name)
	}
	if len(names) > 0 {
		notes = append(notes, "taken for good: the metrics of "+strings.Join(names, ", "))
	}
	spec.Metrics, spec.Templates = nil, nil
	return spec, notes
}

// stageOf is the traffic of a step.
func (p *plan) stageOf(index int, step v1alpha1.Step, spec *v1alpha1.RolloutSpec) (simulation.Stage, error) {
	stage := simulation.Stage{Deadline: patience}
	if step.Hold != nil {
		stage.Hold = step.Hold.Duration
	}
	if step.Deadline != nil {
		stage.Deadline = step.Deadline.Duration
	}
	stage.Deadline = max(stage.Deadline, stage.Hold+p.service.Scrape)
	field := fmt.Sprintf("spec.steps[%d].", index)
	switch {
	case step.Weight != nil && *step.Weight > 0:
		if *step.Weight > spec.TotalWeight {
			return stage, &analysis.FieldError{Field: field + "weight", Problem: fmt.Sprintf("%d is above spec.totalWeight, which is %d", *step.Weight, spec.TotalWeight)}
		}
		stage.Share = float64(*step.Weight) / float64(spec.TotalWeight)
		stage.Chosen = len(step.Match) > 0
	case len(step.Match) > 0:
		stage.Share, stage.Chosen = p.service.Matched, true
	case step.Shadow != nil:
		if *step.Shadow < 1 || *step.Shadow > 100 {
			return stage, &analysis.FieldError{Field: field + "shadow", Problem: "must be from 1 to 100"}
		}
		stage.Share, stage.Mirrored = float64(*step.Shadow)/100, true
	}
	return stage, nil
}

// traffic says what the candidate gets in a step.
func traffic(step v1alpha1.Step, total int32) string {
	var parts []string
	if step.Weight != nil && (*step.Weight > 0 || len(step.Match) == 0 && step.Shadow == nil) {
		parts = append(parts, percent(float64(*step.Weight)/float64(total)))
	}
	if len(step.Match) > 0 {
		parts = append(parts, "matched requests")
	}
	if step.Shadow != nil {
		parts = append(parts, fmt.Sprintf("copies of %d%%", *step.Shadow))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// spreadOf sorts times, and takes their middle and far end. Those that are infinite are over.
func spreadOf(times []time.Duration, over int) Spread {
	slices.Sort(times)
	if len(times) == 0 {
		return Spread{Over: 1}
	}
	return Spread{
		Median: secondsOf(times[(len(times)-1)/2]),
		Most:   secondsOf(times[(len(times)-1)*95/100]),
		Over:   float64(over) / float64(len(times)),
	}
}
