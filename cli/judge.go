package cli

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// goal is what status waits for.
type goal struct {
	// what is promoted, healthy, approval or step; empty asks how things are, and waits for nothing.
	what string
	// step is the number of the step, from 1, or its name.
	step string
	// revision and commit name the version that is meant, by their beginnings. Without both, it is whatever is under way.
	revision, commit string
	// patient waits also while a person is asked, and early for what is still to begin.
	patient, early bool
}

// The goals.
const (
	goalPromoted = "promoted"
	goalHealthy  = "healthy"
	goalApproval = "approval"
	goalStep     = "step"
)

// judge tells how far a Rollout is from a goal. It remembers which candidate it saw, so that one that is withdrawn isn't taken
// for one that is promoted.
type judge struct {
	goal
	// seen is the revision that is meant, once it was seen; live says that it served then.
	seen string
	live bool
	// instead says why another commit is meant in the place of the one that was asked about; empty where none is. brought is the
	// template that the workload had by that one, once that was seen.
	instead string
	brought *corev1.PodTemplateSpec
	// kept gives what is on record, as far as the user may see it; nil for nothing.
	kept func() memory
}

// ruling is what a judge says: what is so, and the code to exit with, when that is final or nothing is waited for.
type ruling struct {
	final bool
	code  int
	say   string
}

func final(code int, format string, args ...any) ruling {
	return ruling{final: true, code: code, say: fmt.Sprintf(format, args...)}
}

func notYet(format string, args ...any) ruling { return ruling{say: fmt.Sprintf(format, args...)} }

// rule looks at a Rollout, and at its workload where that may be seen.
func (j *judge) rule(r *v1alpha1.Rollout, workload *appsv1.Deployment) ruling {
	ruled := j.look(r, workload)
	if j.instead != "" {
		ruled.say = j.instead + ": " + ruled.say
	}
	return ruled
}

func (j *judge) look(r *v1alpha1.Rollout, workload *appsv1.Deployment) ruling {
	if r.DeletionTimestamp != nil {
		return final(ExitError, "is being deleted")
	}
	if _, err := stepIndex(r, j.step); j.what == goalStep && err != nil {
		return final(ExitError, "there is no step %s any more: its spec was changed", j.step)
	}
	if why := unobserved(r); why != "" && r.Status.State == "" {
		return ruling{code: ExitError, say: "it can't be looked at: " + why}
	}
	if why := behind(r, workload); why != "" {
		return notYet("%s", why)
	}
	named := j.revision != "" || j.commit != ""
	incumbent, candidate := r.Status.Incumbent, r.Status.Candidate
	switch {
	case incumbent == nil && r.Status.State == v1alpha1.StateStalled && !j.early:
		return final(ExitError, "stalled: %s", stalledMessage(r))
	case incumbent == nil && r.Status.State == v1alpha1.StateStalled:
		// What it lacks may have been applied after it.
		return notYet("stalled: %s", stalledMessage(r))
	case incumbent == nil:
		return notYet("%s", waits(r))
	case candidate != nil && (!named || j.means(candidate)):
		j.seen, j.live = candidate.Revision, false
		return j.underWay(r, candidate)
	case named && j.means(incumbent):
		j.seen, j.live = incumbent.Revision, true
		return j.serving(r, incumbent)
	case !named && (j.seen == "" || j.seen == incumbent.Revision):
		return j.serving(r, incumbent)
	case j.seen != "" && candidate != nil:
		return final(ExitError, "%s was superseded by %s", j.seen, candidate.Revision)
	case j.live:
		return final(ExitError, "%s was superseded by %s", j.seen, incumbent.Revision)
	case j.seen != "":
		return final(ExitRolledBack, "%s was withdrawn: all traffic is on %s", j.seen, incumbent.Revision)
	}
	return j.past(r)
}

// named is what the goal calls the version.
func (j *judge) named() string {
	var names []string
	if j.revision != "" {
		names = append(names, "revision "+j.revision)
	}
	if j.commit != "" {
		names = append(names, "commit "+j.commit)
	}
	return strings.Join(names, " of ")
}

// means says whether the goal names that revision.
func (j *judge) means(r *v1alpha1.RevisionStatus) bool {
	if j.seen != "" {
		// Another commit may have changed the workload meanwhile, and not its template.
		return j.seen == r.Revision
	}
	return (j.revision == "" || isNamed(r, j.revision)) && (j.commit == "" || isCommit(r, j.commit))
}

// behind says why the status doesn't tell of the newest version yet; empty where it does.
func behind(r *v1alpha1.Rollout, workload *appsv1.Deployment) string {
	switch {
	case r.Status.State == "":
		return "nothing has looked at it yet"
	case r.Status.ObservedGeneration != r.Generation:
		return "its spec changed, and was not looked at yet"
	case r.Status.State == v1alpha1.StateIdle && r.Status.Hold == v1alpha1.HoldAdmission && workload != nil && workload.Spec.Paused:
		// The write that changed the template held the workload.
		return "a new version is there, and was not looked at yet"
	}
	return ""
}

