package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/app"
	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/shop"
)

// past is how long the incumbent serves before a candidate comes, so that
// something is known of it.
const past = 10 * time.Second

// unhurried is a version that takes ten times as long as the shop does, so that
// what a machine with other work adds to each answer, of either version, hides
// nothing.
func unhurried(name string) shop.Version {
	return shop.Version{Name: name, Median: 10 * app.DefaultLatency, P99: 10 * app.DefaultLatencyP99}
}

// slowed is a version whose p99 is twice that: its median is the same, and it
// fails nothing.
func slowed(name string) shop.Version {
	version := unhurried(name)
	version.P99 *= 2
	return version
}

func TestExample_SlowReleaseIsRolledBackForItsLatencyAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "slow-release")
	r.example, r.edit, r.first = "slow-release", asWritten, unhurried("1")
	r.open()
	before := r.pods()
	users := r.users(load.Options{Rate: 200})
	time.Sleep(past)
	r.commit(slowed("2"))
	view := r.rolledBack()
	r.samePods(before)
	restored, ok := view.InForceFrom(candidate(view), view.Progress.WrittenAt)
	if !ok {
		t.Fatal("Envoy has not taken that the candidate gets nothing")
	}
	if reason := view.Progress.Reason; !strings.Contains(reason, "latency") && !strings.Contains(reason, "took longer than") {
		t.Errorf("it was rolled back for %q, want its latency", reason)
	}
	slow := users.generator.Stats().Version("2")
	t.Logf("%v and %d requests from the first reply to 0%% on Envoy: %s", restored.Sub(slow.FirstReply), slow.Requests, view.Progress.Reason)

	// Other work on the machine can make it take minutes to find a version safe
	// that is as fast as the one before, unless the margin is wide.
	r.edit = patient
	r.promoted(r.commit(unhurried("3")))
	unharmed(t, users.stop())
	r.served("3")
}
