package rollout_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/workload"
)

// world is a small cluster: a workload, its copies, a mesh and git. Actions are applied to it, time
// passes, pods get ready, and every action is held against what must never happen.
type world struct {
	spec     v1alpha1.RolloutSpec
	now      time.Time
	deleting bool
	gone     time.Time
	// git is the revision that git says.
	git      string
	adopted  bool
	left     string
	served   bool
	paused   bool
	owned    bool // the pause is Weighlock's own.
	replicas int32
	// pods of the workload by revision, all ready but those that are coming.
	pods   map[string]int32
	coming int32
	copies map[string]*copied
	record map[string]workload.Record
	route  struct {
		exists   bool
		traffic  rollout.Traffic
		progress rollout.Progress
		written  time.Time
	}
	// bad revisions get a Fail, thin ones never a verdict, broken ones are never ready.
	bad, thin, broken map[string]bool
	// failed revisions were rolled back.
	failed map[string]bool
	// last time that a track had traffic.
	lastTraffic map[string]time.Time
	finished    bool
	note        string
	log         []string
	violations  []string
	events      []string
}

type copied struct {
	replicas, ready int32
	age             int
}

const settle = 2 * time.Second

func newWorld(spec v1alpha1.RolloutSpec) *world {
	return &world{
		spec: spec, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), git: "a", replicas: 3,
		pods: map[string]int32{"a": 3}, copies: map[string]*copied{}, record: map[string]workload.Record{},
		bad: map[string]bool{}, thin: map[string]bool{}, broken: map[string]bool{}, failed: map[string]bool{},
		lastTraffic: map[string]time.Time{},
	}
}

// commit changes the template, and the admission policy holds it.
func (w *world) commit(revision string) {
	if w.adopted && revision != w.git {
		w.paused, w.owned = true, w.owned && w.paused
	}
	w.git = revision
}

func (w *world) running() []string {
	var revisions []string
	for r, n := range w.pods {
		if n > 0 {
			revisions = append(revisions, r)
		}
	}
	slices.Sort(revisions)
	return revisions
}

func (w *world) ready() int32 {
	var n int32
	for _, p := range w.pods {
		n += p
	}
	return max(0, n-w.coming)
}

func (w *world) rolled() bool {
	return w.coming == 0 && w.ready() == w.replicas && (w.replicas == 0 || w.pods[w.git] == w.replicas) && len(w.running()) <= 1
}

func (w *world) snapshot() rollout.Snapshot {
	s := rollout.Snapshot{Spec: w.spec, Deleting: w.deleting}
	s.HeldByAdmission = true
	s.Records = w.record
	template := workload.Template{}
	if w.adopted {
		template.Revision = w.git
	}
	s.Workload = &workload.State{
		Name: "shop", Service: "shop-workload", Template: template, Running: w.running(),
		Replicas: w.replicas, Ready: w.ready(), Served: w.served, Rolled: w.adopted && w.rolled(), Paused: w.paused, Held: w.owned, Adopted: w.adopted,
	}
	s.Copies = map[string]*workload.State{}
	for r, c := range w.copies {
		state := &workload.State{Name: "shop-" + r, Template: workload.Template{Revision: r}, Running: []string{r}, Replicas: c.replicas, Ready: c.ready, Served: true}
		if w.broken[r] && c.age > 5 {
			state.Stuck = "progress deadline exceeded"
		}
		s.Copies[r] = state
	}
	if w.route.exists {
		progress := w.route.progress
		s.Route = rollout.Route{Exists: true, Progress: &progress, TakenAt: w.route.written.Add(settle)}
		s.Route.Taken = !w.now.Before(s.Route.TakenAt)
		s.Route.Settles = s.Route.TakenAt
		s.Route.Holds = func(t rollout.Traffic) bool { return reflect.DeepEqual(t, w.route.traffic) }
	}
	s.Route.GoneSince = w.gone
	s.Verdict = w.verdict()
	return s
}

func (w *world) verdict() *analysis.Verdict {
	p := w.route.progress
	taken := w.route.written.Add(settle)
	if !w.route.exists || p.Phase != rollout.PhaseStep || w.now.Before(taken.Add(5*time.Second)) {
		return nil
	}
	switch {
	case w.bad[p.Candidate]:
		return &analysis.Verdict{Outcome: v1alpha1.OutcomeFail, Message: "5% errors"}
	case w.thin[p.Candidate] || w.now.Before(taken.Add(10*time.Second)):
		return &analysis.Verdict{Outcome: v1alpha1.OutcomeInconclusive, Message: "80 requests more"}
	default:
		return &analysis.Verdict{Outcome: v1alpha1.OutcomePass, Message: "no errors"}
	}
}

// tick lets a second pass: one pod gets ready or is replaced.
func (w *world) tick() {
	w.now = w.now.Add(time.Second)
	for _, r := range slices.Sorted(maps.Keys(w.copies)) {
		c := w.copies[r]
		c.age++
		if c.ready < c.replicas && !w.broken[r] {
			c.ready++
		}
		c.ready = min(c.ready, c.replicas)
		if w.route.exists && (w.route.traffic.Incumbent == r || (w.route.traffic.Candidate == r && w.route.traffic.Reaches())) {
			w.lastTraffic[r] = w.now
		}
	}
	if w.route.exists && w.route.traffic.Incumbent == "" {
		w.lastTraffic[""] = w.now
	}
	switch {
	case w.coming > 0:
		w.coming--
	case w.paused && len(w.running()) > 1:
	case w.paused:
		w.resize()
	default:
		w.roll()
	}
}

