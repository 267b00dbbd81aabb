package rollout_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

func TestPlanFor_RefusesAMatchThatTheRouterCannotExpressFromACopy(t *testing.T) {
	t.Parallel()
	w := onCopy(t)
	w.spec.Steps = []v1alpha1.Step{{Weight: new(int32(1))}, {Match: acme()}}
	w.commit("c")
	p := rollout.PlanFor(w.snapshot(), w.now)
	if p.Reason != "StepUnsupported" || !strings.Contains(p.Why, "spec.steps[1].match") {
		t.Errorf("it is %s: %s", p.Reason, p.Why)
	}
	p = w.plan(func(s *rollout.Snapshot) { s.RestToRoot = false })
	if p.Reason != "Starting" {
		t.Errorf("another router can, and it is %s: %s", p.Reason, p.Why)
	}
}

func TestPlanFor_TriesAgainWhatTheMeshDidNotDoOnceTheSpecChanged(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.mesh.crooked, w.thin["b"] = true, true
	w.run(80)
	if w.route.progress.Phase != rollout.PhaseSetBack {
		t.Fatalf("the phase is %s, want SetBack", w.route.progress.Phase)
	}
	if record := w.record["b"]; record.Failed != "" {
		t.Errorf("the revision is marked as failed (%s), and the mesh is to blame", record.Failed)
	}
	if p := rollout.PlanFor(w.snapshot(), w.now); p.Reason != "SetBack" || !p.Stalled || len(p.Actions) > 0 {
		t.Errorf("it is %s, and does %v", p.Reason, actions(p))
	}
	if p := w.plan(func(s *rollout.Snapshot) { s.Generation++ }); p.Reason != "Starting" {
		t.Errorf("the spec changed, and it is %s: %s", p.Reason, p.Why)
	}
}

func TestPlanFor_BeginsNothingWhileTheMeshTakesNoRoute(t *testing.T) {
	t.Parallel()
	w := adoptedWorld(canary())
	w.commit("b")
	p := w.plan(func(s *rollout.Snapshot) { s.Route.Taken, s.Route.WrittenAt = false, w.now.Add(-time.Hour) })
	if p.Reason != "RouteNotTaken" || !p.Stalled {
		t.Errorf("it is %s: %s", p.Reason, p.Why)
	}
}

func TestPlanFor_EndsAMatchWhenItRescuesTheIncumbent(t *testing.T) {
	t.Parallel()
	w := inStep(t, steps(v1alpha1.Step{Match: acme(), Hold: duration(time.Minute)}))
	w.copies["a"] = &copied{replicas: 3, ready: 3}
	mixed := func(s *rollout.Snapshot) { s.Workload.Running = []string{"a", "b"} }
	p := w.plan(mixed)
	if got := actions(p); len(got) != 1 || got[0] != "route all to a (Serving)" {
		t.Errorf("what doesn't match would go to the mix of pods, and it does %v: %s", got, p.Why)
	}
	p = w.plan(func(s *rollout.Snapshot) { mixed(s); s.RestToRoot = false })
	if got := actions(p); len(got) != 1 || got[0] != "route a 100/100, b 0/100 + match (Step)" {
		t.Errorf("the router can match beside a copy, and it does %v: %s", got, p.Why)
	}
}

func TestPlanFor_KeepsNoForeignRouteWhileItRescuesTheIncumbent(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.tick()
	mixed := func(s *rollout.Snapshot) {
		s.Workload.Running = []string{"a", "b"}
		s.Route.Holds, s.Route.Foreign = func(rollout.Traffic) bool { return false }, "another tool"
	}
	p := w.plan(mixed)
	if got := actions(p); p.Reason != "Rescuing" || len(got) != 1 || got[0] != "copy a with 3 replicas" || p.Again.IsZero() {
		t.Errorf("just after the route was written it does %v, and looks again at %v: %s", got, p.Again, p.Why)
	}
	w.now = w.now.Add(10 * time.Second)
	p = w.plan(mixed)
	if got := actions(p); p.Reason != "Rescuing" || !slices.Equal(got, []string{"copy a with 3 replicas", "route workload 90/100, b 10/100 (Step)"}) {
		t.Errorf("it does %v: %s", got, p.Why)
	}
}

