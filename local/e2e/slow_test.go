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

// slowed is a version whose p99 is twice the one of before: its median is the
// same, and it fails nothing.
func slowed(name string) shop.Version {
	return shop.Version{Name: name, P99: 2 * app.DefaultLatencyP99}
}

func TestExample_SlowReleaseIsRolledBackForItsLatencyAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "slow-release")
	r.example, r.edit = "slow-release", asWritten
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

	// As fast as ever, and better than it has to be.
	r.promoted(r.commit(shop.Version{Name: "3"}))
	unharmed(t, users.stop())
	r.served("3")
}
