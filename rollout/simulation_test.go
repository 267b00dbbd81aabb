package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// canary is a spec with a few weight steps.
func canary() v1alpha1.RolloutSpec {
	return v1alpha1.RolloutSpec{
		TotalWeight: 100, AbortDelay: duration(30 * time.Second), Analysis: &v1alpha1.Analysis{},
		Steps: []v1alpha1.Step{
			{Weight: new(int32(10))},
			{Weight: new(int32(50)), Hold: duration(20 * time.Second)},
		},
	}
}

// step plans once and applies the actions, all of them or, after a crash, only some.
func (w *world) step(survives int) rollout.Plan {
	p := rollout.PlanFor(w.snapshot(), w.now)
	for i, a := range p.Actions {
		if i >= survives {
			w.log = append(w.log, "       (killed)")
			break
		}
		w.apply(a)
		if w.finished {
			return p
		}
	}
	if survives >= len(p.Actions) {
		w.checkState()
	}
	return p
}

// simulate runs a random rollout: commits, reverts, crashes, scaling and deletion in a random order.
func simulate(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	spec := canary()
	if r.IntN(5) == 0 {
		spec.Steps = nil
	}
	if len(spec.Steps) > 0 && r.IntN(4) == 0 {
		spec.Steps[0].Deadline = duration(40 * time.Second)
		spec.Steps[0].OnDeadline = []v1alpha1.DeadlinePolicy{v1alpha1.DeadlinePause, v1alpha1.DeadlineRollback, v1alpha1.DeadlineProceed}[r.IntN(3)]
	}
	w := newWorld(spec)
	revisions := []string{"a", "b", "c", "d"}
	for _, rev := range revisions[1:] {
		switch r.IntN(6) {
		case 0:
			w.bad[rev] = true
		case 1:
			w.broken[rev] = true
		case 2:
			w.thin[rev] = true
		}
	}
	for range 600 {
		switch n := r.IntN(200); {
		case n < 4:
			w.commit(revisions[r.IntN(len(revisions))])
		case n == 4:
			w.replicas = int32(1 + r.IntN(5))
		case n == 5 && r.IntN(10) == 0:
			w.deleting = true
		case n == 6:
			w.coming = w.replicas // all pods of the workload restart
		}
		survives := 100
		if r.IntN(10) == 0 {
			survives = r.IntN(3)
		}
		w.step(survives)
		if w.finished || len(w.violations) > 0 {
			return w
		}
		w.tick()
	}
	return w
}

func TestPlanFor_KeepsItsPromisesInRandomRollouts(t *testing.T) {
	t.Parallel()
	runs := 1000
	if testing.Short() {
		runs = 300
	}
	for seed := range runs {
		w := simulate(uint64(seed))
		if len(w.violations) > 0 {
			t.Fatalf("seed %d: %s", seed, w.violations[0])
		}
		checkEnd(t, seed, w)
	}
}

// checkEnd lets a rollout come to rest, and says whether it did as it should.
func checkEnd(t *testing.T, seed int, w *world) {
	t.Helper()
	if w.finished {
		if w.route.exists || len(w.copies) > 0 || w.served || w.adopted {
			t.Fatalf("seed %d: deletion left something behind: %+v", seed, w)
		}
		return
	}
	var last rollout.Plan
	for range 600 {
		last = w.step(100)
		if len(w.violations) > 0 {
			t.Fatalf("seed %d: %s", seed, w.violations[0])
		}
		if w.finished {
			return
		}
		w.tick()
	}
	switch last.Status.State {
	case v1alpha1.StateIdle, v1alpha1.StateRolledBack, v1alpha1.StatePaused:
	case v1alpha1.StateWaiting:
		if !w.thin[w.git] {
			t.Fatalf("seed %d: still waiting: %s", seed, last.Why)
		}
	case v1alpha1.StateStalled:
		if w.route.exists {
			t.Fatalf("seed %d: stalled: %s", seed, last.Why)
		}
	default:
		t.Fatalf("seed %d: does not come to rest: %s: %s", seed, last.Status.State, last.Why)
	}
	if len(last.Actions) > 0 {
		t.Fatalf("seed %d: at rest, and still acts: %v", seed, last.Actions)
	}
	if last.Status.State == v1alpha1.StateIdle && (w.route.traffic.Incumbent != "" || len(w.copies) > 0 || w.pods[w.git] != w.replicas) {
		t.Fatalf("seed %d: idle, but not at git's revision", seed)
	}
}

func BenchmarkPlanFor(b *testing.B) {
	for _, state := range []string{"idle", "step"} {
		b.Run(state, func(b *testing.B) {
			w := newWorld(canary())
			for range 20 {
				w.step(100)
				w.tick()
			}
			if state == "step" {
				w.commit("b")
				for range 15 {
					w.step(100)
					w.tick()
				}
			}
			s := w.snapshot()
			b.ReportAllocs()
			for b.Loop() {
				rollout.PlanFor(s, w.now)
			}
		})
	}
}

func FuzzPlanFor_KeepsItsPromises(f *testing.F) {
	f.Add(uint64(7))
	f.Fuzz(func(t *testing.T, seed uint64) {
		if w := simulate(seed); len(w.violations) > 0 {
			t.Fatal(fmt.Sprint(seed, ": ", w.violations[0]))
		}
	})
}
