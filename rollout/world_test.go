package rollout_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/workload"
)

// world is a small cluster: a workload, its copies, a mesh and git. Actions are applied to it, time
// passes, pods get ready, and every action is held against what must never happen.
type world struct {
	spec v1alpha1.RolloutSpec
	// generation of the spec.
	generation int64

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
	// held says that the admission policy is in the cluster.
	held bool
	// demand is how many pods all traffic needs.
	demand int32
	scaler *autoscaler
	// started is what a paused workload starts when it is scaled from zero; empty for nothing.
	started string
	mesh    mesh
	// decisions that people made, and that have no outcome yet; said counts all, and outcomes what became of them.
	decisions []rollout.Decision
	said      int
	outcomes  map[string]rollout.Settle
	// acted are those that were acted on. What people said before since is of a rollout that is over: asked is when git began to
	// say what it says, or the oldest word then that was not heard, and seen what git said when Weighlock last took note.
	acted        map[string]bool
	asked, since time.Time
	seen         string
	// attempt is that of the last rollout that was seen in a step.
	attempt int64
	// wrong is since when the workload has had users' traffic on pods that are not the incumbent's.
	wrong time.Time
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
	// edited says that somebody changed its template.
	edited, protected bool
}

// autoscaler takes pods away by what it saw within a window, unless it is guarded.
type autoscaler struct {
	guarded bool
	// full is when the workload had all traffic on less than which it was sized last.
	shares []float64
}

// window of the autoscaler, in seconds.
const window = 60

// mesh is what is wrong with the mesh.
type mesh struct {
	// deaf is until when it takes no routes.
	deaf time.Time
	// crooked says that it sends the candidate more than it is asked to.
	crooked bool
	// foreign is who else wrote the route.
	foreign string
	// rival writes the route again and again until then.
	rival time.Time
	// reasserted is when the route was last written against somebody else.
	reasserted time.Time
}

const settle = 2 * time.Second

func newWorld(spec v1alpha1.RolloutSpec) *world {
	return &world{
		spec: spec, generation: 2, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), git: "a", replicas: 3,
		pods: map[string]int32{"a": 3}, copies: map[string]*copied{}, record: map[string]workload.Record{},
		bad: map[string]bool{}, thin: map[string]bool{}, broken: map[string]bool{}, failed: map[string]bool{},
		lastTraffic: map[string]time.Time{}, held: true, demand: 3, outcomes: map[string]rollout.Settle{}, acted: map[string]bool{},
	}
}

// template is a revision as the workload has it.
func template(revision string) workload.Template { return workload.Template{Revision: revision} }

// taken is when the mesh takes the route as it stands.
func (w *world) taken() time.Time {
	at := w.route.written.Add(settle)
	if at.Before(w.mesh.deaf) {
		return w.mesh.deaf
	}
	return at
}

// scale is what people do to the workload's replicas.
func (w *world) scale(replicas int32) { w.replicas, w.demand = replicas, replicas }

// commit changes the template, and the admission policy holds it.
func (w *world) commit(revision string) {
	if w.adopted && w.held && revision != w.git {
		w.paused, w.owned = true, w.owned && w.paused
	}
	if revision != w.git {
		w.asked = w.now
		for _, d := range w.decisions { // Nobody has heard them yet.
			w.asked = earlier(w.asked, d.At)
		}
	}
	w.git = revision
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
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
	s := rollout.Snapshot{Spec: w.spec, Generation: w.generation, Deleting: w.deleting, RestToRoot: true, Decisions: slices.Clone(w.decisions)}
	s.HeldByAdmission = w.held
	s.Records = w.record
	if w.scaler != nil {
		s.Autoscaler = &workload.Autoscaler{Name: "shop", Guarded: w.scaler.guarded, Window: window * time.Second}
	}
	asked := workload.Template{}
	if w.adopted {
		asked = template(w.git)
	}
	s.Workload = &workload.State{
		Name: "shop", Service: "shop-workload", Template: asked, Running: w.running(),
		Replicas: w.replicas, Ready: w.ready(), Served: w.served, Rolled: w.adopted && w.rolled(), Paused: w.paused, Held: w.owned, Adopted: w.adopted,
	}
	s.Copies = map[string]*workload.State{}
	for r, c := range w.copies {
		state := &workload.State{
			Name: "shop-" + r, Template: template(r), Running: []string{r}, Replicas: c.replicas, Ready: c.ready, Served: true,
			Protected: c.protected || w.scaler == nil, Autoscaled: c.protected && w.scaler != nil, Permitted: true,
		}
		if c.edited {
			state.Template, state.Running = template("edited"), []string{"edited"}
		}
		if w.broken[r] && c.age > 5 {
			state.Stuck = "progress deadline exceeded"
		}
		s.Copies[r] = state
	}
	if w.route.exists {
		progress := w.route.progress
		s.Route = rollout.Route{Exists: true, Progress: &progress, WrittenAt: w.route.written, Foreign: w.mesh.foreign}
		if s.Route.Taken = !w.now.Before(w.taken()); s.Route.Taken {
			s.Route.TakenAt = w.taken()
		}
		if w.taken().Equal(w.route.written.Add(settle)) {
			s.Route.Settles = w.taken()
		}
		s.Route.Holds = func(t rollout.Traffic) bool { return reflect.DeepEqual(t, w.route.traffic) }
	}
	s.Route.GoneSince = w.gone
	s.Verdict, s.Measured, s.MeasuredLate = w.verdict(), w.measured(0), w.measured(analysis.ShareGrace)
	return s
}

