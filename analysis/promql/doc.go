// Package promql puts values into PromQL that people wrote, without letting them become anything but values: in a string they
// stay inside of it, in a regular expression they match literally, and elsewhere they must be numbers or durations. It knows of PromQL's
// grammar what it needs for that, and nothing of Prometheus.
package promql
