package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// Snapshot is all that a plan is made from.
type Snapshot struct {
	// Spec of the Rollout.
	Spec v1alpha1.RolloutSpec
	// Generation of that spec.
	Generation int64
	// Deleting says that the Rollout is being deleted.
	Deleting bool
	// Observation of the workload, its copies and the templates on record.
	workload.Observation
	// Route as the cluster holds it.
	Route Route
	// Verdict on the present step; nil while there is none.
	Verdict *analysis.Verdict
	// Measured is what the present step's tracks were seen to do; nil while nothing was.
	Measured *analysis.Measurement
	// MeasuredLate is the part of it that came after analysis.ShareGrace; nil before.
	MeasuredLate *analysis.Measurement
	// RestToRoot says that requests which a match leaves over go to the workload's pods, whatever the incumbent's track is.
	RestToRoot bool
	// Outage says why the metrics can't be had; empty while they can.
	Outage string
	// Obstacle says what else is in the way: a router that is not there or can't express a step, an analysis that makes no sense; nil when all is well.
	Obstacle *workload.Problem
	// Decisions that have no outcome yet, oldest first.
	Decisions []Decision
}

// Route is what the cluster holds of the route.
type Route struct {
	// Exists is false when there is none.
	Exists bool
	// Progress as it was written with the traffic; nil when there is none that can be read.
	Progress *Progress
	// Holds says whether the route asks for just this traffic.
	Holds func(Traffic) bool
	// WrittenAt is when its traffic or progress was last changed.
	WrittenAt time.Time
	// Taken says that the mesh has taken the route as it stands, TakenAt since when, Settles when it will have (zero when that
	// can't be known).
	Taken   bool
	TakenAt time.Time
	Settles time.Time
	// GoneSince is when the route was first seen to be gone, while the Rollout is being deleted.
	GoneSince time.Time
	// Foreign says who else writes the route; empty when nobody does.
	Foreign string
}

// Phase of a rollout, as the route remembers it.
type Phase string

// The phases.
const (
	// PhaseServing has all traffic on the incumbent's track.
	PhaseServing Phase = "Serving"
	// PhaseStep has the traffic of a step.
	PhaseStep Phase = "Step"
	// PhaseRolledBack has all traffic on the incumbent's track, because the candidate failed.
	PhaseRolledBack Phase = "RolledBack"
	// PhaseSetBack has all traffic on the incumbent's track, because the mesh did not do what a step asked
	// of it. The candidate is not to blame.
	PhaseSetBack Phase = "SetBack"
)

// Progress is how far a rollout is. It is written with the route, and it is the
// only memory.
type Progress struct {
	Phase Phase `json:"phase"`
	// Incumbent revision, and whether a copy (and not the workload) serves it.
	Incumbent string `json:"incumbent"`
	OnCopy    bool   `json:"onCopy,omitempty"`
	// Candidate revision: the one being tried, or that failed.
	Candidate string `json:"candidate,omitempty"`
	// Step is the index of the present step, or of the one in which the candidate failed.
	Step int `json:"step,omitempty"`
	// Unproven says that a step of the candidate that is analysed was left, or skipped, without a Pass: at its deadline, or because
	// somebody promoted it. IncumbentUnproven says the same of the incumbent, when it was the candidate.
	Unproven          bool `json:"unproven,omitempty"`
	IncumbentUnproven bool `json:"incumbentUnproven,omitempty"`
	// Retried is the revision that somebody wants tried once more, whatever its record says.
	Retried string `json:"retried,omitempty"`
	// Generation of the spec whose step was set back: another one is tried again.
	Generation int64 `json:"generation,omitempty"`
	// Reason says why the traffic was put so.
	Reason string `json:"reason,omitempty"`
	// Left is what analysis said of the step that this left; nil where it said nothing.
	Left *Left `json:"left,omitempty"`
	// Attempt counts the rollouts: the one that runs, or ran last. Tried is the revision that it tries; empty once it is over.
	Attempt int64  `json:"attempt,omitempty"`
	Tried   string `json:"tried,omitempty"`
	// Approvals of the present step.
	Approvals []Word `json:"approvals,omitempty"`
	// Paused is who keeps the rollout where it is; Hastened who has it go on whatever gate is closed. They are about the revision
	// that they name.
	Paused   *Word `json:"paused,omitempty"`
	Hastened *Word `json:"hastened,omitempty"`
	// Rested is how long the present step was paused, up to the end of the last pause: the deadline's clock stood still.
	Rested time.Duration `json:"rested,omitempty"`
	// Decided are the UIDs of decisions that are part of this, and whose outcome may not be reported yet.
	Decided []string `json:"decided,omitempty"`
	// Seen are the states of the Rollout and its workload that were looked at. A plan is not made from an older one:
	// the caches of each kind lag by their own time, and another controller may have acted meanwhile.
	Seen []Seen `json:"seen,omitempty"`
}