// resize brings a paused workload to its size, of the revision that it runs.
func (w *world) resize() {
	running := w.git
	if r := w.running(); len(r) == 1 {
		running = r[0]
	}
	if have := w.pods[running]; have < w.replicas {
		w.coming = w.replicas - have
	}
	w.pods = map[string]int32{running: w.replicas}
}

// roll replaces one pod by one of the template.
func (w *world) roll() {
	for _, r := range w.running() {
		if r == w.git {
			continue
		}
		w.pods[r]--
		w.pods[w.git]++
		w.coming = 1
		return
	}
	w.resize()
}

// apply does one action, and checks it.
func (w *world) apply(a rollout.Action) {
	w.log = append(w.log, fmt.Sprintf("%4.0fs  %s", w.now.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds(), a))
	switch a := a.(type) {
	case rollout.Adopt:
		w.adopted = true
	case rollout.Disown:
		w.adopted, w.left = false, a.Reason
	case rollout.Hold:
		w.paused, w.owned = true, true
	case rollout.Release:
		w.checkRelease()
		w.paused, w.owned = false, false
	case rollout.Record:
		w.record[a.Template.Revision] = workload.Record{Template: a.Template, Number: int64(len(w.record) + 1)}
	case rollout.MarkFailed:
		r := w.record[a.Revision]
		r.Failed = a.Reason
		w.record[a.Revision] = r
	case rollout.Forget:
		maps.DeleteFunc(w.record, func(r string, _ workload.Record) bool { return !slices.Contains(a.Keep, r) })
	case rollout.Serve:
		w.served = true
	case rollout.Unserve:
		w.checkUnused("")
		w.served = false
	case rollout.Copy:
		if w.copies[a.Revision] == nil {
			w.copies[a.Revision] = &copied{}
		}
		w.copies[a.Revision].replicas = a.Replicas
	case rollout.Scale:
		w.copies[a.Revision].replicas = a.Replicas
		w.copies[a.Revision].ready = min(w.copies[a.Revision].ready, a.Replicas)
	case rollout.DeleteCopy:
		w.checkUnused(a.Revision)
		delete(w.copies, a.Revision)
	case rollout.SetRoute:
		w.checkRoute(a)
		w.route.exists, w.route.traffic, w.route.progress, w.route.written = true, a.Traffic, a.Progress, w.now
		w.events = append(w.events, a.Event)
	case rollout.ReleaseRoute:
		w.route.exists, w.gone = false, w.now
	case rollout.Finish:
		w.finished = true
	}
}

func (w *world) violated(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...)+"\n"+strings.Join(w.log, "\n"))
}

// checkRoute holds a change of traffic against what must be true for it.
func (w *world) checkRoute(a rollout.SetRoute) {
	t, was := a.Traffic, w.route.progress
	if t.Weight < 0 || t.Weight > t.Total {
		w.violated("weights do not sum up: %s", t)
	}
	if ready := w.trackReady(t.Incumbent); ready == 0 && w.replicas > 0 && (!w.route.exists || w.route.traffic.Incumbent != t.Incumbent || t.Weight < w.route.traffic.Weight) {
		w.violated("traffic to a track that is not ready: %s", t)
	}
	if t.Reaches() && w.trackReady(t.Candidate) == 0 {
		w.violated("traffic to a candidate that is not ready: %s", t)
	}
	if t.Reaches() && w.failed[t.Candidate] {
		w.violated("a failed revision serves again: %s", t)
	}
	if a.Progress.Phase == rollout.PhaseRolledBack {
		w.failed[a.Progress.Candidate] = true
		return
	}
	if !w.route.exists {
		return
	}
	promoted := a.Progress.OnCopy && a.Progress.Incumbent == was.Candidate && was.Phase == rollout.PhaseStep
	entered := a.Progress.Phase == rollout.PhaseStep
	switch {
	case entered && was.Phase == rollout.PhaseStep && a.Progress.Step == was.Step && a.Progress.Candidate == was.Candidate:
		return // written again
	case entered && was.Phase == rollout.PhaseStep && (a.Progress.Step != was.Step+1 || a.Progress.Candidate != was.Candidate),
		entered && was.Phase != rollout.PhaseStep && a.Progress.Step != 0,
		promoted && was.Step != len(w.spec.Steps)-1:
		w.violated("steps out of order: from %s to %s", was, a.Progress)
	}
	if (entered && was.Phase == rollout.PhaseStep) || promoted {
		w.checkGates(was)
	}
	if promoted && w.trackReady(t.Incumbent) < w.replicas {
		w.violated("promoted with %d of %d pods", w.trackReady(t.Incumbent), w.replicas)
	}
}

func (w *world) checkGates(was rollout.Progress) {
	step := w.spec.Steps[was.Step]
	taken := w.route.written.Add(settle)
	if step.Hold != nil && w.now.Before(taken.Add(step.Hold.Duration)) {
		w.violated("step %d left before its hold was over", was.Step)
	}
	reaches := w.route.traffic.Reaches()
	proceeds := step.OnDeadline == v1alpha1.DeadlineProceed && !w.now.Before(taken.Add(step.Deadline.Duration))
	if v := w.verdict(); w.spec.Analysis != nil && reaches && !proceeds && (v == nil || v.Outcome != v1alpha1.OutcomePass) {
		w.violated("step %d left without a Pass", was.Step)
	}
	if step.Approval != nil {
		w.violated("step %d left without approval", was.Step)
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
	if c := w.copies[p.Incumbent]; p.OnCopy && (c == nil || c.replicas < max(w.replicas, 1)) {
		w.violated("the incumbent's copy is smaller than the workload")
	}
}
