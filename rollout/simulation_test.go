package rollout_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// steps is a spec with these steps, and analysis.
func steps(steps ...v1alpha1.Step) v1alpha1.RolloutSpec {
	return v1alpha1.RolloutSpec{TotalWeight: 100, AbortDelay: duration(30 * time.Second), Analysis: &v1alpha1.Analysis{}, Steps: steps}
}

func acme() []v1alpha1.RequestMatch {
	return []v1alpha1.RequestMatch{{Headers: []v1alpha1.HeaderMatch{{Name: "x-tenant", Exact: "acme"}}}}
}

// everything is a spec with steps of each kind.
func everything() v1alpha1.RolloutSpec {
	spec := steps(
		v1alpha1.Step{Name: "ghost", Shadow: new(int32(50)), Hold: duration(10 * time.Second)},
		v1alpha1.Step{Name: "pilot", Match: acme(), Replicas: new(intstr.FromInt32(1))},
		v1alpha1.Step{Name: "few", Weight: new(int32(1)), Deadline: duration(2 * time.Minute), OnDeadline: v1alpha1.DeadlineRollback},
		v1alpha1.Step{Name: "half", Weight: new(int32(5000)), Shadow: new(int32(10))},
	)
	spec.TotalWeight = 10000
	return spec
}

// canary is a spec with a few weight steps.
func canary() v1alpha1.RolloutSpec {
	return steps(v1alpha1.Step{Weight: new(int32(10))}, v1alpha1.Step{Weight: new(int32(50)), Hold: duration(20 * time.Second)})
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
	w.checkSaid(p)
	if survives >= len(p.Actions) {
		w.checkState()
		w.takeNote(p)
	}
	return p
}

// randomSpec has steps of every kind, in any order.
func randomSpec(r *rand.Rand) v1alpha1.RolloutSpec {
	spec := canary()
	switch r.IntN(10) {
	case 0:
		spec.Steps = nil
	case 1, 2, 3, 4, 5:
		spec.Steps = nil
		for range 1 + r.IntN(3) {
			spec.Steps = append(spec.Steps, randomStep(r))
		}
	}
	if len(spec.Steps) > 0 && r.IntN(4) == 0 {
		step := &spec.Steps[r.IntN(len(spec.Steps))]
		step.Hold, step.Deadline = nil, duration(40*time.Second)
		step.OnDeadline = []v1alpha1.DeadlinePolicy{v1alpha1.DeadlinePause, v1alpha1.DeadlineRollback, v1alpha1.DeadlineProceed}[r.IntN(3)]
	}
	spec.RouteDeadline = duration(time.Minute)
	return spec
}

func randomStep(r *rand.Rand) v1alpha1.Step {
	var step v1alpha1.Step
	switch r.IntN(4) {
	case 0:
		step.Match = acme()
	case 1:
		step.Shadow = new(int32(1 + r.IntN(100)))
	case 2:
		step.Weight, step.Replicas = new(int32(0)), new(intstr.FromString("100%"))
	default:
		step.Weight = new(int32(r.IntN(101)))
	}
	if r.IntN(3) == 0 {
		step.Hold = duration(10 * time.Second)
	}
	if r.IntN(15) == 0 {
		step.Approval = &v1alpha1.Approval{Quorum: int32(r.IntN(3))}
		if r.IntN(3) == 0 {
			step.Approval.Expires = duration(20 * time.Second)
		}
	}
	return step
}

// revisions that git may say; all but the first may be bad in some way.
var revisions = []string{"a", "b", "c", "d"}

func randomWorld(r *rand.Rand) *world {
	w := newWorld(randomSpec(r))
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
	w.held = r.IntN(4) > 0
	w.mesh.crooked = r.IntN(10) == 0
	if r.IntN(3) == 0 {
		w.scaler = &autoscaler{}
	}
	return w
}

// happen lets something happen to the world.
func (w *world) happen(r *rand.Rand) {
	switch n := r.IntN(400); {
	case n < 8:
		w.commit(revisions[r.IntN(len(revisions))])
	case n < 10:
		w.scale(int32(1 + r.IntN(5)))
	case n == 10:
		w.scale(0)
		w.started = append(revisions, "")[r.IntN(len(revisions)+1)]
	case n == 11 && r.IntN(10) == 0:
		w.deleting = true
	case n == 12:
		w.coming = w.replicas // all pods of the workload restart
	case n == 13 && w.adopted:
		w.paused, w.owned = false, false // somebody resumes it
	case n == 14:
		w.mesh.deaf = w.now.Add(time.Duration(r.IntN(100)) * time.Second)
	case n == 15:
		w.mesh.rival = w.now.Add(time.Duration(r.IntN(30)) * time.Second)
	case n == 16 && r.IntN(3) == 0:
		w.spec.Suspend = !w.spec.Suspend
	case n == 18 && w.scaler != nil && w.route.progress.OnCopy && w.replicas > 0:
		w.demand += 2 // more users, while a copy serves
	case n < 28 && n > 18:
		for range 1 + r.IntN(3) {
			w.sayAnything(r)
		}
	case n == 28:
		w.generation++
	case n == 17:
		for _, revision := range slices.Sorted(maps.Keys(w.copies)) {
			w.copies[revision].edited = true
		}
	}
}

