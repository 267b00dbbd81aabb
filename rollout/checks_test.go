package rollout_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

func (w *world) violated(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...)+"\n"+strings.Join(w.log, "\n"))
}

// checkRoute holds a change of traffic against what must be true for it.
func (w *world) checkRoute(a rollout.SetRoute) {
	t, was := a.Traffic, w.route.progress
	if t.Weight < 0 || t.Weight > t.Total {
		w.violated("weights do not sum up: %s", t)
	}
	if ready := w.trackReady(t.Incumbent); ready == 0 && w.replicas > 0 && (!w.route.exists || w.route.traffic.Incumbent != t.Incumbent || (w.route.traffic.Candidate != "" && t.Weight < w.route.traffic.Weight)) {
		w.violated("traffic to a track that is not ready: %s", t)
	}
	if t.Reaches() && w.trackReady(t.Candidate) == 0 {
		w.violated("traffic to a candidate that is not ready: %s", t)
	}
	if running := w.running(); w.deleting && w.paused && t.Incumbent == "" && w.route.traffic.Incumbent != "" && w.replicas > 0 && w.spec.DeletionPolicy == "" && len(running) == 1 && w.failed[running[0]] && running[0] != w.route.progress.Incumbent {
		w.violated("deletion puts traffic on a revision that failed")
	}
	if t.Reaches() && w.failed[t.Candidate] {
		w.violated("a failed revision serves again: %s", t)
	}
	if a.Event == "RouteReasserted" && a.Warning {
		if w.now.Before(w.mesh.reasserted.Add(10 * time.Second)) {
			w.violated("it fights over the route without a pause")
		}
		w.mesh.reasserted = w.now
	}
	w.checkActed(a)
	if a.Progress.Phase == rollout.PhaseRolledBack {
		w.failed[a.Progress.Candidate] = true
	}
	if a.Progress.Phase == rollout.PhaseRolledBack || a.Progress.Phase == rollout.PhaseSetBack {
		return
	}
	if !w.route.exists {
		return
	}
	if a.Progress.Attempt < was.Attempt {
		w.violated("the attempts are counted backwards: %s", a.Progress)
	}
	if a.Progress.Phase == rollout.PhaseStep && was.Phase != rollout.PhaseStep {
		if a.Progress.Attempt <= w.attempt {
			w.violated("two rollouts have the same number: %s", a.Progress)
		}
		w.attempt = a.Progress.Attempt
	}
	if a.Event == v1alpha1.ReasonPromoted && was.Phase != rollout.PhaseStep && len(w.spec.Steps) > 0 && (was.Hastened == nil || !was.Hastened.Full || was.Hastened.At.Before(w.since)) {
		w.violated("%s is promoted past all steps, and nobody has said so of this rollout", a.Progress.Incumbent)
	}
	promoted := a.Progress.OnCopy && a.Progress.Incumbent == was.Candidate && was.Phase == rollout.PhaseStep
	entered := a.Progress.Phase == rollout.PhaseStep
	switch {
	case entered && was.Phase == rollout.PhaseStep && a.Progress.Step == was.Step && a.Progress.Candidate == was.Candidate:
		return // written again
	case entered && was.Phase == rollout.PhaseStep && (a.Progress.Step != was.Step+1 || a.Progress.Candidate != was.Candidate),
		entered && was.Phase != rollout.PhaseStep && a.Progress.Step != 0,
		promoted && was.Step != len(w.spec.Steps)-1 && (was.Hastened == nil || !was.Hastened.Full):
		w.violated("steps out of order: from %s to %s", was, a.Progress)
	}
	if (entered && was.Phase == rollout.PhaseStep) || promoted {
		w.checkGates(was)
	}
	if (entered || promoted) && was.Paused != nil && was.Paused.Revision == w.git {
		w.violated("it goes on though it is paused")
	}
	if c := w.copies[was.Incumbent]; a.Event == "Completed" && c != nil && w.replicas > 0 && c.replicas <= w.demand && w.ready() < c.replicas {
		w.violated("all traffic goes back to %d pods, and the copy has %d", w.ready(), c.replicas)
	}
	if promoted && w.trackReady(t.Incumbent) < w.replicas {
		w.violated("promoted with %d of %d pods", w.trackReady(t.Incumbent), w.replicas)
	}
}

