package analysis

import (
	"fmt"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// What holds where an analysis says nothing; the API server fills in the same.
const (
	defaultSLO      = "99"
	defaultMargin   = "1.25"
	defaultQuantile = "p99"
	defaultWarmUp   = time.Minute
	defaultTimes    = 3
)

// Names of the metrics that every analysis has.
const (
	errorsName  = "errors"
	latencyName = "latency"
)

// Criteria are what a candidate is weighed by, in numbers.
type Criteria struct {
	// Latency says whether histograms are needed.
	Latency bool
	// WarmUp is for how long after a pod of the candidate got ready blocks are not warm.
	WarmUp time.Duration
	// Ratios and Thresholds are the further metrics of each kind, in the order of the analysis.
	Ratios     []Ratio
	Thresholds []Threshold

	errors  proportionCriteria
	latency latencyCriteria
	// ratios belong to Ratios.
	ratios []proportionCriteria
	// order of the further metrics in the analysis.
	order []metricRef
}

// Threshold is a metric that is judged by the value of an expression.
type Threshold struct {
	// Field is where the analysis says so, such as spec.analysis.metrics[0].threshold.query.
	Field, Expression string

	name     string
	min, max *float64
	times    int
	dryRun   bool
}

// proportionCriteria are what a share of bad events is weighed by.
type proportionCriteria struct {
	name string
	// slo is the percentage as the user wrote it, and allowed the share that may be bad; without an SLO it is empty, and 0.
	slo     string
	allowed float64
	margin  float64
	// ignored is the share of bad events below which nothing is harm.
	ignored float64
	dryRun  bool
}

// latencyCriteria are what durations are weighed by.
type latencyCriteria struct {
	// quantile that is held against the threshold, as the user wrote it, and the share that may be slower.
	quantile  string
	allowed   float64
	threshold time.Duration // 0: none
	margin    float64
	dryRun    bool
}

// metricRef is the index of a further metric among those of its kind.
type metricRef struct {
	threshold bool
	index     int
}

// quantiles are the shares of requests that may be slower.
var quantiles = map[string]float64{"p50": 0.5, "p75": 0.25, "p90": 0.1, "p95": 0.05, "p99": 0.01, "p99.9": 0.001}

// ParseCriteria reads an analysis, in which templates are resolved already. An error is a *FieldError.
func ParseCriteria(spec v1alpha1.Analysis) (*Criteria, error) {
	c := &Criteria{Latency: true, WarmUp: defaultWarmUp}
	if err := c.parseErrors(spec.Errors); err != nil {
		return nil, err
	}
	if err := c.parseLatency(spec.Latency); err != nil {
		return nil, err
	}
	if spec.Source != nil && spec.Source.Counters != nil && spec.Source.Counters.Latency == "" {
		if c.latency.threshold > 0 {
			return nil, &FieldError{"spec.analysis.source.counters.latency", "is needed to hold latency against spec.analysis.latency.threshold: name the histogram's buckets, or remove the threshold"}
		}
		c.Latency = false
	}
	names := map[string]bool{errorsName: true, latencyName: true}
	for i, metric := range spec.Metrics {
		field := fmt.Sprintf("spec.analysis.metrics[%d]", i)
		if names[metric.Name] {
			return nil, &FieldError{field + ".name", fmt.Sprintf("%q is the name of another metric: choose one of its own", metric.Name)}
		}
		names[metric.Name] = true
		if err := c.parseMetric(field, metric); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Criteria) parseErrors(asked *v1alpha1.ErrorAnalysis) error {
	const field = "spec.analysis.errors"
	if asked == nil {
		asked = &v1alpha1.ErrorAnalysis{}
	}
	result := proportionCriteria{name: errorsName, slo: or(asked.SLO, defaultSLO), dryRun: asked.DryRun}
	var err error
	if result.allowed, err = parseAllowed(field+".slo", result.slo); err != nil {
		return err
	}
	if result.margin, err = parseMargin(field+".margin", or(asked.Margin, defaultMargin)); err != nil {
		return err
	}
	if result.ignored, err = parseShare(field+".ignoreBelow", or(asked.IgnoreBelow, "0")); err != nil {
		return err
	}
	c.errors = result
	return nil
}

func (c *Criteria) parseLatency(asked *v1alpha1.LatencyAnalysis) error {
	const field = "spec.analysis.latency"
	if asked == nil {
		asked = &v1alpha1.LatencyAnalysis{}
	}
	result := latencyCriteria{quantile: or(asked.Quantile, defaultQuantile), dryRun: asked.DryRun}
	var known bool
	if result.allowed, known = quantiles[result.quantile]; !known {
		return &FieldError{field + ".quantile", fmt.Sprintf("%q is none of p50, p75, p90, p95, p99, p99.9", result.quantile)}
	}
	if asked.Threshold != nil {
		if asked.Threshold.Duration <= 0 {
			return &FieldError{field + ".threshold", "must be above zero, such as 500ms"}
		}
		result.threshold = asked.Threshold.Duration
	}
	var err error
	if result.margin, err = parseMargin(field+".margin", or(asked.Margin, defaultMargin)); err != nil {
		return err
	}
	if asked.WarmUp != nil {
		if asked.WarmUp.Duration < 0 {
			return &FieldError{field + ".warmUp", "must not be negative"}
		}
		c.WarmUp = asked.WarmUp.Duration
	}
	c.latency = result
	return nil
}

func (c *Criteria) parseMetric(field string, metric v1alpha1.Metric) error {
	switch {
	case metric.Name == "":
		return &FieldError{field + ".name", "is needed"}
	case metric.Threshold != nil && metric.Ratio == nil:
		return c.parseThreshold(field+".threshold", metric)
	case metric.Ratio != nil && metric.Threshold == nil:
		return c.parseRatio(field+".ratio", metric)
	default:
		return &FieldError{field, "needs either threshold or ratio"}
	}
}

func (c *Criteria) parseThreshold(field string, metric v1alpha1.Metric) error {
	asked := metric.Threshold
	result := Threshold{
		Field: field + ".query", Expression: asked.Query,
		name: metric.Name, times: int(asked.Times), dryRun: metric.DryRun,
	}
	if asked.Query == "" {
		return &FieldError{result.Field, "is needed"}
	}
	var err error
	if result.min, err = parseBound(field+".min", asked.Min); err != nil {
		return err
	}
	if result.max, err = parseBound(field+".max", asked.Max); err != nil {
		return err
	}
	switch {
	case result.min == nil && result.max == nil:
		return &FieldError{field, "needs min, max or both"}
	case result.min != nil && result.max != nil && *result.min > *result.max:
		return &FieldError{field + ".min", "must not be above max: no value would be good"}
	case asked.Times < 0:
		return &FieldError{field + ".times", "must be at least 1"}
	case asked.Times == 0:
		result.times = defaultTimes
	}
	c.order = append(c.order, metricRef{threshold: true, index: len(c.Thresholds)})
	c.Thresholds = append(c.Thresholds, result)
	return nil
}

func (c *Criteria) parseRatio(field string, metric v1alpha1.Metric) error {
	asked := metric.Ratio
	result := proportionCriteria{name: metric.Name, slo: asked.SLO, dryRun: metric.DryRun}
	switch {
	case asked.Bad == "":
		return &FieldError{field + ".bad", "is needed"}
	case asked.Total == "":
		return &FieldError{field + ".total", "is needed"}
	}
	var err error
	if asked.SLO != "" {
		if result.allowed, err = parseAllowed(field+".slo", asked.SLO); err != nil {
			return err
		}
	}
	if result.margin, err = parseMargin(field+".margin", or(asked.Margin, defaultMargin)); err != nil {
		return err
	}
	c.order = append(c.order, metricRef{index: len(c.Ratios)})
	c.Ratios = append(c.Ratios, Ratio{Field: field, Bad: asked.Bad, Total: asked.Total})
	c.ratios = append(c.ratios, result)
	return nil
}
