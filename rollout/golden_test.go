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
	for name, play := range map[string]func() *world{
		"promoted": func() *world {
			w := adoptedWorld(canary())
			w.say("git says b")
			w.commit("b")
			w.run(140)
			return w
		},
		"rolled-back": func() *world {
			w := adoptedWorld(canary())
			w.bad["b"] = true
			w.say("git says b, which is bad")
			w.commit("b")
			w.run(60)
			w.say("git says c, which is good")
			w.commit("c")
			w.run(140)
			return w
		},
		"never-ready": func() *world {
			w := adoptedWorld(canary())
			w.broken["b"] = true
			w.say("git says b, whose pods never get ready")
			w.commit("b")
			w.run(60)
			return w
		},
		"superseded": func() *world {
			w := adoptedWorld(canary())
			w.say("git says b")
			w.commit("b")
			w.run(10)
			w.say("git says c, in the middle of b's first step")
			w.commit("c")
			w.run(160)
			return w
		},
		"superseded-after-the-shift": func() *world {
			w := adoptedWorld(canary())
			w.say("git says b")
			w.commit("b")
			w.run(50)
			w.say("git says c, while b serves from its copy")
			w.commit("c")
			w.run(160)
			return w
		},
		"reverted": func() *world {
			w := adoptedWorld(canary())
			w.say("git says b")
			w.commit("b")
			w.run(10)
			w.say("git is back at a")
			w.commit("a")
			w.run(60)
			return w
		},
		"blue-green": func() *world {
			w := adoptedWorld(blueGreen)
			w.say("git says b")
			w.commit("b")
			w.run(140)
			return w
		},
		"deleted-in-a-step": func() *world {
			w := adoptedWorld(canary())
			w.say("git says b")
			w.commit("b")
			w.run(10)
			w.say("the Rollout is deleted")
			w.deleting = true
			w.run(90)
			return w
		},
		"deleted-while-the-copy-serves": func() *world {
			w := adoptedWorld(canary())
			w.say("git says b")
			w.commit("b")
			w.run(50)
			w.say("the Rollout is deleted")
			w.deleting = true
			w.run(160)
			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := play()
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
