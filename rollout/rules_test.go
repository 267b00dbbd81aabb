package rollout_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/workload"
)

// inStep is a world in the first step of a spec, with all that the step waits for still to come.
func inStep(t *testing.T, spec v1alpha1.RolloutSpec) *world {
	t.Helper()
	w := adoptedWorld(spec)
	w.commit("b")
	for range 20 {
		w.step(100)
		w.tick()
		if w.route.progress.Phase == rollout.PhaseStep {
			w.now = w.now.Add(settle)
			return w
		}
	}
	t.Fatal("no step was entered")
	return nil
}

// onCopy is a world whose incumbent serves from the copy b, the workload not yet released.
func onCopy(t *testing.T) *world {
	t.Helper()
	w := adoptedWorld(steps())
	w.commit("b")
	for range 20 {
		w.step(100)
		w.tick()
		if w.route.progress.OnCopy {
			return w
		}
	}
	t.Fatal("the copy does not serve")
	return nil
}

func actions(p rollout.Plan) []string {
	var out []string
	for _, a := range p.Actions {
		out = append(out, a.String())
	}
	return out
}

// plan plans for a snapshot of the world that was changed.
func (w *world) plan(change func(*rollout.Snapshot)) rollout.Plan {
	s := w.snapshot()
	change(&s)
	return rollout.PlanFor(s, w.now)
}