func TestPlanFor_ForgivesAMeshThatTakesARouteLate(t *testing.T) {
	t.Parallel()
	of := func(candidate, incumbent float64) *analysis.Measurement {
		return &analysis.Measurement{Candidate: analysis.Counts{Requests: candidate}, Incumbent: analysis.Counts{Requests: incumbent}}
	}
	w := inStep(t, canary())
	w.now = w.now.Add(analysis.ShareGrace + time.Second)
	for name, test := range map[string]struct {
		late *analysis.Measurement
		want string
	}{
		"it is not known yet":               {nil, "Misrouted"},
		"too few requests to tell":          {of(1, 9), "Misrouted"},
		"it sends what was asked for now":   {of(20, 180), "Progressing"},
		"it goes on sending something else": {of(150, 50), "SetBack"},
	} {
		p := w.plan(func(s *rollout.Snapshot) { s.Measured, s.MeasuredLate = of(900, 2100), test.late })
		setBack := len(p.Actions) > 0 && strings.Contains(actions(p)[0], "SetBack")
		if p.Reason != test.want || setBack != (name == "it goes on sending something else") {
			t.Errorf("%s: it is %s, and does %v", name, p.Reason, actions(p))
		}
	}
}

func TestPlanFor_ForgivesAMeshThatDropsAFewCopies(t *testing.T) {
	t.Parallel()
	w := inStep(t, steps(v1alpha1.Step{Shadow: new(int32(100)), Hold: duration(time.Hour)}))
	for copies, want := range map[float64]string{970: "Holding", 600: "Misrouted"} {
		p := w.plan(func(s *rollout.Snapshot) {
			s.Measured = &analysis.Measurement{Mirrored: true, Incumbent: analysis.Counts{Requests: 1000}, Candidate: analysis.Counts{Requests: copies}}
		})
		if waits := p.Status.WaitingFor; strings.Contains(waits, "share") != (want == "Misrouted") {
			t.Errorf("with %.0f copies of 1,000 requests it waits for %s", copies, waits)
		}
	}
}

func TestPause_OutlivesASetBackUntilSomebodyEndsIt(t *testing.T) {
	t.Parallel()
	pausedAndSetBack := func() *world {
		spec := canary()
		spec.RouteDeadline = duration(time.Minute)
		w := inStep(t, spec)
		w.thin["b"] = true
		w.decide(v1alpha1.VerbPause, "alice")
		w.run(5)
		w.mesh.crooked = true
		w.run(90)
		if p := w.route.progress; p.Phase != rollout.PhaseSetBack || p.Paused == nil {
			t.Fatalf("it is at %s, want it set back and paused", p)
		}
		w.mesh.crooked = false
		return w
	}
	w := pausedAndSetBack()
	w.generation++
	w.run(100)
	if p := w.route.progress; p.Phase == rollout.PhaseStep || p.Paused == nil {
		t.Errorf("the spec was changed, nobody has resumed it, and it is at %s", p)
	}
	w.decide(v1alpha1.VerbResume, "alice")
	w.run(30)
	if p := w.route.progress; p.Phase != rollout.PhaseStep || p.Paused != nil {
		t.Errorf("somebody has resumed it, and it is at %s", p)
	}

	w = pausedAndSetBack()
	w.decide(v1alpha1.VerbRetry, "alice")
	w.run(30)
	if p := w.route.progress; p.Phase != rollout.PhaseStep || p.Paused != nil {
		t.Errorf("somebody has retried it, and it is at %s", p)
	}

	w = pausedAndSetBack()
	w.commit("c")
	w.run(3)
	if p := w.route.progress; p.Paused != nil {
		t.Errorf("git asks for another version, and it is at %s", p)
	}
}
