package rollout

import (
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// Plan is what comes next.
type Plan struct {
	// Actions in the order in which they are done; the first that fails ends them.
	Actions []Action
	// Status to report. Its conditions are the controller's business.
	Status v1alpha1.RolloutStatus
	// Reason is a word for a condition, Why a sentence for people.
	Reason, Why string
	// Stalled says that only a change from outside gets the Rollout further.
	Stalled bool
	// Again is when to plan again if nothing changes before; zero for never.
	Again time.Time
	// Weigh says that the present step's verdict is wanted, since the route was taken.
	Weigh bool

	// tries is the revision that is tried from now on, empty when none is any more; nil where that stays as it is.
	tries *string
}

// policy makes a plan where it has a say, and nil where it has none.
type policy func(*view) *Plan

// policies in the order in which they are tried: what lowers risk comes first.
var policies = []policy{
	finalize,  // the Rollout is being deleted
	relabel,   // the workload lost its labels
	revert,    // git is back at the incumbent
	supersede, // git has something newer than the candidate
	rollback,  // the candidate is bad, or never got ready
	setBack,   // the mesh does not do what the step asks of it
	retry,     // somebody wants a revision that failed tried once more
	mend,      // the candidate's copy is not what was made
	stalled,   // something outside must change first
	adopt,     // first look, or the route is gone
	atZero,    // people scaled the workload to nothing
	natively,  // the workload was rolled out past its steps
	rescue,    // the workload's pods are not the incumbent's any more
	reassert,  // the route does not ask for what it should
	untaken,   // the mesh has not taken the route for too long
	reunite,   // after a promotion: bring the workload up to the copy
	start,     // a new template: copy it, enter the first step
	advance,   // the step's gates; the next step or the promotion
	idle,      // nothing to do
}

// PlanFor makes the plan for a snapshot at a time. It is pure: the same snapshot and time
// always give the same plan.
func PlanFor(s Snapshot, now time.Time) Plan {
	v := newView(s, now)
	v.hear()
	plan := v.decide()
	v.absorb(plan)
	v.tidy(plan)
	v.remember(plan)
	v.carry(plan)
	v.weigh(plan)
	v.foretell(plan)
	v.report(plan)
	return *plan
}

// decide is the plan of the first policy that has a say.
func (v *view) decide() *Plan {
	for _, p := range policies {
		if plan := p(v); plan != nil {
			return plan
		}
	}
	panic("unreachable: idle always has a say")
}

// view is a snapshot with what follows from it.
type view struct {
	Snapshot
	now time.Time
	// progress is the zero value when there is none.
	progress Progress
	// want is the revision that the workload's template asks for.
	want string
	// incumbent's track; nil when it is gone.
	incumbent *workload.State
	// candidate's copy: of the revision wanted, or in a step of the one being tried; nil when there is none.
	candidate *workload.State
	heard     heard
}

func newView(s Snapshot, now time.Time) *view {
	v := &view{Snapshot: s, now: now}
	if s.Route.Exists && s.Route.Progress != nil {
		v.progress = *s.Route.Progress
	}
	if s.Workload != nil {
		v.want = s.Workload.Template.Revision
	}
	v.incumbent = v.track(v.incumbentTrack())
	if v.progress.Phase == PhaseStep {
		v.candidate = v.Copies[v.progress.Candidate]
	} else if v.want != v.progress.Incumbent {
		v.candidate = v.Copies[v.want]
	}
	return v
}

// incumbentTrack names the track that serves the incumbent.
func (v *view) incumbentTrack() string {
	if v.progress.OnCopy {
		return v.progress.Incumbent
	}
	return ""
}

// track finds a track by its name; nil when it is not there.
func (v *view) track(name string) *workload.State {
	if name == "" {
		return v.Workload
	}
	return v.Copies[name]
}

// size is how many pods all traffic needs: as many as the workload has, or as the autoscaler of the copy that
// serves has made. At zero there are none: that is people's emergency stop, and copies follow it.
func (v *view) size() int32 {
	if v.Workload == nil {
		return 1
	}
	n := v.Workload.Replicas
	if n > 0 && v.progress.OnCopy && v.incumbent != nil && v.incumbent.Autoscaled {
		n = max(n, v.incumbent.Replicas)
	}
	return n
}

// resize is the write that brings a copy to a size, where it needs one. A copy with an autoscaler of its own
// only grows, unless to zero.
func resize(revision string, track *workload.State, size int32) []Action {
	if track == nil || track.Replicas == size || (track.Autoscaled && track.Replicas > size && size > 0) {
		return nil
	}
	return []Action{Scale{Revision: revision, Replicas: size}}
}

func (v *view) abortDelay() time.Duration {
	if v.Spec.AbortDelay == nil {
		return 30 * time.Second
	}
	return v.Spec.AbortDelay.Duration
}

// drained says whether tracks that the route leaves out have had time to drain; if not, it is
// noted when to look again.
func (v *view) drained(p *Plan) bool {
	if !v.settled(p) {
		return false
	}
	return v.reached(p, v.Route.TakenAt.Add(v.abortDelay()))
}

// settled says whether the mesh has taken the route; if not, it is noted when to look again.
func (v *view) settled(p *Plan) bool {
	if !v.Route.Taken {
		again(p, v.Route.Settles)
	}
	return v.Route.Taken
}

// reached says whether a time has come; if not, it is noted to look again then.
func (v *view) reached(p *Plan, at time.Time) bool {
	if v.now.Before(at) {
		again(p, at)
		return false
	}
	return true
}

// again brings the time of the next plan forward.
func again(p *Plan, at time.Time) {
	if !at.IsZero() && (p.Again.IsZero() || at.Before(p.Again)) {
		p.Again = at
	}
}

// serve is the write that puts all traffic on the incumbent's track as it is now.
func (v *view) serve(event, reason string) SetRoute {
	return SetRoute{
		Traffic: Traffic{Incumbent: v.incumbentTrack(), Total: v.total()},
		Progress: Progress{
			Phase: PhaseServing, Incumbent: v.progress.Incumbent, OnCopy: v.progress.OnCopy, IncumbentUnproven: v.progress.IncumbentUnproven, Reason: reason,
		},
		Event: event,
	}
}

// targetReady says whether the incumbent's track can take all traffic. It asks for one ready pod
// only: whoever is rolled back to has served until now, and waiting for more would keep users
// on a bad version. At zero there is nobody to serve.
func (v *view) targetReady() bool {
	return v.incumbent != nil && (v.incumbent.Ready > 0 || v.size() == 0)
}

// doing makes a plan with actions.
func doing(state v1alpha1.State, reason, why string, actions ...Action) *Plan {
	return &Plan{Actions: actions, Reason: reason, Why: why, Status: v1alpha1.RolloutStatus{State: state}}
}

// waiting makes a plan that waits for something.
func waiting(state v1alpha1.State, reason, why, for_ string) *Plan {
	p := doing(state, reason, why)
	p.Status.WaitingFor = for_
	return p
}
