package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RolloutStatus is what Weighlock reports. It is a report only: progress is read from
// the cluster.
type RolloutStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// state is what the Rollout is doing, in a word.
	// +optional
	State State `json:"state,omitempty"`

	// waitingFor is what must happen next, in a few words.
	// +optional
	WaitingFor string `json:"waitingFor,omitempty"`

	// incumbent is the revision that serves users and is known good.
	// +optional
	Incumbent *RevisionStatus `json:"incumbent,omitempty"`

	// candidate is the revision being tried, or the last one that failed.
	// +optional
	Candidate *RevisionStatus `json:"candidate,omitempty"`

	// step is where the rollout stands.
	// +optional
	Step *StepStatus `json:"step,omitempty"`

	// traffic is what was asked of the mesh, and what was measured.
	// +optional
	Traffic *TrafficStatus `json:"traffic,omitempty"`

	// verdict is what analysis says of the step.
	// +optional
	Verdict *VerdictStatus `json:"verdict,omitempty"`

	// attempt counts the rollouts of this workload: the one that runs, or ran last.
	// +optional
	Attempt int64 `json:"attempt,omitempty"`

	// gates of the present step: what must be true to leave it.
	// +listType=map
	// +listMapKey=name
	// +optional
	Gates []GateStatus `json:"gates,omitempty"`

	// approval is what the present step's approval gate has, and lacks.
	// +optional
	Approval *ApprovalStatus `json:"approval,omitempty"`

	// paused is who keeps the rollout where it is.
	// +optional
	Paused *Voice `json:"paused,omitempty"`

	// threads are where people were told of the rollout that runs, or ran last.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=sink
	// +optional
	Threads []Thread `json:"threads,omitempty"`

	// analysisHistory tells of the steps of the last rollout: what was asked, since when, and the verdict on leaving. The present step is the
	// last one.
	// +kubebuilder:validation:MaxItems=50
	// +listType=atomic
	// +optional
	AnalysisHistory []AnalysisRecord `json:"analysisHistory,omitempty"`

	// hold says how the workload is held: Admission (a policy pauses it in the write that
	// changes its template) or Always (no such policy in the cluster: it stays paused).
	// +optional
	Hold HoldMode `json:"hold,omitempty"`

	// warnings are what people should know while the rollout goes on, such as a ConfigMap that changed in place.
	// +listType=atomic
	// +optional
	Warnings []string `json:"warnings,omitempty"`

	// alsoSelecting are further objects that select the workload's pods, as Kind/name. They don't apply to a candidate.
	// +listType=atomic
	// +optional
	AlsoSelecting []string `json:"alsoSelecting,omitempty"`

	// conditions are Ready, Reconciling and Stalled, as kstatus has them.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// State is what a Rollout is doing, in a word.
//
// +kubebuilder:validation:Enum=Adopting;Idle;Starting;Progressing;Waiting;Paused;Promoting;RollingBack;RolledBack;Stalled;Suspended;Deleting
type State string

// The states of a Rollout.
const (
	StateAdopting    State = "Adopting"
	StateIdle        State = "Idle"
	StateStarting    State = "Starting"
	StateProgressing State = "Progressing"
	StateWaiting     State = "Waiting"
	StatePaused      State = "Paused"
	StatePromoting   State = "Promoting"
	StateRollingBack State = "RollingBack"
	StateRolledBack  State = "RolledBack"
	StateStalled     State = "Stalled"
	StateSuspended   State = "Suspended"
	StateDeleting    State = "Deleting"
)

// HoldMode is how a workload is held.
//
// +kubebuilder:validation:Enum=Admission;Always
type HoldMode string

// The hold modes.
const (
	HoldAdmission HoldMode = "Admission"
	HoldAlways    HoldMode = "Always"
)