func TestPlanFor_GuardsTheAutoscalerBeforeACopyIsMade(t *testing.T) {
	t.Parallel()
	w := adoptedWorld(canary())
	w.scaler = &autoscaler{}
	w.commit("b")
	want := []string{"hold the workload", "keep the autoscaler from taking pods away", "remember progress", "record b", "copy b with 1 replicas"}
	if diff := cmp.Diff(want, actions(w.step(100))); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestPlanFor_LeavesAnAutoscalerAloneThatCannotBeGuarded(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	p := w.plan(func(s *rollout.Snapshot) {
		s.Autoscaler = &workload.Autoscaler{Name: "shop"}
		s.Problem = &workload.Problem{Reason: "AutoscalerNotGuardable", Message: "KEDA owns it"}
	})
	if p.Reason != "AutoscalerNotGuardable" || !p.Stalled || slices.Contains(actions(p), "keep the autoscaler from taking pods away") {
		t.Errorf("it does %v and says %s: %s", actions(p), p.Reason, p.Why)
	}
}

func TestPlanFor_ProtectsACopyBeforeItTakesMoreThanHalfOfTheTraffic(t *testing.T) {
	t.Parallel()
	for weight, protects := range map[int32]bool{50: false, 51: true, 100: true} {
		w := inStep(t, steps(v1alpha1.Step{Weight: new(int32(1))}, v1alpha1.Step{Weight: &weight}))
		w.scaler = &autoscaler{guarded: true}
		w.copies["b"].replicas, w.copies["b"].ready = 3, 3
		w.now = w.now.Add(20 * time.Second)
		got := actions(rollout.PlanFor(w.snapshot(), w.now))
		if first := "give copy b an autoscaler and a disruption budget"; (got[0] == first) != protects || !strings.HasPrefix(got[len(got)-1], "route ") {
			t.Errorf("before %d%% it does %v", weight, got)
		}
	}
}

func TestPlanFor_KeepsWhatAnAutoscalerAddedToACopy(t *testing.T) {
	t.Parallel()
	w := onCopy(t)
	w.scaler, w.copies["b"].protected = &autoscaler{guarded: true}, true
	w.copies["b"].replicas, w.copies["b"].ready = 7, 7
	if got := actions(w.step(100)); len(got) > 0 {
		t.Errorf("with 7 pods made by its autoscaler, and 3 of the workload, it does %v", got)
	}
	w.run(60)
	if !slices.ContainsFunc(w.log, func(line string) bool { return strings.HasSuffix(line, "scale workload to 7") }) || w.ready() < 7 {
		t.Errorf("the workload was not brought to the copy's size before traffic went back:\n%s", strings.Join(w.log, "\n"))
	}
	w = onCopy(t)
	w.scaler, w.copies["b"].protected = &autoscaler{guarded: true}, true
	w.copies["b"].replicas, w.copies["b"].ready = 7, 7
	w.scale(0)
	if got := actions(w.step(100)); !slices.Contains(got, "scale b to 0") {
		t.Errorf("people scaled the workload to nothing, and it does %v: the copy must follow", got)
	}
}

func TestPlanFor_KeepsCopiesAsTheyWereMade(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*workload.State)
		want   string
	}{
		"policies":  {func(c *workload.State) { c.Permitted = false }, "bring the network policies of copy b up to date"},
		"template":  {func(c *workload.State) { c.Template.Revision = "x" }, "copy b with 3 replicas"},
		"protected": {func(c *workload.State) { c.Protected = false }, "give copy b an autoscaler and a disruption budget"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := onCopy(t).plan(func(s *rollout.Snapshot) { test.change(s.Copies["b"]) })
			if diff := cmp.Diff([]string{test.want}, actions(p)); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanFor_TakesACopyOutOfTheTrafficThatSomebodyChanged(t *testing.T) {
	t.Parallel()
	p := inStep(t, canary()).plan(func(s *rollout.Snapshot) { s.Copies["b"].Running = []string{"b", "x"} })
	if got := actions(p); p.Reason != "CopyChanged" || len(got) != 1 || got[0] != "route all to workload (Serving)" {
		t.Errorf("it does %v: %s", got, p.Why)
	}
}

func TestPlanFor_NeverPassesAMissingApproval(t *testing.T) {
	t.Parallel()
	for _, policy := range []v1alpha1.DeadlinePolicy{"", v1alpha1.DeadlinePause, v1alpha1.DeadlineProceed} {
		spec := canary()
		spec.Steps[0].Approval, spec.Steps[0].OnDeadline, spec.Steps[0].Deadline = &v1alpha1.Approval{}, policy, duration(time.Minute)
		w := inStep(t, spec)
		w.run(300)
		if len(w.violations) > 0 || w.route.progress.Step != 0 || w.route.progress.Phase != rollout.PhaseStep {
			t.Errorf("with onDeadline %q it is at %s", policy, w.route.progress)
		}
	}
}

func TestPlanFor_DoesAsOnDeadlineSays(t *testing.T) {
	t.Parallel()
	for policy, want := range map[v1alpha1.DeadlinePolicy]string{
		"": "Paused", v1alpha1.DeadlinePause: "Paused", v1alpha1.DeadlineRollback: "RolledBack", v1alpha1.DeadlineProceed: "Waiting",
	} {
		spec := canary()
		spec.Steps[0].OnDeadline, spec.Steps[0].Deadline = policy, duration(time.Minute)
		w := inStep(t, spec)
		w.thin["b"] = true
		w.run(300)
		p := rollout.PlanFor(w.snapshot(), w.now)
		if string(p.Status.State) != want {
			t.Errorf("with onDeadline %q it is %s: %s", policy, p.Status.State, p.Why)
		}
		if unproven := p.Status.Candidate.Unproven; unproven != (policy == v1alpha1.DeadlineProceed) {
			t.Errorf("with onDeadline %q the candidate is unproven: %t", policy, unproven)
		}
	}
}

func TestPlanFor_WarnsOfWhatNothingWaitsFor(t *testing.T) {
	t.Parallel()
	p := inStep(t, canary()).plan(func(s *rollout.Snapshot) {
		s.Copies["b"].Changed = []string{"ConfigMap/settings"}
		s.Route.Foreign = "argocd"
		s.Others = []string{"PodMonitor/shop"}
	})
	warnings := strings.Join(p.Status.Warnings, "\n")
	if !strings.Contains(warnings, "ConfigMap/settings") || !strings.Contains(warnings, "argocd") {
		t.Errorf("the warnings are %q", warnings)
	}
	if diff := cmp.Diff([]string{"PodMonitor/shop"}, p.Status.AlsoSelecting); diff != "" {
		t.Errorf("what also selects the pods (-want +got):\n%s", diff)
	}
}

func TestPlanFor_DoesNotPauseAWorkloadWithoutPods(t *testing.T) {
	t.Parallel()
	w := newWorld(canary())
	w.held = false
	w.run(20)
	if !w.paused {
		t.Fatal("without the admission policy, the workload is not held")
	}
	w.scale(0)
	w.run(20)
	if w.paused {
		t.Error("scaled up again, the workload might start nothing, or pods of an old template")
	}
}

func TestProgress_KnowsWhatIsOlderThanItself(t *testing.T) {
	t.Parallel()
	written, err := rollout.ParseProgress(rollout.Progress{
		Phase: rollout.PhaseServing, Incumbent: "a", Seen: []rollout.Seen{{UID: "rollout", Generation: 2}, {UID: "workload", Generation: 7}},
	}.String())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		now    []rollout.Seen
		behind bool
	}{
		"the same":               {[]rollout.Seen{{UID: "rollout", Generation: 2}, {UID: "workload", Generation: 7}}, false},
		"an older workload":      {[]rollout.Seen{{UID: "rollout", Generation: 2}, {UID: "workload", Generation: 6}}, true},
		"an older Rollout":       {[]rollout.Seen{{UID: "rollout", Generation: 1}, {UID: "workload", Generation: 9}}, true},
		"newer ones":             {[]rollout.Seen{{UID: "rollout", Generation: 3}, {UID: "workload", Generation: 8}}, false},
		"others of these names":  {[]rollout.Seen{{UID: "x", Generation: 1}, {UID: "y", Generation: 1}}, false},
		"a workload that's gone": {[]rollout.Seen{{UID: "rollout", Generation: 2}}, false},
	} {
		if got := written.Behind(test.now...); got != test.behind {
			t.Errorf("%s: behind is %t", name, got)
		}
	}
}

func TestPlanFor_WeighsAStepThatIsStalled(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	stall := func(s *rollout.Snapshot) {
		s.Problem = &workload.Problem{Reason: "PausedElsewhere", Message: "somebody pauses it"}
	}
	if p := w.plan(stall); !p.Stalled || !p.Weigh {
		t.Errorf("the step has traffic, and is not weighed: %+v", p)
	}
	p := w.plan(func(s *rollout.Snapshot) {
		stall(s)
		s.Verdict = &analysis.Verdict{Outcome: v1alpha1.OutcomeFail, Message: "5% errors"}
	})
	if p.Reason != "RolledBack" || p.Weigh {
		t.Errorf("a bad candidate of a Stalled Rollout is %s, and weighed: %t", p.Reason, p.Weigh)
	}
}

func TestPlanFor_TellsWhatWasMeasuredOfEachMetric(t *testing.T) {
	t.Parallel()
	p := inStep(t, canary()).plan(func(s *rollout.Snapshot) {
		s.Verdict = &analysis.Verdict{Outcome: v1alpha1.OutcomeInconclusive, Message: "80 requests more", Metrics: []analysis.MetricVerdict{
			{Name: "errors", Outcome: v1alpha1.OutcomeInconclusive, Message: "80 more", Candidate: "1.2%", Incumbent: "0.1%"},
		}}
	})
	want := v1alpha1.MetricStatus{Name: "errors", Outcome: v1alpha1.OutcomeInconclusive, Message: "80 more", Candidate: "1.2%", Incumbent: "0.1%"}
	if told := p.Status.Verdict.Metrics; len(told) != 1 || told[0] != want {
		t.Errorf("told is %+v, want %+v", told, want)
	}
}

func TestPlanFor_DoesNotPauseAWorkloadInMidRoll(t *testing.T) {
	t.Parallel()
	p := adoptedWorld(canary()).plan(func(s *rollout.Snapshot) {
		s.HeldByAdmission, s.Workload.Rolled = false, false
	})
	if slices.Contains(actions(p), "hold the workload") {
		t.Error("a pause would keep the mix of pods for good")
	}
}

func TestPlanFor_EntersNoStepWhileTheIncumbentIsNotReady(t *testing.T) {
	t.Parallel()
	w := inStep(t, steps(v1alpha1.Step{Weight: new(int32(50))}, v1alpha1.Step{Weight: new(int32(0)), Hold: duration(time.Minute)}))
	w.now = w.now.Add(time.Minute)
	if got := actions(w.plan(func(*rollout.Snapshot) {})); len(got) != 1 || !strings.HasPrefix(got[0], "route ") {
		t.Fatalf("the gates of the step are open, and it does %v", got)
	}
	p := w.plan(func(s *rollout.Snapshot) { s.Workload.Ready = 0 })
	if len(p.Actions) > 0 || !strings.Contains(p.Status.WaitingFor, "incumbent") {
		t.Errorf("it does %v, and waits for %s", actions(p), p.Status.WaitingFor)
	}
}

func TestPlanFor_LeavesTheSizeOfACandidateToItsAutoscaler(t *testing.T) {
	t.Parallel()
	grown := func(autoscaled bool) func(*rollout.Snapshot) {
		return func(s *rollout.Snapshot) {
			s.Copies["b"].Autoscaled, s.Copies["b"].Replicas, s.Copies["b"].Ready = autoscaled, 7, 7
		}
	}
	w := inStep(t, canary())
	if got := actions(w.plan(grown(true))); len(got) > 0 {
		t.Errorf("its autoscaler has made 7 pods, and it does %v", got)
	}
	if got := actions(w.plan(grown(false))); !slices.Contains(got, "scale b to 1") {
		t.Errorf("nobody asked for 7 pods, and it does %v", got)
	}
}

func TestPlanFor_TakesWhatWasRolledOutPastItsStepsAsItIs(t *testing.T) {
	t.Parallel()
	rolled := func(s *rollout.Snapshot) {
		s.Workload.Running, s.Workload.Paused, s.Workload.Rolled = []string{"b"}, false, true
	}
	w := inStep(t, canary())
	p := w.plan(rolled)
	if got := actions(p); p.Reason != "RolledNatively" || len(got) != 1 || got[0] != "route all to workload (Serving)" {
		t.Errorf("it is %s, and does %v", p.Reason, got)
	}
	p = w.plan(func(s *rollout.Snapshot) {
		rolled(s)
		record := s.Records["b"]
		record.Failed = "5% errors"
		s.Records = map[string]workload.Record{"a": s.Records["a"], "b": record}
	})
	if p.Reason == "RolledNatively" {
		t.Error("a revision that failed was taken as the incumbent")
	}
}

func TestPlanFor_LabelsAWorkloadAgainThatLostItsLabels(t *testing.T) {
	t.Parallel()
	p := inStep(t, canary()).plan(func(s *rollout.Snapshot) {
		s.Workload.Adopted, s.Workload.Template = false, workload.Template{}
	})
	if diff := cmp.Diff([]string{"adopt the workload"}, actions(p)); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestPlanFor_KeepsTheAutoscalerGuardedThroughADeletionInMidStep(t *testing.T) {
	t.Parallel()
	w := inStep(t, canary())
	w.scaler = &autoscaler{guarded: true}
	w.deleting = true
	w.run(100)
	if !w.scaler.guarded || w.finished {
		t.Fatalf("the autoscaler was given back at once:\n%s", strings.Join(w.log, "\n"))
	}
	if p := rollout.PlanFor(w.snapshot(), w.now); !strings.Contains(p.Status.WaitingFor, "autoscaler") {
		t.Errorf("it waits for %q", p.Status.WaitingFor)
	}
	w.run(window + 60)
	if w.scaler.guarded || !w.finished {
		t.Errorf("the autoscaler has seen all traffic for long enough, and it is not over:\n%s", strings.Join(w.log, "\n"))
	}
}

func TestPlanFor_BlamesNoCandidateForAWorkloadWithoutPods(t *testing.T) {
	t.Parallel()
	none := func(s *rollout.Snapshot) { s.Workload.Replicas, s.Workload.Ready, s.Copies["b"].Ready = 0, 0, 0 }
	w := inStep(t, canary())
	if p := w.plan(none); p.Reason != "TakenAtZero" {
		t.Errorf("people scaled the workload to nothing, and it is %s: %s", p.Reason, p.Why)
	}
	p := w.plan(func(s *rollout.Snapshot) { none(s); s.Spec.Suspend = true })
	if got := actions(p); p.Reason != "WithdrawnAtZero" || got[0] != "route all to workload (Serving)" {
		t.Errorf("the Rollout is suspended, and it is %s, and does %v", p.Reason, got)
	}
}

func TestProgress_OfTheVersionBeforeKeepsThatTheIncumbentIsUnproven(t *testing.T) {
	t.Parallel()
	p, err := rollout.ParseProgress(`{"phase":"Serving","incumbent":"a","unproven":true}`)
	if err != nil || !p.IncumbentUnproven || p.Unproven {
		t.Errorf("it is read as %v, %v", p, err)
	}
}
