package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Analysis says what is measured, and what is good enough. An empty one asks for
// 99% success, and for errors and latency no worse than the incumbent's.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.latency) && has(self.latency.threshold) && has(self.source) && has(self.source.counters)) || has(self.source.counters.latency)",message="latency.threshold needs a histogram: add source.counters.latency, or remove the threshold"
type Analysis struct {
	// errors judges the share of failed requests.
	// +kubebuilder:default={}
	// +optional
	Errors *ErrorAnalysis `json:"errors,omitempty"`

	// latency judges how long requests take.
	// +kubebuilder:default={}
	// +optional
	Latency *LatencyAnalysis `json:"latency,omitempty"`

	// metrics are judged besides errors and latency.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="!self.exists(m, has(m.threshold) && (m.threshold.query.contains('{args.') || (has(m.threshold.min) && m.threshold.min.contains('{')) || (has(m.threshold.max) && m.threshold.max.contains('{'))) || has(m.ratio) && (m.ratio.bad.contains('{args.') || m.ratio.total.contains('{args.') || (has(m.ratio.slo) && m.ratio.slo.contains('{')) || (has(m.ratio.margin) && m.ratio.margin.contains('{'))))",message="{args...} can stand in an AnalysisTemplate only: write the value itself"
	// +listType=map
	// +listMapKey=name
	// +optional
	Metrics []Metric `json:"metrics,omitempty"`

	// templates are AnalysisTemplates in the Rollout's namespace whose metrics are judged as well. No two metrics may have the
	// same name, and there may be at most 32.
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=name
	// +optional
	Templates []TemplateReference `json:"templates,omitempty"`

	// interval is how often the metrics are asked for. Shorter than the scrape interval
	// is of no use.
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s')",message="analysis.interval must be at least 1s, written like 5s or 1m"
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`

	// source says where the numbers come from. The default is the mesh's Envoy.
	// +optional
	Source *MetricSource `json:"source,omitempty"`
}

// ErrorAnalysis judges the share of failed requests.
type ErrorAnalysis struct {
	// slo is the percentage of requests that must succeed.
	// +kubebuilder:default="99"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]|[1-9][0-9])([.][0-9]{1,6})?$')",message="errors.slo must be a percentage below 100, written like \"99.5\""
	// +optional
	SLO string `json:"slo,omitempty"`

	// margin is the odds ratio of failure, candidate against incumbent, above which the
	// candidate is worse.
	// +kubebuilder:default="1.25"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[1-9][0-9]{0,2}([.][0-9]{1,4})?$')",message="errors.margin must be an odds ratio of at least 1, written like \"1.25\""
	// +optional
	Margin string `json:"margin,omitempty"`

	// ignoreBelow is the percentage of failed requests below which nothing is harm.
	// +kubebuilder:default="0"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]|[1-9][0-9])([.][0-9]{1,6})?$')",message="errors.ignoreBelow must be a percentage below 100, written like \"0.1\""
	// +optional
	IgnoreBelow string `json:"ignoreBelow,omitempty"`

	// dryRun has errors reported, and nothing decided by them.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// LatencyAnalysis judges how long requests take.
//
// +kubebuilder:validation:XValidation:rule="!has(self.quantile) || has(self.threshold)",message="latency.quantile needs a threshold: add latency.threshold, such as 500ms"
type LatencyAnalysis struct {
	// quantile is what is held against the threshold.
	// +kubebuilder:validation:Enum=p50;p75;p90;p95;p99;p99.9
	// +optional
	Quantile string `json:"quantile,omitempty"`

	// threshold is how long the quantile (p99 where none is given) of requests may take.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) > duration('0s')",message="latency.threshold must be above zero, written like 500ms or 1s"
	// +optional
	Threshold *metav1.Duration `json:"threshold,omitempty"`

	// margin is the odds ratio of slowness, candidate against incumbent, above which the
	// candidate is worse.
	// +kubebuilder:default="1.25"
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[1-9][0-9]{0,2}([.][0-9]{1,4})?$')",message="latency.margin must be an odds ratio of at least 1, written like \"1.25\""
	// +optional
	Margin string `json:"margin,omitempty"`

	// warmUp is for how long after a pod of the candidate got ready latency is not judged: it is slow at first.
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$')",message="latency.warmUp must be written like 60s or 2m"
	// +optional
	WarmUp *metav1.Duration `json:"warmUp,omitempty"`

	// dryRun has latency reported, and nothing decided by it.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// Metric is judged besides errors and latency: by a threshold on what a PromQL expression yields, or by counters of bad events
// and of all, which are weighed as errors are.
//
// +kubebuilder:validation:XValidation:rule="has(self.threshold) != has(self.ratio)",message="a metric needs exactly one of threshold and ratio"
type Metric struct {
	// name of the metric, unique among those of the Rollout and of its templates.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a metric's name must be lower case letters, digits and dashes, such as checkout-lag"
	// +kubebuilder:validation:XValidation:rule="!(self in ['errors', 'latency'])",message="errors and latency are judged anyway, under analysis.errors and analysis.latency: give the metric another name"
	// +required
	Name string `json:"name"`

	// threshold holds the value of an expression against bounds.
	// +optional
	Threshold *ThresholdMetric `json:"threshold,omitempty"`

	// ratio weighs counters of bad events and of all, candidate against incumbent.
	// +optional
	Ratio *RatioMetric `json:"ratio,omitempty"`

	// dryRun has the metric reported, and nothing decided by it.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// ThresholdMetric holds the value of a PromQL expression against bounds, every interval.
//
// +kubebuilder:validation:XValidation:rule="has(self.min) || has(self.max)",message="threshold needs min, max or both"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || !self.min.matches('^-?[0-9]+([.][0-9]+)?$') || !self.max.matches('^-?[0-9]+([.][0-9]+)?$') || double(self.min) <= double(self.max)",message="threshold's min is above its max: no value would be good"
type ThresholdMetric struct {
	// query is PromQL that yields a single number. In its strings {namespace}, {port}, {incumbent.service}, {incumbent.workload}, {candidate.service} and
	// {candidate.workload} are replaced, and in a template {args.NAME}, which can stand for a number or a duration outside of strings
	// too. A brace that is meant itself can be written \x7b.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +required
	Query string `json:"query"`

	// min is the least value that is good.
	// +kubebuilder:validation:MaxLength=80
	// +kubebuilder:validation:XValidation:rule="self.matches('^(-?[0-9]{1,15}([.][0-9]{1,15})?|[{]args[.][a-z]([-a-z0-9]*[a-z0-9])?[}])$')",message="threshold.min must be a number, written like \"0.5\", or in a template {args.NAME}"
	// +optional
	Min string `json:"min,omitempty"`

	// max is the largest value that is good.
	// +kubebuilder:validation:MaxLength=80
	// +kubebuilder:validation:XValidation:rule="self.matches('^(-?[0-9]{1,15}([.][0-9]{1,15})?|[{]args[.][a-z]([-a-z0-9]*[a-z0-9])?[}])$')",message="threshold.max must be a number, written like \"0.5\", or in a template {args.NAME}"
	// +optional
	Max string `json:"max,omitempty"`

	// times is how many evaluations in a row must be bad to roll back, or good to go on.
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	Times int32 `json:"times,omitempty"`
}

// RatioMetric names counters by series selectors in which {namespace}, {service} (a track's Service), {workload} (a track's
// Deployment) and {port} are replaced, and in a template {args.NAME}.
type RatioMetric struct {
	// bad selects the counters of bad events of a track: a part of what total selects.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.contains('{service}') || self.contains('{workload}')",message="ratio.bad must contain {service} or {workload}: without it the tracks can't be told apart"
	// +required
	Bad string `json:"bad"`

	// total selects the counters of all events of a track.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.contains('{service}') || self.contains('{workload}')",message="ratio.total must contain {service} or {workload}: without it the tracks can't be told apart"
	// +required
	Total string `json:"total"`

	// slo is the percentage of events that must be good; none when it is not given.
	// +kubebuilder:validation:MaxLength=80
	// +kubebuilder:validation:XValidation:rule="self.matches('^(([0-9]|[1-9][0-9])([.][0-9]{1,6})?|[{]args[.][a-z]([-a-z0-9]*[a-z0-9])?[}])$')",message="ratio.slo must be a percentage below 100, written like \"99.5\", or in a template {args.NAME}"
	// +optional
	SLO string `json:"slo,omitempty"`

	// margin is the odds ratio of a bad event, candidate against incumbent, above which the
	// candidate is worse.
	// +kubebuilder:default="1.25"
	// +kubebuilder:validation:MaxLength=80
	// +kubebuilder:validation:XValidation:rule="self.matches('^([1-9][0-9]{0,2}([.][0-9]{1,4})?|[{]args[.][a-z]([-a-z0-9]*[a-z0-9])?[}])$')",message="ratio.margin must be an odds ratio of at least 1, written like \"1.25\", or in a template {args.NAME}"
	// +optional
	Margin string `json:"margin,omitempty"`
}

// TemplateReference names an AnalysisTemplate, and gives its arguments.
type TemplateReference struct {
	// name of the AnalysisTemplate.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`

	// args are the values of the template's arguments: of those without a default, and of others that are to have another value.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Args []Argument `json:"args,omitempty"`
}

