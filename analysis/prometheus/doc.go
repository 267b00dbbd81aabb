// Package prometheus tells what tracks did by the numbers that a Prometheus-compatible server has scraped.
//
// It asks for raw samples and adds up each counter's steps itself, so that no request is lost, guessed or counted
// twice, as they are by rate() and increase(), which extrapolate. A drop of a counter is a restart: the new value is
// what was counted since. A counter that is born in the meantime counts from zero.
//
// A stream asks only for what is new. It makes blocks of the scrapes (blocks.go), which depend on nothing but when targets were scraped and what they
// showed: a controller that has restarted opens its streams anew, and gets the same blocks. Nothing else is kept.
//
// Servers need /api/v1/query and /api/v1/query_range, and of PromQL selectors, ranges, timestamp() and last_over_time().
package prometheus