// measured is what the tracks did since some time after the mesh took the route, at 100 requests per second.
func (w *world) measured(after time.Duration) *analysis.Measurement {
	p, t := w.route.progress, w.route.traffic
	if !w.route.exists || p.Phase != rollout.PhaseStep || !w.now.After(w.taken().Add(after)) || w.replicas == 0 {
		return nil
	}
	share := float64(t.Weight) / float64(t.Total)
	switch {
	case t.Mirrors():
		share = float64(t.Shadow) / 100
	case len(t.Match) > 0:
		share = 0.1
	}
	if w.mesh.crooked {
		share = 1
	}
	all := 100 * w.now.Sub(w.taken().Add(after)).Seconds()
	m := &analysis.Measurement{Mirrored: t.Mirrors()}
	m.Candidate.Requests, m.Incumbent.Requests = all*share, all*(1-share)
	if t.Mirrors() {
		m.Incumbent.Requests = all
	}
	return m
}

func (w *world) verdict() *analysis.Verdict {
	p := w.route.progress
	taken := w.taken()
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
		if a.Reason == "" {
			w.failed[a.Revision] = false
		}
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
		w.copies[a.Revision].replicas, w.copies[a.Revision].edited = a.Replicas, false
	case rollout.Scale:
		w.resized(a)
	case rollout.Guard:
		w.scaler.guarded = true
	case rollout.Unguard:
		w.scaler.guarded = false
	case rollout.Protect:
		w.copies[a.Revision].protected = true
	case rollout.DeleteCopy:
		w.checkUnused(a.Revision)
		delete(w.copies, a.Revision)
	case rollout.SetRoute:
		w.checkRoute(a)
		w.route.exists, w.route.traffic, w.route.progress, w.route.written = true, a.Traffic, a.Progress, w.now
		w.mesh.foreign = ""
		w.events = append(w.events, a.Event)
	case rollout.Note:
		w.checkNote(a)
		w.route.progress = a.Progress
	case rollout.Settle:
		w.settle(a)
	case rollout.ReleaseRoute:
		w.route.exists, w.gone = false, w.now
	case rollout.Finish:
		w.finished = true
	}
}

func (w *world) resized(a rollout.Scale) {
	if a.Revision == "" {
		w.coming += max(0, a.Replicas-w.replicas)
		w.pods[w.git] += max(0, a.Replicas-w.replicas)
		w.replicas = max(w.replicas, a.Replicas)
		return
	}
	c := w.copies[a.Revision]
	c.replicas, c.ready = a.Replicas, min(c.ready, a.Replicas)
}

// decide is what somebody says of the present step; change makes it another decision.
func (w *world) decide(verb v1alpha1.DecisionVerb, actor string, change ...func(*rollout.Decision)) string {
	w.said++
	d := rollout.Decision{Name: fmt.Sprintf("%s-%d", verb, w.said), UID: fmt.Sprintf("uid-%d", w.said), At: w.now}
	d.Verb, d.Actor, d.Via, d.Revision = verb, actor, "kubectl", w.git
	if w.route.progress.Phase == rollout.PhaseStep {
		d.Revision, d.Step = w.route.progress.Candidate, new(int32(w.route.progress.Step))
	}
	for _, c := range change {
		c(&d)
	}
	w.decisions = append(w.decisions, d)
	w.log = append(w.log, fmt.Sprintf("# %s of %s %s by %s", d.Name, d.Revision, verb, actor))
	return d.Name
}

// settle takes note of what became of a decision.
func (w *world) settle(a rollout.Settle) {
	if before, settled := w.outcomes[a.Decision.Name]; settled {
		w.violated("%s was settled already: %s", a.Decision.Name, before)
	}
	w.outcomes[a.Decision.Name] = a
	w.decisions = slices.DeleteFunc(w.decisions, func(d rollout.Decision) bool { return d.Name == a.Decision.Name })
	if a.Event != "" {
		w.events = append(w.events, a.Event)
	}
}
