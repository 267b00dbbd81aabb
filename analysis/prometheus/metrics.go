package prometheus

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics tell how the Provider itself does.
type metrics struct {
	failures prometheus.Counter
	duration prometheus.Histogram
}

func newMetrics() *metrics {
	return &metrics{
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weighlock_prometheus_query_failures_total",
			Help: "Queries to Prometheus that got no usable answer.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "weighlock_prometheus_query_duration_seconds",
			Help:    "How long queries to Prometheus took; its count is that of all queries.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
}

func (m *metrics) register(registerer prometheus.Registerer) error {
	if err := registerer.Register(m.failures); err != nil {
		return err
	}
	return registerer.Register(m.duration)
}

func (m *metrics) observe(took time.Duration, err error) {
	m.duration.Observe(took.Seconds())
	if err != nil {
		m.failures.Inc()
	}
}