func (w *world) checkGates(was rollout.Progress) {
	step := w.spec.Steps[was.Step]
	taken := w.taken()
	if w.now.Before(taken) {
		w.violated("step %d left before the mesh had taken it", was.Step)
	}
	if was.Hastened != nil && was.Hastened.Revision == was.Candidate {
		return
	}
	if w.mesh.crooked && w.spec.Analysis != nil && w.route.traffic.Reaches() && 2*w.route.traffic.Weight <= w.route.traffic.Total && !w.route.traffic.Mirrors() &&
		(len(w.route.traffic.Match) == 0 || w.now.After(taken.Add(25*time.Second))) {
		w.violated("step %d left though the mesh does not do what it was asked", was.Step)
	}
	if step.Hold != nil && w.now.Before(taken.Add(step.Hold.Duration)) {
		w.violated("step %d left before its hold was over", was.Step)
	}
	reaches := w.route.traffic.Reaches()
	proceeds := step.OnDeadline == v1alpha1.DeadlineProceed && !w.now.Before(taken.Add(step.Deadline.Duration))
	if v := w.verdict(); w.spec.Analysis != nil && reaches && !proceeds && (v == nil || v.Outcome != v1alpha1.OutcomePass) {
		w.violated("step %d left without a Pass", was.Step)
	}
	if step.Approval != nil {
		w.checkApproval(step.Approval, was)
	}
}

// checkApproval holds the approvals of a step that is left against what it asks for.
func (w *world) checkApproval(gate *v1alpha1.Approval, was rollout.Progress) {
	people := map[string]bool{}
	for _, word := range was.Approvals {
		said := w.outcomes[word.Decision].Decision
		if said.Name == "" { // its outcome is not reported yet
			i := slices.IndexFunc(w.decisions, func(d rollout.Decision) bool { return d.Name == word.Decision })
			if i < 0 {
				w.violated("step %d left by an approval that nobody gave", was.Step)
				return
			}
			said = w.decisions[i]
		}
		if said.Verb != v1alpha1.VerbApprove || said.Revision != was.Candidate || int(*said.Step) != was.Step {
			w.violated("step %d of %s left by %s, which is about another", was.Step, was.Candidate, said.Name)
		}
		if word.Generation != w.generation {
			continue
		}
		if gate.Expires == nil || w.now.Before(word.At.Add(gate.Expires.Duration)) {
			people[word.Actor] = true
		}
	}
	if len(people) < max(1, int(gate.Quorum)) {
		w.violated("step %d left with %d approvals of %d", was.Step, len(people), gate.Quorum)
	}
}

// checkActed holds that what a decision asks for is done once.
func (w *world) checkActed(a rollout.SetRoute) {
	said := a.Progress.Reason
	if a.Event != v1alpha1.ReasonRetried && (a.Event != v1alpha1.ReasonRolledBack || !strings.HasPrefix(said, "aborted by ")) {
		return
	}
	if w.acted[said] {
		w.violated("a decision is acted on twice: %s", said)
	}
	w.acted[said] = true
}

// checkHeard holds likewise that it is remembered once.
func (w *world) checkHeard(was, now rollout.Progress) {
	words := func(p rollout.Progress) []string {
		var names []string
		for _, word := range p.Approvals {
			names = append(names, word.Decision)
		}
		for _, word := range []*rollout.Word{p.Paused, p.Hastened} {
			if word != nil {
				names = append(names, word.Decision)
			}
		}
		return names
	}
	before := words(was)
	for _, name := range words(now) {
		if slices.Contains(before, name) {
			continue
		}
		if w.acted[name] {
			w.violated("%s is remembered twice", name)
		}
		w.acted[name] = true
	}
}

