package e2e_test

import (
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
)

func TestCanary_RollsABadCommitBackWithinASecond(t *testing.T) {
	t.Parallel()
	r := newRig(t, "bad")
	r.open()
	before := r.pods()
	users := r.users(load.Options{Rate: 200, Keep: true})
	commit := r.commit(shop.Version{Name: "2", ErrorRate: 0.05})
	view := r.rolledBack()
	// A rejected commit is not tried again by itself.
	time.Sleep(3 * time.Second)
	stats := users.stop()
	unharmed(t, stats, "2")

	restored, ok := view.InForceFrom(candidate(view), view.Progress.WrittenAt)
	if !ok {
		t.Fatal("Envoy has not taken that the candidate gets nothing")
	}
	if took := restored.Sub(view.Progress.WrittenAt); took > time.Second {
		t.Errorf("Envoy had taken the rollback %v after it was decided, want 1s at most", took)
	}
	hurt := stats.Version("2")
	if hurt.FirstFailure == nil {
		t.Fatal("no bad reply was seen: the rollback was for nothing")
	}
	if late := count(users.generator.Requests(), func(q load.Request) bool { return q.Version == "2" && q.Sent.After(restored.Add(time.Second)) }); late > 0 {
		t.Errorf("the candidate answered %d requests that were sent more than 1s after Envoy had taken the rollback", late)
	}
	took := restored.Sub(*hurt.FirstFailure)
	t.Logf("%v from the first bad reply to 0%% on Envoy, %v after the decision: %s", took, restored.Sub(view.Progress.WrittenAt), view.Progress.Reason)
	if took > 30*time.Second {
		t.Errorf("users met the bad version for %v from its first bad reply on, want 30s at most", took)
	}
	r.samePods(before)
	status := r.last.Rollout.Status
	if status.State != "RolledBack" || status.Candidate == nil || status.Candidate.Commit != commit || status.Candidate.Failed == "" {
		t.Errorf("the status is %+v with candidate %+v, want it to name the failed commit", status, status.Candidate)
	}
	if ready := observe.Find(status.Conditions, "Ready"); ready == nil || ready.Status != "False" {
		t.Errorf("Ready is %+v, want False while git asks for a version that failed", ready)
	}
}

func TestCanary_GoesOnFromABadCommitToAGoodOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, "mended")
	r.open()
	stop := r.load(200)
	r.commit(shop.Version{Name: "2", ErrorRate: 0.3})
	r.rolledBack()
	r.promoted(r.commit(shop.Version{Name: "3"}))
	unharmed(t, stop(), "2")
	r.served("3")
}