// Argument is the value of an argument of a template.
type Argument struct {
	// name of the argument, as the template has it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name"`

	// value of the argument. In strings of PromQL it is escaped, and in regular expressions it matches literally: it is
	// always a value.
	// +kubebuilder:validation:MaxLength=1024
	// +required
	Value string `json:"value"`
}

// MetricSource says where the numbers come from.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.envoy) && has(self.counters))",message="the numbers come from one place: keep envoy or counters, not both"
type MetricSource struct {
	// address of a Prometheus-compatible server, such as http://prometheus.monitoring:9090, or of several with the same scrapes, with commas
	// between. The default is the controller's.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^ *https?://[^/, ][^,]*(, *https?://[^/, ][^,]*)*$')",message="source.address must start with http:// or https://, such as http://prometheus.monitoring:9090"
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|,) *https?://[^/,]*@')",message="source.address must not hold credentials"
	// +optional
	Address string `json:"address,omitempty"`

	// envoy takes the numbers from the Envoys of the mesh.
	// +optional
	Envoy *EnvoyMetrics `json:"envoy,omitempty"`

	// counters takes the numbers from metrics named here.
	// +optional
	Counters *CounterMetrics `json:"counters,omitempty"`
}

// EnvoyMetrics says how the mesh names its clusters in Envoy's metrics.
type EnvoyMetrics struct {
	// cluster is the value of the label envoy_cluster_name for the Service of a track, in which {namespace}, {service} and {port} are replaced.
	// +kubebuilder:default="{namespace}/{service}/{port}"
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('{service}')",message="cluster must contain {service}: without it the tracks can't be told apart"
	// +optional
	Cluster string `json:"cluster,omitempty"`
}

// CounterMetrics names counters and a histogram of any Prometheus-compatible
// server, by series selectors in which {namespace}, {service} (a track's Service), {workload} (a track's Deployment)
// and {port} are replaced.
type CounterMetrics struct {
	// requests selects the counters of all requests of a track.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.contains('{service}') || self.contains('{workload}')",message="requests must contain {service} or {workload}: without it the tracks can't be told apart"
	// +required
	Requests string `json:"requests"`

	// errors selects the counters of failed requests of a track.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.contains('{service}') || self.contains('{workload}')",message="errors must contain {service} or {workload}: without it the tracks can't be told apart"
	// +required
	Errors string `json:"errors"`

	// latency selects the buckets of a track's latency histogram.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.contains('{service}') || self.contains('{workload}')",message="latency must contain {service} or {workload}: without it the tracks can't be told apart"
	// +optional
	Latency string `json:"latency,omitempty"`

	// unit of the histogram's bucket edges.
	// +kubebuilder:validation:Enum=s;ms
	// +kubebuilder:default=s
	// +optional
	Unit string `json:"unit,omitempty"`
}
