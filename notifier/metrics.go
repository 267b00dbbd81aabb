package notifier

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of deliveries, and reasons of drops, in metrics.
const (
	resultDelivered = "delivered"
	resultRetried   = "retried"
	resultFailed    = "failed"

	droppedFull     = "full"
	droppedExpired  = "expired"
	droppedRemoved  = "removed"
	droppedShutdown = "shutdown"
)

type measures struct {
	tries    *prometheus.CounterVec
	dropped  *prometheus.CounterVec
	waiting  *prometheus.GaugeVec
	duration *prometheus.HistogramVec
}

// begin has the metrics of a sink start at 0: else the first failure would be no increase.
func (m *measures) begin(sink string) {
	m.waiting.WithLabelValues(sink).Set(0)
	for _, result := range []string{resultDelivered, resultRetried, resultFailed} {
		m.tries.WithLabelValues(sink, result)
	}
	for _, reason := range []string{droppedFull, droppedExpired, droppedRemoved, droppedShutdown} {
		m.dropped.WithLabelValues(sink, reason)
	}
}

func newMeasures(registerer prometheus.Registerer) (*measures, error) {
	m := &measures{
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weighlock_notifications_total",
			Help: "Deliveries of notifications to a sink: delivered, retried (failed, and tried again later) or failed (for good).",
		}, []string{"sink", "result"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weighlock_notifications_dropped_total",
			Help: "Notifications that were given up undelivered: the queue was full, they were too old (expired), the sink was removed, or Weighlock stopped (shutdown).",
		}, []string{"sink", "reason"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weighlock_notifications_queue_length",
			Help: "How many notifications wait for a sink, without the one that is being delivered.",
		}, []string{"sink"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "weighlock_notifications_duration_seconds",
			Help:    "How long a delivery to a sink took, or its failure.",
			Buckets: []float64{0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}, []string{"sink"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.tries, m.dropped, m.waiting, m.duration} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics of notifications: %w", err)
		}
	}
	return m, nil
}
