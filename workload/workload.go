// Package workload is the port through which Weighlock runs two versions of a
// workload at once: hold, release, copy and scale. Its adapters are below it.
package workload

import (
	"context"
	"time"
)

// Adapter does with one kind of workload what a rollout needs. Reads come from caches. Writes are
// server-side applied under the field manager weighlock, and only when they differ.
// All writes are idempotent.
type Adapter interface {
	// Observe tells the state of the workload and its copies. A workload that does
	// not exist is a nil State.
	Observe(ctx context.Context, ref Reference) (*Observation, error)

	// Adopt labels the workload as held by the Rollout, restarting nothing.
	Adopt(ctx context.Context, ref Reference, state *State) error
	// Disown removes the labels that Adopt wrote. A reason, if given, is annotated: why it stays paused.
	Disown(ctx context.Context, ref Reference, state *State, reason string) error

	// Hold pauses the workload, Release lets it roll to its template. Both refuse (a conflict
	// error) when the workload is not the one that was looked at any more.
	Hold(ctx context.Context, ref Reference, state *State) error
	Release(ctx context.Context, ref Reference, state *State) error

	// Record keeps a template under its revision, and which commit brings it now; MarkFailed remembers why a revision was rolled back, and forgets it
	// again when the reason is empty; Forget drops records that are not among keep.
	Record(ctx context.Context, ref Reference, template Template) error
	MarkFailed(ctx context.Context, ref Reference, revision, reason string) error
	Forget(ctx context.Context, ref Reference, keep []string) error

	// Copy makes the copy that runs a recorded revision, and its track service.
	Copy(ctx context.Context, ref Reference, state *State, revision string, replicas int32) error
	// Scale sets the replicas of a copy; with an empty revision it raises those of the workload itself.
	Scale(ctx context.Context, ref Reference, revision string, replicas int32) error
	// DeleteCopy removes a copy and its track service.
	DeleteCopy(ctx context.Context, ref Reference, revision string) error

	// Guard keeps the workload's autoscaler from taking pods away, Unguard gives back what was there.
	Guard(ctx context.Context, ref Reference) error
	Unguard(ctx context.Context, ref Reference) error
	// Protect gives a copy an autoscaler, which only adds pods, and a disruption budget after those of the workload.
	Protect(ctx context.Context, ref Reference, revision string) error
	// Permit brings a copy's twins of network policies up to date.
	Permit(ctx context.Context, ref Reference, revision string) error

	// Inspect looks at what is not watched: config that changed in place since the copy was made, and further objects
	// that select the workload's pods and not the copy's. What it finds is kept on the copy, for Observe to tell.
	Inspect(ctx context.Context, ref Reference, revision string) error

	// Serve makes the track service of the workload itself; Unserve removes it.
	Serve(ctx context.Context, ref Reference, state *State) error
	Unserve(ctx context.Context, ref Reference) error
}

// Reference names a workload and for whom it is handled.
type Reference struct {
	// Namespace of all that is named here.
	Namespace string
	// Rollout is the name of the Rollout, UID its UID.
	Rollout, UID string
	// Name of the workload.
	Name string
	// TrackLabel chooses the selector's label that tells copies apart; empty for the default.
	TrackLabel string
	// Service is the root service, Port its port.
	Service string
	Port    int32
}

// Template is a pod template under its revision.
type Template struct {
	// Revision names the template: a short hash of it.
	Revision string
	// Content is the template as the API server returned it.
	Content map[string]any
	// Commit that brought it, and its author, where known.
	Commit, Author string
}

// Observation is all that was seen of a workload, its copies and records.
type Observation struct {
	// Workload is nil when there is none.
	Workload *State
	// Copies by revision.
	Copies map[string]*State
	// Records by revision.
	Records map[string]Record
	// HeldByAdmission says that a policy in the cluster pauses an adopted workload in the
	// write that changes its template.
	HeldByAdmission bool
	// Autoscaler of the workload; nil when it has none.
	Autoscaler *Autoscaler
	// Others are further objects that select the workload's pods, and not its copies', as Kind/name, sorted: they
	// don't apply to a candidate.
	Others []string
	// Problem says why the workload can't be handled as it is and what to do; empty when it can.
	Problem *Problem
}

// Autoscaler is what scales the workload.
type Autoscaler struct {
	Name string
	// Guarded says that Weighlock keeps it from taking pods away.
	Guarded bool
	// Window is how far it looks back before it takes pods away.
	Window time.Duration
}

// Problem is a reason not to go on, as a condition has it.
type Problem struct {
	// Reason is a condition's reason, such as WorkloadNotFound.
	Reason string
	// Message says what is wrong, where, and what to do.
	Message string
}

// ProblemError is a Problem that a write met: it doesn't go away by trying again.
type ProblemError struct {
	Problem Problem
}

func (e *ProblemError) Error() string { return e.Problem.Message }

// Record is a template that was kept.
type Record struct {
	Template
	// Failed says why the revision was rolled back; empty when it wasn't.
	Failed string
	// Number orders records: higher is newer.
	Number int64
}

// State is what was seen of the workload or of one copy.
type State struct {
	// Name of the object; Service is the track service's name.
	Name, Service string
	// UID and ResourceVersion of the object that was looked at; Generation counts the changes of its spec.
	UID, ResourceVersion string
	Generation           int64
	// Template is what the object's spec asks for. It is empty until the workload is adopted, because
	// caches hold others only in part. A copy's is given as the workload has it, before its labels were
	// changed; its revision is another than the copy's where somebody edited the copy.
	Template Template
	// Running are the revisions of the templates that its pods run, sorted: one where all
	// is well, more for a mix, none at zero.
	Running []string
	// Replicas asked for; Ready ones: available and known as endpoints of the track service (or only available, where
	// that service doesn't exist yet).
	Replicas, Ready int32
	// ReadySince is when each pod of a copy that is ready got so, oldest first.
	ReadySince []time.Time
	// Served says that the track service exists.
	Served bool
	// Rolled says that all pods run the template asked for, are available, and no others are left, nor endpoints of others.
	Rolled bool
	// Paused says that the object does not act on its template.
	Paused bool
	// Held says that Weighlock owns the pause, so that no other applier's next write can lift it. A workload
	// that the admission policy paused is Paused but not yet Held.
	Held bool
	// PausedBy is another manager that says whether the workload is paused; empty when there is none.
	PausedBy string
	// Adopted says that the labels and the claim are on it.
	Adopted bool
	// Deleting says that the object is on its way out.
	Deleting bool
	// Protected says that a copy has the autoscaler and the disruption budget that the workload has; Autoscaled that an
	// autoscaler of its own adds to its replicas.
	Protected, Autoscaled bool
	// Permitted says that a copy's twins of network policies are as they should be.
	Permitted bool
	// Changed are the ConfigMaps and Secrets that changed in place since the copy was made, as Kind/name, sorted.
	Changed []string
	// Stuck is why it makes no progress, past its progress deadline; empty while it does.
	Stuck string
}