// sayAnything has somebody decide something, mostly of what is under way.
func (w *world) sayAnything(r *rand.Rand) {
	verbs := []v1alpha1.DecisionVerb{
		v1alpha1.VerbApprove, v1alpha1.VerbApprove, v1alpha1.VerbApprove, v1alpha1.VerbPromote, v1alpha1.VerbPause, v1alpha1.VerbResume, v1alpha1.VerbResume, v1alpha1.VerbAbort, v1alpha1.VerbRetry,
		v1alpha1.VerbRetry,
	}
	actors := []string{"alice", "bob", "slack:U1", "slack:U2"}
	w.decide(verbs[r.IntN(len(verbs))], actors[r.IntN(len(actors))], func(d *rollout.Decision) {
		if d.Step == nil {
			d.Step = new(int32(0))
		}
		d.Full = d.Verb == v1alpha1.VerbPromote && r.IntN(3) == 0
		d.Reason = d.Name
		switch r.IntN(12) {
		case 0:
			d.Revision = revisions[r.IntN(len(revisions))]
		case 1:
			*d.Step = int32(r.IntN(3))
		}
	})
}

// simulate runs a random rollout: commits, reverts, crashes, scaling, meddling and deletion in a random order.
func simulate(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := randomWorld(r)
	for range 600 {
		w.happen(r)
		survives := 100
		if r.IntN(10) == 0 || (len(w.decisions) > 0 && r.IntN(3) == 0) {
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

var rollouts = flag.Int("rollouts", 1000, "how many random rollouts are simulated")

func TestPlanFor_KeepsItsPromisesInRandomRollouts(t *testing.T) {
	t.Parallel()
	for part := range 4 {
		t.Run(fmt.Sprint("part ", part+1), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < *rollouts; seed += 4 {
				w := simulate(uint64(seed))
				if len(w.violations) > 0 {
					t.Fatalf("seed %d: %s", seed, w.violations[0])
				}
				checkEnd(t, seed, w)
			}
		})
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
	w.mesh.deaf, w.mesh.rival, w.spec.Suspend = time.Time{}, time.Time{}, false
	if w.replicas == 0 {
		w.scale(3)
	}
	var last rollout.Plan
	for range 900 {
		last = w.step(100)
		if len(w.violations) > 0 {
			t.Fatalf("seed %d: %s", seed, w.violations[0])
		}
		if w.finished {
			return
		}
		w.tick()
	}
	if !w.mayRest(last) {
		t.Fatalf("seed %d: does not come to rest: %s: %s\n%s", seed, last.Status.State, last.Why, strings.Join(w.log, "\n"))
	}
	if len(last.Actions) > 0 && !w.broken[w.route.progress.Incumbent] {
		t.Fatalf("seed %d: at rest, and still acts: %v", seed, last.Actions)
	}
	if len(w.decisions) > 0 && !w.deleting && w.route.exists && last.Reason != "IncumbentNotReady" {
		t.Fatalf("seed %d: at rest, and %s has no outcome: %s\n%s", seed, w.decisions[0].Name, last.Why, strings.Join(w.log, "\n"))
	}
	if last.Status.State == v1alpha1.StateIdle && (w.route.traffic.Incumbent != "" || len(w.copies) > 0 || w.pods[w.git] != w.replicas) {
		t.Fatalf("seed %d: idle, but not at git's revision", seed)
	}
	if last.Status.State == v1alpha1.StateIdle && w.scaler != nil && w.scaler.guarded {
		t.Fatalf("seed %d: idle, and the autoscaler is not given back", seed)
	}
}

// mayRest says whether a plan is one that a rollout may stay at for ever.
func (w *world) mayRest(p rollout.Plan) bool {
	switch p.Status.State {
	case v1alpha1.StateIdle, v1alpha1.StateRolledBack, v1alpha1.StatePaused:
		return true
	case v1alpha1.StateWaiting:
		return w.thin[w.git] || p.Reason == "ApprovalNeeded"
	case v1alpha1.StateDeleting:
		return p.Status.WaitingFor == "a workload that can serve"
	case v1alpha1.StateStalled:
		return !w.route.exists || p.Reason == "StepUnsupported" || (p.Reason == "SetBack" && w.route.progress.Phase == rollout.PhaseSetBack)
	default:
		// A revision whose pods never get ready serves nobody, whoever made it the incumbent.
		return w.broken[w.route.progress.Incumbent]
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
