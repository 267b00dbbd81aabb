package observe

import (
	"time"

	"github.com/weighlock/weighlock/local/mesh/xds"
)

// Share is the part, 0 to 1, of the requests that Envoy sends to a Service;
// false when Envoy has taken no route.
func (v View) Share(service string) (float64, bool) {
	if v.Route.InForce == nil {
		return 0, false
	}
	return Share(*v.Route.InForce, service), true
}

// InForceFrom is when Envoy had taken a route that was written at or after a
// time and that sends a Service nothing; false if it hasn't.
func (v View) InForceFrom(service string, written time.Time) (time.Time, bool) {
	for _, traffic := range v.Route.History {
		if !traffic.AcknowledgedAt.Before(written) && Share(traffic, service) == 0 {
			return traffic.AcknowledgedAt, true
		}
	}
	return time.Time{}, false
}

// Share is the part, 0 to 1, that a Service gets of the requests that the first
// rule takes.
func Share(traffic xds.Traffic, service string) float64 {
	all := uint32(0)
	for _, weight := range traffic.Weights {
		all += weight
	}
	if all == 0 {
		return 0
	}
	return float64(traffic.Weights[service]) / float64(all)
}
