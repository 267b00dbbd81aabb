package monitor

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

const displayedQuantile = 0.99

func description(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("weighlock_rollout_"+name, help, append([]string{"namespace", "rollout"}, labels...), nil)
}

var (
	requestsDesc = description("requests", "Requests of users that a track got since the step began.", "track")
	errorsDesc   = description("error_ratio", "Part of a track's requests that failed since the step began.", "track")
	latencyDesc  = description("latency_seconds", "Estimate of how long a track's requests took since the step began.", "track", "percentile")
	shareDesc    = description("candidate_traffic_ratio", "Part of the users' requests that the candidate got since the step began.")
	verdictDesc  = description("verdict", "1 for the outcome of the analysis, 0 for the others.", "outcome")
	outageDesc   = description("metrics_outage", "1 while the rollout's metrics can't be had.")
	evidenceDesc = description("evidence", "By how much what was seen is likelier if the candidate is worse: 100 rolls back.")
	blocksDesc   = description("blocks", "Blocks of scrapes that were weighed since the rollout began.")
)

// collector exports what is known when it is asked: what was forgotten is gone without further doing.
type collector struct{ monitor *Monitor }

// Describe sends the descriptions of all metrics.
func (c collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{requestsDesc, errorsDesc, latencyDesc, shareDesc, verdictDesc, outageDesc, evidenceDesc, blocksDesc} {
		descriptions <- desc
	}
}

// Collect sends the newest answers.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	c.monitor.mutex.Lock()
	answers := make(map[string]Answer, len(c.monitor.watched))
	for key, watch := range c.monitor.watched {
		if watch.answered {
			answers[key] = watch.answer
		}
	}
	c.monitor.mutex.Unlock()
	for key, answer := range answers {
		namespace, name, _ := strings.Cut(key, "/")
		gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{namespace, name}, labels...)...)
		}
		collectTrack(gauge, "incumbent", answer.Measurement.Incumbent)
		collectTrack(gauge, "candidate", answer.Measurement.Candidate)
		if share, ok := answer.Measurement.Share().Of(); ok {
			gauge(shareDesc, share)
		}
		for _, outcome := range []v1alpha1.Outcome{v1alpha1.OutcomePass, v1alpha1.OutcomeFail, v1alpha1.OutcomeInconclusive} {
			gauge(verdictDesc, truth(answer.Verdict.Outcome == outcome), string(outcome))
		}
		gauge(outageDesc, truth(answer.Err != nil))
		gauge(evidenceDesc, answer.Verdict.Evidence)
		gauge(blocksDesc, float64(answer.Verdict.Blocks))
	}
}

func collectTrack(gauge func(*prometheus.Desc, float64, ...string), track string, counts analysis.Counts) {
	gauge(requestsDesc, counts.Requests, track)
	if rate, ok := counts.ErrorRate(); ok {
		gauge(errorsDesc, rate, track)
	}
	if value, ok := counts.Quantile(displayedQuantile); ok {
		gauge(latencyDesc, value.Seconds(), track, "99")
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
