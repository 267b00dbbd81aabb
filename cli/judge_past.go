package cli

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// memory is what the cluster keeps of versions that were tried.
type memory struct {
	records []appsv1.ControllerRevision
	// source is what brings the workload; nil where nothing does, or it may not be seen. Applied is the commit that it had applied as
	// a whole before the workload was read, and tried nothing else until after; empty where that can't be said.
	source  *v1alpha1.GitSource
	applied string
	// workload as it was after the records were read; nil where it isn't there or may not be seen.
	workload *appsv1.Deployment
}

// newest is the newest record that fits; nil where there is none.
func (m memory) newest(fits func(*v1alpha1.RevisionStatus) bool) *appsv1.ControllerRevision {
	var found *appsv1.ControllerRevision
	for i := range m.records {
		if record := &m.records[i]; fits(recordedRevision(record)) && (found == nil || record.Revision > found.Revision) {
			found = record
		}
	}
	return found
}

// number is that of a revision's record; zero where there is none.
func (m memory) number(of *v1alpha1.RevisionStatus) int64 {
	record := m.newest(func(r *v1alpha1.RevisionStatus) bool { return of != nil && r.Revision == of.Revision })
	if record == nil {
		return 0
	}
	return record.Revision
}

// commit is that of the workload; empty where it isn't known.
func (m memory) commit() string {
	if m.workload == nil {
		return ""
	}
	return m.workload.Annotations[v1alpha1.AnnotationCommit]
}

// past rules on a version that is named, and neither serves nor is tried: its rollout may be over, by what is kept. A record is
// written before the status tells of its revision, and the workload has a commit before that is recorded: a version isn't over
// as long as the workload asks for it.
func (j *judge) past(r *v1alpha1.Rollout) ruling {
	early := ruling{code: ExitError, say: j.named() + " is not under way yet"}
	if j.kept == nil {
		return early
	}
	kept := j.kept()
	meant := kept.newest(j.means)
	if meant == nil {
		return j.unbrought(r, kept, early)
	}
	revision, incumbent, candidate := recordedRevision(meant), r.Status.Incumbent, r.Status.Candidate
	now := kept.commit()
	switch {
	case revision.Failed != "":
		return final(ExitRolledBack, "%s was rolled back: %s", called(revision), revision.Failed)
	case now == "" || now == revision.Commit:
	case kept.number(candidate) > meant.Revision:
		return final(ExitError, "%s was superseded by %s", called(revision), called(candidate))
	case candidate == nil && now == incumbent.Commit && meant.Revision > kept.number(incumbent):
		return final(ExitRolledBack, "%s was withdrawn: all traffic is on %s", called(revision), called(incumbent))
	}
	return early
}

// recordedRevision is what a record tells of a revision.
func recordedRevision(record *appsv1.ControllerRevision) *v1alpha1.RevisionStatus {
	return &v1alpha1.RevisionStatus{
		Revision: record.Labels[v1alpha1.LabelRevision], Commit: record.Annotations[v1alpha1.AnnotationCommit],
		Author: record.Annotations[v1alpha1.AnnotationAuthor], Failed: record.Annotations[v1alpha1.AnnotationFailed],
	}
}