// Left is the last verdict on a step.
type Left struct {
	Outcome v1alpha1.Outcome `json:"outcome"`
	Message string           `json:"message,omitempty"`
}

// Seen is the state of an object: its generation counts the changes of its spec.
type Seen struct {
	UID        string `json:"uid"`
	Generation int64  `json:"generation"`
}

// Behind says whether one of the objects, as they are observed, is older than when the progress was written.
func (p Progress) Behind(now ...Seen) bool {
	return slices.ContainsFunc(now, func(n Seen) bool {
		return slices.ContainsFunc(p.Seen, func(then Seen) bool { return n.UID == then.UID && n.Generation < then.Generation })
	})
}

// ParseProgress reads what Progress.String wrote.
func ParseProgress(text string) (*Progress, error) {
	var p Progress
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("reading progress: %w", err)
	}
	switch p.Phase {
	case PhaseServing, PhaseStep, PhaseRolledBack, PhaseSetBack:
	default:
		return nil, fmt.Errorf("reading progress: unknown phase %q", p.Phase)
	}
	if p.Incumbent == "" || p.Step < 0 || (p.Phase == PhaseStep && p.Candidate == "") {
		return nil, fmt.Errorf("reading progress: incomplete %s", p.Phase)
	}
	if p.Phase == PhaseServing && p.Unproven {
		p.Unproven, p.IncumbentUnproven = false, true // As versions before wrote it.
	}
	return &p, nil
}

// String is the form in which progress is kept with the route.
func (p Progress) String() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(b)
}

// Traffic is a traffic state between two tracks. A track is named by its
// revision when it is a copy, and by the empty string when it is the workload.
type Traffic struct {
	// Incumbent is the incumbent's track.
	Incumbent string
	// Candidate is the candidate's track, always a copy; empty when there is none.
	Candidate string
	// Weight of the candidate out of Total.
	Weight, Total int32
	Match         []v1alpha1.RequestMatch
	// Shadow is the percentage of requests copied to the candidate.
	Shadow int32
}

// TrafficOf is the whole traffic state that a step of the rollout that runs asks for.
func (s *Snapshot) TrafficOf(step v1alpha1.Step) Traffic {
	t := Traffic{Total: s.total(), Match: step.Match}
	if progress := s.Route.Progress; s.Route.Exists && progress != nil {
		t.Candidate = progress.Candidate
		if progress.OnCopy {
			t.Incumbent = progress.Incumbent
		}
	}
	if step.Weight != nil {
		t.Weight = min(*step.Weight, t.Total)
	}
	if step.Shadow != nil {
		t.Shadow = *step.Shadow
	}
	return t
}

// total is what weights are out of.
func (s *Snapshot) total() int32 {
	if s.Spec.TotalWeight == 0 {
		return 100
	}
	return s.Spec.TotalWeight
}

// Reaches says whether the candidate gets any users' request, or a copy of one.
func (t Traffic) Reaches() bool {
	return t.Candidate != "" && (t.Weight > 0 || len(t.Match) > 0 || t.Shadow > 0)
}

// Mirrors says whether the candidate gets copies of requests, and nothing else.
func (t Traffic) Mirrors() bool {
	return t.Candidate != "" && t.Weight == 0 && len(t.Match) == 0 && t.Shadow > 0
}

// Share is the part of the users' requests, from 0 to 1, that the candidate should get; where it gets only copies, the part of
// them that should be copied to it. What a match takes isn't known before.
func (t Traffic) Share() float64 {
	if t.Mirrors() {
		return float64(t.Shadow) / 100
	}
	return float64(t.Weight) / float64(t.Total)
}