// checkSaid holds that a pause is of the rollout that is under way.
func (w *world) checkSaid(p rollout.Plan) {
	if paused := p.Status.Paused; paused != nil && paused.At.Time.Before(w.since) {
		w.violated("it is paused by %s, who said so before git asked for this", paused.Actor)
	}
}

// takeNote has what people said before be over, once a plan that was carried out could have remembered what git says.
func (w *world) takeNote(p rollout.Plan) {
	if w.seen == w.git || !w.route.exists || w.mesh.foreign != "" || slices.ContainsFunc(p.Actions, func(a rollout.Action) bool { _, is := a.(rollout.SetRoute); return is }) {
		return
	}
	w.seen, w.since = w.git, w.asked
}

// checkNote holds what is remembered against what may be: no more than what people said.
func (w *world) checkNote(a rollout.Note) {
	if !w.route.exists || !reflect.DeepEqual(a.Traffic, w.route.traffic) {
		w.violated("a note moves traffic: %s", a.Traffic)
	}
	was, now := w.route.progress, a.Progress
	w.checkHeard(was, now)
	was.Approvals, was.Paused, was.Hastened, was.Decided = now.Approvals, now.Paused, now.Hastened, now.Decided
	was.Rested, was.Attempt, was.Tried = now.Rested, now.Attempt, now.Tried
	if now.Attempt < w.route.progress.Attempt {
		w.violated("the attempts are counted backwards: %s", now)
	}
	if !reflect.DeepEqual(was, now) {
		w.violated("a note changes progress from %s to %s", was, now)
	}
}

func (w *world) trackReady(track string) int32 {
	if track == "" {
		return w.ready()
	}
	if c := w.copies[track]; c != nil {
		return c.ready
	}
	return 0
}

// checkUnused holds the removal of a track against its traffic.
func (w *world) checkUnused(track string) {
	if !w.route.exists {
		return
	}
	t := w.route.traffic
	if t.Incumbent == track || (t.Candidate == track && track != "") {
		w.violated("track %q removed with traffic on it", track)
	}
	if last, had := w.lastTraffic[track]; had && w.now.Before(last.Add(w.spec.AbortDelay.Duration)) {
		w.violated("copy %q removed before it drained", track)
	}
}

// checkRelease holds a release against the traffic on the workload.
func (w *world) checkRelease() {
	r := w.running()
	if last, had := w.lastTraffic[""]; had && w.route.exists && w.route.traffic.Incumbent != "" && w.now.Before(last.Add(w.spec.AbortDelay.Duration)) {
		w.violated("the workload is released before it drained")
	}
	if !w.route.exists || w.route.traffic.Incumbent != "" || w.deleting || w.replicas == 0 {
		return
	}
	if len(r) == 1 && r[0] != w.git {
		w.violated("the workload, with traffic on it, is released to another template")
	}
}

// checkState holds what is true after a whole plan was applied.
func (w *world) checkState() {
	if !w.route.exists || w.deleting {
		return
	}
	p := w.route.progress
	// One that somebody changed is made again, at its size, by the next plan.
	if c := w.copies[p.Incumbent]; p.OnCopy && (c == nil || (!c.edited && c.replicas < w.replicas)) {
		w.violated("the incumbent's copy is smaller than the workload")
	}
}

// rescueLimit is how long users may be on pods that nobody committed for them, while those of a copy start.
const rescueLimit = 45 * time.Second

// checkTracks holds what the workload's pods run against whom they serve, second by second.
func (w *world) checkTracks() {
	p, running := w.route.progress, w.running()
	serves := w.route.exists && w.route.traffic.Incumbent == "" && !w.deleting && w.replicas > 0 && len(running) > 0
	if !serves || slices.Equal(running, []string{p.Incumbent}) || w.broken[p.Incumbent] {
		w.wrong = time.Time{}
		return
	}
	if w.wrong.IsZero() {
		w.wrong = w.now
	}
	if w.now.After(w.wrong.Add(rescueLimit)) {
		w.violated("users are on a workload that runs %s, and %s is the incumbent", strings.Join(running, " and "), p.Incumbent)
	}
}
