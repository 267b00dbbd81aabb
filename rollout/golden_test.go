package rollout_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

var update = flag.Bool("update", false, "rewrite the golden logs")

// run lets seconds pass; each is planned once.
func (w *world) run(seconds int) {
	for range seconds {
		p := w.step(100)
		if note := string(p.Status.State) + ": " + p.Why; len(w.log) == 0 || w.note != note {
			w.note = note
			w.log = append(w.log, "       "+note)
		}
		if w.finished {
			return
		}
		w.tick()
	}
}

func (w *world) say(what string) { w.log = append(w.log, "", "# "+what) }

// adoptedWorld is a world whose workload is adopted and idle at revision a.
func adoptedWorld(spec v1alpha1.RolloutSpec) *world {
	w := newWorld(spec)
	w.say("a Rollout is made for a running workload")
	w.run(10)
	return w
}

// act is something that happens to a world, and how long it then has.
type act struct {
	say     string
	do      func(*world)
	seconds int
}

// play is what happens to a world, for a golden log.
type play struct {
	spec        v1alpha1.RolloutSpec
	bad, broken string
	// with changes the world before it begins.
	with func(*world)
	acts []act
}

func commit(revision string) func(*world) { return func(w *world) { w.commit(revision) } }

func scale(replicas int32) func(*world) { return func(w *world) { w.scale(replicas) } }

func decide(verb v1alpha1.DecisionVerb, actor string) func(*world) {
	return func(w *world) { w.decide(verb, actor) }
}

func deletion(w *world) { w.deleting = true }

// strategies are the ways in which a good version goes live.
func strategies() map[string]play {
	good := []act{{"git says b", commit("b"), 160}}
	return map[string]play{
		"canary": {spec: canary(), acts: good},
		"blue-green": {acts: good, spec: steps(
			v1alpha1.Step{Name: "green", Weight: new(int32(0)), Replicas: new(intstr.FromString("100%")), Hold: duration(10 * time.Second)},
			v1alpha1.Step{Name: "switch", Weight: new(int32(100))},
		)},
		"tenants": {acts: good, spec: steps(
			v1alpha1.Step{Name: "pilot", Match: acme(), Hold: duration(10 * time.Second)},
			v1alpha1.Step{Weight: new(int32(50))},
		)},
		"shadow": {acts: good, spec: steps(
			v1alpha1.Step{Name: "ghost", Shadow: new(int32(50)), Hold: duration(10 * time.Second)},
			v1alpha1.Step{Weight: new(int32(50))},
		)},
		"all-of-them":                  {acts: good, spec: everything()},
		"without-steps":                {acts: good, spec: steps()},
		"without-the-admission-policy": {spec: canary(), acts: good, with: func(w *world) { w.held = false }},
		"with-an-autoscaler":           {spec: canary(), acts: []act{{"git says b", commit("b"), 400}}, with: func(w *world) { w.scaler = &autoscaler{} }},
	}
}