// underWay rules on a candidate.
func (j *judge) underWay(r *v1alpha1.Rollout, candidate *v1alpha1.RevisionStatus) ruling {
	state, stalled := r.Status.State, stalledMessage(r)
	switch {
	case candidate.Failed != "":
		return final(ExitRolledBack, "%s was rolled back: %s", candidate.Revision, candidate.Failed)
	case state == v1alpha1.StateRolledBack, state == v1alpha1.StateRollingBack:
		if stalled != "" {
			return final(ExitRolledBack, "%s", stalled)
		}
		return final(ExitRolledBack, "%s is being rolled back", candidate.Revision)
	case setBack(r):
		return final(ExitRolledBack, "%s", stalled)
	case state == v1alpha1.StateStalled:
		return final(ExitError, "stalled: %s", stalled)
	case j.what == goalApproval && waitsForApproval(r):
		return final(ExitReached, "%s waits for approval in step %s", candidate.Revision, r.Status.Step.Position)
	case j.what == goalStep && j.isPast(r):
		return final(ExitReached, "%s is in step %s", candidate.Revision, place(r))
	}
	if asked := asksPeople(r); asked != "" && !j.patient {
		return final(ExitWaiting, "%s waits for a person: %s", candidate.Revision, asked)
	}
	return notYet("%s", progressText(r, candidate))
}

// serving rules on a revision that is the incumbent.
func (j *judge) serving(r *v1alpha1.Rollout, incumbent *v1alpha1.RevisionStatus) ruling {
	under := j.seen != "" || j.revision != "" || j.commit != ""
	state := r.Status.State
	stuck := state == v1alpha1.StateStalled && !setBack(r)
	// Another version may have come since, and gone.
	rests := state == v1alpha1.StateIdle || state == v1alpha1.StateRolledBack || setBack(r)
	switch {
	case stuck && (j.what == "" || j.what == goalHealthy):
		return final(ExitError, "stalled: %s", stalledMessage(r))
	case !under && state == v1alpha1.StatePromoting:
		// A version that came since is looked at after this one.
		return notYet("%s serves; %s", incumbent.Revision, waits(r))
	case j.what == goalHealthy && !rests:
		return notYet("%s serves; %s", incumbent.Revision, waits(r))
	case j.what == goalApproval && under:
		return final(ExitError, "%s serves already: it asks for no approval", incumbent.Revision)
	case j.what == goalStep && under:
		return final(ExitReached, "%s is past all steps", incumbent.Revision)
	case j.early && (j.what == goalApproval || j.what == goalStep):
		return notYet("no rollout is under way yet: %s serves", incumbent.Revision)
	case j.what == goalApproval, j.what == goalStep:
		return final(ExitError, "no rollout is under way: %s serves", incumbent.Revision)
	case state == v1alpha1.StatePromoting, state == v1alpha1.StateSuspended:
		return final(ExitReached, "%s is promoted; %s", incumbent.Revision, waits(r))
	}
	return final(ExitReached, "%s serves all traffic", incumbent.Revision)
}

// isPast says whether the present step is the goal's, with its traffic taken, or a later one.
func (j *judge) isPast(r *v1alpha1.Rollout) bool {
	if r.Status.State == v1alpha1.StatePromoting {
		return true
	}
	step := r.Status.Step
	wanted, err := stepIndex(r, j.step)
	if step == nil || err != nil {
		return false
	}
	return int(step.Index) > wanted || (int(step.Index) == wanted && step.Since != nil)
}

// place names the present step.
func place(r *v1alpha1.Rollout) string {
	if r.Status.Step == nil {
		return string(r.Status.State)
	}
	return strings.TrimSpace(r.Status.Step.Position + " " + r.Status.Step.Name)
}

// progressText tells how far a candidate is.
func progressText(r *v1alpha1.Rollout, candidate *v1alpha1.RevisionStatus) string {
	line := candidate.Revision + " "
	if r.Status.Step == nil {
		return line + waits(r)
	}
	line += "is in step " + place(r)
	if r.Status.Traffic != nil {
		line += " (" + r.Status.Traffic.Asked + ")"
	}
	return line + ", " + waits(r)
}

// waits tells what a Rollout waits for.
func waits(r *v1alpha1.Rollout) string {
	switch {
	case r.Status.WaitingFor != "":
		return "waits for " + r.Status.WaitingFor
	case r.Status.State == v1alpha1.StatePromoting:
		return "is being promoted"
	case r.Status.State == v1alpha1.StateProgressing:
		return "goes on"
	}
	return "is " + string(r.Status.State)
}
