package cli

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// past rules on a version that is named, and neither serves nor is tried: its rollout may be over, by the records that are kept.
func (j *judge) past(r *v1alpha1.Rollout) ruling {
	early := ruling{code: ExitError, say: j.named() + " is not under way yet"}
	if j.kept == nil {
		return early
	}
	records := j.kept()
	newest := func(fits func(*v1alpha1.RevisionStatus) bool) *appsv1.ControllerRevision {
		var found *appsv1.ControllerRevision
		for i := range records {
			if record := &records[i]; fits(recordedRevision(record)) && (found == nil || record.Revision > found.Revision) {
				found = record
			}
		}
		return found
	}
	meant := newest(j.means)
	if meant == nil {
		return early
	}
	revision, incumbent := recordedRevision(meant), r.Status.Incumbent
	if revision.Failed != "" {
		return final(ExitRolledBack, "%s was rolled back: %s", called(revision), revision.Failed)
	}
	// Whatever is as old as the incumbent may be on its way again.
	serving := newest(func(other *v1alpha1.RevisionStatus) bool { return other.Revision == incumbent.Revision })
	switch {
	case serving == nil || meant.Revision <= serving.Revision:
		return early
	case r.Status.Candidate != nil:
		return final(ExitError, "%s was superseded by %s", called(revision), called(r.Status.Candidate))
	}
	return final(ExitRolledBack, "%s was withdrawn: all traffic is on %s", called(revision), called(incumbent))
}

// recordedRevision is what a record tells of a revision.
func recordedRevision(record *appsv1.ControllerRevision) *v1alpha1.RevisionStatus {
	return &v1alpha1.RevisionStatus{
		Revision: record.Labels[v1alpha1.LabelRevision], Commit: record.Annotations[v1alpha1.AnnotationCommit],
		Author: record.Annotations[v1alpha1.AnnotationAuthor], Failed: record.Annotations[v1alpha1.AnnotationFailed],
	}
}