// troubles are the ways in which one doesn't.
func troubles() map[string]play {
	left := canary()
	left.Steps[0].Deadline, left.Steps[0].OnDeadline = duration(40*time.Second), v1alpha1.DeadlineProceed
	resume := func(w *world) { w.paused, w.owned = false, false }
	return map[string]play{
		"rolled-back": {spec: canary(), bad: "b", acts: []act{{"git says b, which is bad", commit("b"), 60}, {"git says c, which is good", commit("c"), 140}}},
		"never-ready": {spec: canary(), broken: "b", acts: []act{{"git says b, whose pods never get ready", commit("b"), 60}}},
		"superseded": {spec: canary(), acts: []act{
			{"git says b", commit("b"), 10},
			{"git says c, in the middle of b's first step", commit("c"), 160},
		}},
		"superseded-after-the-shift": {spec: canary(), acts: []act{
			{"git says b", commit("b"), 50},
			{"git says c, while b serves from its copy", commit("c"), 160},
		}},
		"reverted":                      {spec: canary(), acts: []act{{"git says b", commit("b"), 10}, {"git is back at a", commit("a"), 60}}},
		"deleted-in-a-step":             {spec: canary(), acts: []act{{"git says b", commit("b"), 10}, {"the Rollout is deleted", deletion, 90}}},
		"deleted-while-the-copy-serves": {spec: canary(), acts: []act{{"git says b", commit("b"), 50}, {"the Rollout is deleted", deletion, 160}}},
		"deleted-after-a-rollback":      {spec: canary(), bad: "b", acts: []act{{"git says b, which is bad", commit("b"), 60}, {"the Rollout is deleted", deletion, 90}}},
		"approved": {spec: approval(v1alpha1.Approval{Quorum: 2}), acts: []act{
			{"git says b", commit("b"), 20}, {"alice approves", decide(v1alpha1.VerbApprove, "alice"), 5}, {"bob approves", decide(v1alpha1.VerbApprove, "bob"), 100},
		}},
		"aborted-and-retried": {spec: canary(), acts: []act{
			{"git says b", commit("b"), 10}, {"alice aborts", decide(v1alpha1.VerbAbort, "alice"), 50}, {"bob retries", decide(v1alpha1.VerbRetry, "bob"), 140},
		}},
		"paused-and-promoted": {spec: canary(), acts: []act{
			{"git says b", commit("b"), 10}, {"alice pauses", decide(v1alpha1.VerbPause, "alice"), 30}, {"bob promotes", decide(v1alpha1.VerbPromote, "bob"), 140},
		}},
		"left-unproven": {spec: left, with: func(w *world) { w.thin["b"] = true }, acts: []act{
			{"git says b, which gets too few requests for a verdict", commit("b"), 120},
		}},
		"resumed-by-somebody": {spec: canary(), acts: []act{
			{"git says b", commit("b"), 8},
			{"somebody resumes the workload, and git says c before it has rolled", func(w *world) { resume(w); w.tick(); w.tick(); w.commit("c") }, 160},
		}},
		"scaled-to-zero-in-a-step": {spec: canary(), acts: []act{
			{"git says b", commit("b"), 10}, {"the workload is scaled to zero", scale(0), 50}, {"it is scaled to 3", scale(3), 20},
		}},
		"scaled-to-zero-after-a-rollback": {spec: canary(), bad: "b", with: func(w *world) { w.started = "b" }, acts: []act{
			{"git says b, which is bad", commit("b"), 60},
			{"the workload is scaled to zero", scale(0), 20},
			{"it is scaled to 3, and starts pods of b", scale(3), 20},
			{"git says c", commit("c"), 160},
		}},
		"the-mesh-takes-no-route": {spec: canary(), acts: []act{
			{"the mesh's control plane dies, and git says b", func(w *world) { w.mesh.deaf = w.now.Add(time.Hour); w.commit("b") }, 420},
		}},
		"the-mesh-does-otherwise": {spec: canary(), with: func(w *world) { w.mesh.crooked = true; w.thin["b"] = true }, acts: []act{
			{"git says b", commit("b"), 120}, {"git says c", commit("c"), 20},
		}},
		"another-writer": {spec: canary(), acts: []act{
			{"git says b", commit("b"), 6}, {"another tool writes the route again and again for 25s", func(w *world) { w.mesh.rival = w.now.Add(25 * time.Second) }, 60},
		}},
	}
}

// TestPlanFor_GoldenLogs shows each strategy, and each trouble, action by action. Run with -update to rewrite them.
func TestPlanFor_GoldenLogs(t *testing.T) {
	t.Parallel()
	plays := strategies()
	maps.Copy(plays, troubles())
	for name, play := range plays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(play.spec)
			w.bad[play.bad], w.broken[play.broken] = true, true
			if play.with != nil {
				play.with(w)
			}
			w.say("a Rollout is made for a running workload")
			w.run(10)
			for _, a := range play.acts {
				w.say(a.say)
				a.do(w)
				w.run(a.seconds)
			}
			if len(w.violations) > 0 {
				t.Fatal(w.violations[0])
			}
			compareGolden(t, name, strings.Join(w.log, "\n")+"\n")
		})
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); if it should, run with -update:\n%s", path, diff)
	}
}

func TestPlanFor_RollsBackBeforeAllElse(t *testing.T) {
	t.Parallel()
	w := adoptedWorld(canary())
	w.bad["b"] = true
	w.commit("b")
	for range 60 {
		p := rollout.PlanFor(w.snapshot(), w.now)
		if p.Reason == "RolledBack" {
			back, is := p.Actions[0].(rollout.SetRoute)
			if !is || back.Traffic.Reaches() || back.Progress.Phase != rollout.PhaseRolledBack {
				t.Fatalf("the first write of a rollback is %s, want the route", p.Actions[0])
			}
			return
		}
		w.step(100)
		w.tick()
	}
	t.Fatal("a bad revision was not rolled back")
}

func TestPlanFor_StaysWhereItIsWhenMetricsAreAway(t *testing.T) {
	t.Parallel()
	w := adoptedWorld(canary())
	w.commit("b")
	w.run(10)
	before := w.route.traffic
	for range 120 {
		s := w.snapshot()
		s.Verdict, s.Outage = nil, "connection refused"
		p := rollout.PlanFor(s, w.now)
		for _, a := range p.Actions {
			w.apply(a)
		}
		w.tick()
		if p.Reason != "MetricsUnavailable" && p.Reason != "Progressing" {
			t.Fatalf("reason %s: %s", p.Reason, p.Why)
		}
	}
	if diff := cmp.Diff(before, w.route.traffic); diff != "" {
		t.Fatalf("an outage of metrics moved traffic: %s", diff)
	}
}
