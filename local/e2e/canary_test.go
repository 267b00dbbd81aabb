package e2e_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/local/mesh/xds"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
)

func TestCanary_PromotesAGoodCommitWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, "good")
	r.open()
	before := r.pods()
	stop := r.load(200)
	commit := r.commit(shop.Version{Name: "2"})
	first := r.atStep(0.1)
	view := r.promoted(commit)
	time.Sleep(2 * time.Second)
	stats := stop()
	unharmed(t, stats)

	// The copy took its steps, then all, and the workload has it all again.
	want := []float64{0, 0.1, 0.25, 0.5, 1, 0}
	if got := shares(view.Route.History, candidate(first)); !cmp.Equal(got, want) {
		t.Errorf("the copy got the shares %v, want %v", got, want)
	}
	if last := stats.Version("1").LastReply; stats.Version("2").LastReply.Before(last) {
		t.Error("version 1 answered last")
	}
	after := r.pods()
	for uid := range before {
		if _, ok := after[uid]; ok {
			t.Errorf("the pod %s of version 1 is still there", uid)
		}
	}
	if len(after) != 3 {
		t.Errorf("the workload has %d pods, want 3", len(after))
	}
	ready := observe.Find(view.Rollout.Status.Conditions, "Ready")
	if ready == nil || ready.Status != "True" || view.Rollout.Status.ObservedGeneration != view.Rollout.Metadata.Generation {
		t.Errorf("Ready is %+v, want it to be True", ready)
	}
}

// shares are the shares of a Service, without repetitions.
func shares(history []xds.Traffic, service string) []float64 {
	var out []float64
	for _, traffic := range history {
		if traffic.Source.Kind == "TrafficSplit" {
			view := observe.View{Route: xds.RouteReport{InForce: &traffic}}
			share, _ := view.Share(service)
			out = append(out, share)
		}
	}
	return slices.Compact(out)
}

func TestCanary_RollsABadCommitBackWithinASecond(t *testing.T) {
	t.Parallel()
	r := newRig(t, "bad")
	r.open()
	before := r.pods()
	stop := r.load(200)
	commit := r.commit(shop.Version{Name: "2", ErrorRate: 0.05})
	view := r.rolledBack()
	// A rejected commit is not tried again by itself.
	time.Sleep(3 * time.Second)
	stats := stop()
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
	if late := hurt.LastReply.Sub(restored); late > time.Second {
		t.Errorf("the candidate still answered %v after Envoy had taken the rollback", late)
	}
	t.Logf("%v from the first bad reply to 0%% on Envoy, %v after the decision", restored.Sub(*hurt.FirstFailure), restored.Sub(view.Progress.WrittenAt))
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
	stop := r.load(100)
	r.commit(shop.Version{Name: "2", ErrorRate: 0.3})
	r.rolledBack()
	r.promoted(r.commit(shop.Version{Name: "3"}))
	unharmed(t, stop(), "2")
	r.served("3")
}
