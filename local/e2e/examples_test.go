package e2e_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
)

// tenants send these parts of the requests; the rest names none. Some have
// names that only look like another's.
var tenants = []load.Tenant{
	{Name: "acme", Share: 0.25},
	{Name: "acme-test", Share: 0.1},
	{Name: "globex", Share: 0.15},
	{Name: "initech", Share: 0.15},
	{Name: "notglobex", Share: 0.1},
	{Name: "umbrella", Share: 0.1},
}

// The conditions of the examples, as the mesh reads them.
const (
	onlyAcme   = "[header x-tenant ^(?:acme)$]"
	acmeAndFew = "[header x-tenant ^(?:acme|globex|initech)$]"
)

// tried is a run of an example from version 1 to version 2.
type tried struct {
	*rig
	requests []load.Request
	stages   []stage
	// candidate is the Service of version 2's copy.
	candidate string
}

// try runs an example to its end under load, which no request may notice.
func try(t *testing.T, example string, follow func(*tried)) *tried {
	t.Helper()
	r := newRig(t, example)
	r.example = example
	r.open()
	begin := time.Now()
	users := r.users(load.Options{Rate: 100, Tenants: tenants, Keep: true})
	time.Sleep(2 * time.Second)
	commit := r.commit(shop.Version{Name: "2"})
	run := &tried{rig: r}
	if follow != nil {
		follow(run)
	}
	view := r.promoted(commit)
	time.Sleep(2 * time.Second)
	stats := users.stop()
	unharmed(t, stats)
	run.requests = users.generator.Requests()
	// The candidate of then is the incumbent of now.
	run.candidate = shop.Name + "-" + view.Progress.Incumbent
	run.stages = stages(view.Route.History, run.candidate, begin, time.Now())
	for _, s := range run.stages {
		t.Logf("%v from %s to %s", s.state, s.from.Format(time.StampMilli), s.left.Format(time.StampMilli))
	}
	return run
}

// sized waits until the candidate has so many pods in a step.
func (run *tried) sized(step string, replicas int32) {
	run.t.Helper()
	run.inStep(step)
	run.until(fmt.Sprintf("the candidate to have %d pods in step %s", replicas, step), func(v observe.View) error {
		if v.Rollout.Status.Step == nil || v.Rollout.Status.Step.Name != step {
			run.t.Fatalf("step %s was left with %+v", step, run.last.Rollout.Status.Candidate)
		}
		if candidate := v.Rollout.Status.Candidate; candidate == nil || candidate.Replicas != replicas {
			return fmt.Errorf("it is %+v", candidate)
		}
		return nil
	})
}

// weighs waits until the verdict tells of these metrics, and no others.
func (run *tried) weighs(metrics ...string) {
	run.t.Helper()
	run.until("the verdict to tell of each metric", func(v observe.View) error {
		if v.Rollout.Status.Verdict == nil {
			return errors.New("there is no verdict")
		}
		var told []string
		for _, metric := range v.Rollout.Status.Verdict.Metrics {
			told = append(told, metric.Name)
		}
		if !slices.Equal(told, metrics) {
			return fmt.Errorf("it tells of %v", told)
		}
		return nil
	})
}

// weighed checks the stages from an index on, all of which are by weight, and
// the last of which has the workload serve version 2.
func (run *tried) weighed(from int) {
	run.t.Helper()
	last := len(run.stages) - 1
	for _, s := range run.stages[from:last] {
		s.shared(run.t, run.requests, s.Share)
	}
	run.stages[last].shared(run.t, run.requests, 1)
}

func TestExample_CanaryGivesTheSharesThatItsStepsSay(t *testing.T) {
	t.Parallel()
	var before map[types.UID]int32
	run := try(t, "canary", func(run *tried) { before = run.pods() })
	after := run.pods()
	for uid := range before {
		if _, ok := after[uid]; ok {
			t.Errorf("the pod %s of version 1 is still there", uid)
		}
	}
	if len(after) != 3 {
		t.Errorf("the workload has %d pods, want 3", len(after))
	}
	run.until("Ready to be true of what was asked for", func(v observe.View) error {
		ready := observe.Find(v.Rollout.Status.Conditions, "Ready")
		if ready == nil || ready.Status != "True" || v.Rollout.Status.ObservedGeneration != v.Rollout.Metadata.Generation {
			return fmt.Errorf("it is %+v", ready)
		}
		return nil
	})
	wantStages(t, run.stages, state{}, state{Share: 0.1}, state{Share: 0.25}, state{Share: 0.5}, state{Share: 1}, state{})
	run.weighed(0)
}

func TestExample_BlueGreenSwitchesAtOnce(t *testing.T) {
	t.Parallel()
	run := try(t, "blue-green", func(run *tried) {
		run.inStep("green-beside-blue")
		if ready := run.last.Rollout.Status.Candidate.Ready; ready != 3 {
			t.Errorf("%d pods of the candidate are ready before the switch, want 3", ready)
		}
		// Those who look at green call its own Service.
		run.servedAt("http://"+candidate(run.last)+"."+run.namespace+".svc.cluster.local/", "2")
		run.inStep("switch")
		if ready := run.last.Rollout.Status.Incumbent.Ready; ready != 3 {
			t.Errorf("%d pods of the incumbent stand by after the switch, want 3", ready)
		}
	})
	wantStages(t, run.stages, state{}, state{Share: 1}, state{})
	run.weighed(0)
	atOnce(t, run.requests)
}

func TestExample_TenantsGoToTheCandidateAndNobodyElseDoes(t *testing.T) {
	t.Parallel()
	run := try(t, "tenants", nil)
	wantStages(t, run.stages, state{}, state{Share: 1, Matches: onlyAcme}, state{Share: 1, Matches: acmeAndFew},
		state{Share: 0.25}, state{Share: 0.5}, state{Share: 1}, state{})
	run.stages[0].shared(t, run.requests, 0)
	run.stages[1].chosen(t, run.requests, "acme")
	run.stages[2].chosen(t, run.requests, "acme", "globex", "initech")
	run.weighed(3)
}

func TestExample_ShadowCopiesRequestsWhoseRepliesNobodyGets(t *testing.T) {
	t.Parallel()
	run := try(t, "shadow", nil)
	wantStages(t, run.stages, state{}, state{Copies: 50}, state{Copies: 100}, state{Share: 0.25}, state{Share: 0.5}, state{Share: 1}, state{})
	// No reply of the candidate's reaches a user while it gets copies.
	run.weighed(0)
	run.copied()
}

func TestExample_AllGoesThroughEveryKindOfStep(t *testing.T) {
	t.Parallel()
	run := try(t, "all", func(run *tried) {
		run.sized("pilot", 1)
		run.sized("half", 3)
		run.weighs("errors", "latency", "in-flight", "refusals")
	})
	wantStages(t, run.stages, state{}, state{Copies: 50}, state{Share: 1, Matches: onlyAcme}, state{Share: 0.005},
		state{Share: 0.25}, state{Share: 0.5}, state{Share: 1}, state{})
	run.stages[0].shared(t, run.requests, 0)
	run.stages[1].shared(t, run.requests, 0)
	run.stages[2].chosen(t, run.requests, "acme")
	run.weighed(3)
	run.copied()
	if incumbent := run.last.Rollout.Status.Incumbent; !incumbent.Unproven {
		t.Error("nothing says that a step was left at its deadline")
	}
}
