package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Analysis says what is measured, and what is good enough. An empty one asks for
// 99% success.
type Analysis struct {
	// errors judges the share of failed requests.
	// +kubebuilder:default={}
	// +optional
	Errors *ErrorAnalysis `json:"errors,omitempty"`

	// latency judges how long requests take.
	// +optional
	Latency *LatencyAnalysis `json:"latency,omitempty"`

	// minRequests is the least number of the candidate's requests in a step without which there is no verdict.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +optional
	MinRequests int64 `json:"minRequests,omitempty"`

	// interval is how often the metrics are asked for. Shorter than the scrape interval
	// is of no use.
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s')",message="analysis.interval must be at least 1s, written like 5s or 1m"
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`

	// metrics says where the numbers come from. The default is the mesh's Envoy.
	// +optional
	Metrics *MetricSource `json:"metrics,omitempty"`
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
}

// MetricSource says where the numbers come from.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.envoy) && has(self.counters))",message="metrics come from one place: keep envoy or counters, not both"
type MetricSource struct {
	// address of a Prometheus-compatible server, such as http://prometheus.monitoring:9090. The
	// default is the controller's.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/]')",message="metrics.address must start with http:// or https://, such as http://prometheus.monitoring:9090"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https?://[^/]*@')",message="metrics.address must not hold credentials"
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
