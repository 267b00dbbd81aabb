package rollout_test

import (
	"flag"
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

// TestPlanFor_GoldenLogs shows each strategy action by action. Run with -update to rewrite them.
func TestPlanFor_GoldenLogs(t *testing.T) {
	t.Parallel()
	blueGreen := v1alpha1.RolloutSpec{
		TotalWeight: 100, AbortDelay: duration(30 * time.Second), Analysis: &v1alpha1.Analysis{},
		Steps: []v1alpha1.Step{
			{Name: "green", Weight: new(int32(0)), Replicas: new(intstr.FromString("100%")), Hold: duration(10 * time.Second)},
			{Name: "switch", Weight: new(int32(100))},
		},
	}
	commit := func(revision string) func(*world) { return func(w *world) { w.commit(revision) } }
	deletion := func(w *world) { w.deleting = true }
	for name, play := range map[string]struct {
		spec        v1alpha1.RolloutSpec
		bad, broken string
		acts        []act
	}{
		"promoted":    {spec: canary(), acts: []act{{"git says b", commit("b"), 140}}},
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
		"blue-green":                    {spec: blueGreen, acts: []act{{"git says b", commit("b"), 140}}},
		"deleted-in-a-step":             {spec: canary(), acts: []act{{"git says b", commit("b"), 10}, {"the Rollout is deleted", deletion, 90}}},
		"deleted-while-the-copy-serves": {spec: canary(), acts: []act{{"git says b", commit("b"), 50}, {"the Rollout is deleted", deletion, 160}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := adoptedWorld(play.spec)
			w.bad[play.bad], w.broken[play.broken] = true, true
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
