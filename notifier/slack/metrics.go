package slack

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type measures struct {
	requests, clicks *prometheus.CounterVec
}

func newMeasures(registerer prometheus.Registerer) (*measures, error) {
	m := &measures{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weighlock_slack_requests_total", Help: "Calls of Slack's Web API, by method and result.",
		}, []string{"method", "result"}),
		clicks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weighlock_slack_clicks_total", Help: "What members of Slack clicked, by what became of it.",
		}, []string{"result"}),
	}
	if registerer == nil {
		return m, nil
	}
	if err := errors.Join(registerer.Register(m.requests), registerer.Register(m.clicks)); err != nil {
		return nil, fmt.Errorf("registering the metrics of Slack: %w", err)
	}
	return m, nil
}
