// Package prometheus measures tracks with the numbers that a Prometheus-compatible server has scraped.
//
// It asks for raw samples and adds up each counter's steps itself, so that no request is lost, guessed or counted
// twice, as they are by rate() and increase(), which extrapolate. A drop of a counter is a restart: the new value is
// what was counted since. A counter that is born in the window counts from zero.
//
// What has been added up is kept between two measurements of the same window, so that a long step costs no more than a
// short one. It is a cache: without it, all is asked for again.
package prometheus