// RevisionStatus tells of one revision.
type RevisionStatus struct {
	// revision names the pod template.
	// +required
	Revision string `json:"revision"`

	// track is the Deployment that runs it.
	// +optional
	Track string `json:"track,omitempty"`

	// replicas that are asked for.
	// +optional
	Replicas int32 `json:"replicas"`

	// ready replicas: available, and known as endpoints.
	// +optional
	Ready int32 `json:"ready"`

	// commit that brought the revision.
	// +optional
	Commit string `json:"commit,omitempty"`

	// author of that commit.
	// +optional
	Author string `json:"author,omitempty"`

	// failed says why the revision was rolled back.
	// +optional
	Failed string `json:"failed,omitempty"`

	// unproven says that a step of it that is analysed was left, or skipped, without a Pass: at its deadline (onDeadline: Proceed), or
	// because somebody promoted it.
	// +optional
	Unproven bool `json:"unproven,omitempty"`
}

// StepStatus tells where the rollout stands.
type StepStatus struct {
	// index of the step in spec.steps, from 0.
	// +required
	Index int32 `json:"index"`

	// position for people, such as 2/5.
	// +optional
	Position string `json:"position,omitempty"`

	// name of the step.
	// +optional
	Name string `json:"name,omitempty"`

	// since is when the mesh had taken the step's traffic.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// TrafficStatus tells what the mesh was asked for, and what was measured.
type TrafficStatus struct {
	// asked share of the candidate, such as 5% or 5% + match.
	// +optional
	Asked string `json:"asked,omitempty"`

	// measured share of the candidate, such as 4.8%, since the step began.
	// +optional
	Measured string `json:"measured,omitempty"`

	// taken says whether the mesh has taken what was asked.
	// +optional
	Taken bool `json:"taken"`
}

// Outcome is what analysis says.
//
// +kubebuilder:validation:Enum=Pass;Fail;Inconclusive
type Outcome string

// The outcomes of an analysis.
const (
	OutcomePass         Outcome = "Pass"
	OutcomeFail         Outcome = "Fail"
	OutcomeInconclusive Outcome = "Inconclusive"
)

// VerdictStatus tells what analysis says of the step.
type VerdictStatus struct {
	// outcome of the analysis so far.
	// +required
	Outcome Outcome `json:"outcome"`

	// message says why, in a sentence.
	// +optional
	Message string `json:"message,omitempty"`

	// metrics tell of each metric.
	// +listType=map
	// +listMapKey=name
	// +optional
	Metrics []MetricStatus `json:"metrics,omitempty"`
}

// MetricStatus tells what analysis says of one metric.
type MetricStatus struct {
	// name of the metric: errors, latency, or that of one of the Rollout's or of its templates' metrics.
	// +required
	Name string `json:"name"`

	// outcome of the metric so far.
	// +required
	Outcome Outcome `json:"outcome"`

	// dryRun says that nothing is decided by it.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`

	// message says why, in a sentence.
	// +optional
	Message string `json:"message,omitempty"`

	// incumbent is what was measured of it, such as 0.1% or p99 118 ms; empty where nothing was.
	// +optional
	Incumbent string `json:"incumbent,omitempty"`

	// candidate is what was measured of it.
	// +optional
	Candidate string `json:"candidate,omitempty"`
}

// AnalysisRecord tells of one step of a rollout.
type AnalysisRecord struct {
	// candidate is the revision that was tried.
	// +required
	Candidate string `json:"candidate"`

	// step is its index in spec.steps, from 0.
	// +required
	Step int32 `json:"step"`

	// name of the step.
	// +optional
	Name string `json:"name,omitempty"`

	// traffic is what was asked of the mesh, such as 5%.
	// +optional
	Traffic string `json:"traffic,omitempty"`

	// since is when the mesh had taken the step's traffic, to the microsecond.
	// +required
	Since metav1.MicroTime `json:"since"`

	// until is when the step was left. The present one has none.
	// +optional
	Until *metav1.MicroTime `json:"until,omitempty"`

	// outcome of the analysis, when it was left.
	// +optional
	Outcome Outcome `json:"outcome,omitempty"`

	// message says why, in a sentence.
	// +optional
	Message string `json:"message,omitempty"`
}

// Condition types of Rollouts and GitSources, as kstatus has them.
const (
	ConditionReady       = "Ready"
	ConditionReconciling = "Reconciling"
	ConditionStalled     = "Stalled"
)

// GetConditions returns the conditions of the Rollout.
func (r *Rollout) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions replaces the conditions of the Rollout.
func (r *Rollout) SetConditions(conditions []metav1.Condition) { r.Status.Conditions = conditions }
