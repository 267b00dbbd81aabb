// Package controller holds the reconcilers: each observes the cluster, decides, writes
// what differs, and reports in one status patch. What a rollout does next is decided
// by package rollout alone; how git reaches the cluster is the business of package
// gitsource.
package controller
