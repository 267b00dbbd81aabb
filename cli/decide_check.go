package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/decision"
)

// object says why a decision would come to nothing, as far as that can be told beforehand. The controller has the last word.
func (d *decide) object(rollout *v1alpha1.Rollout, by decision.Author) error {
	if err := d.guard(rollout); err != nil {
		return err
	}
	name, status := rollout.Name, &rollout.Status
	if d.verb == v1alpha1.VerbRetry {
		if status.Candidate == nil || underWay(rollout) {
			return fmt.Errorf("%s: there is nothing to retry: %s", name, standing(rollout))
		}
		return nil
	}
	if !underWay(rollout) {
		return fmt.Errorf("%s: there is nothing to %s: %s", name, d.verb, standing(rollout))
	}
	switch d.verb { //nolint:exhaustive // An abort is always taken.
	case v1alpha1.VerbApprove:
		return objectToApproval(rollout, by)
	case v1alpha1.VerbPromote:
		if status.Step == nil && !d.full {
			return fmt.Errorf("%s: %s is not in its first step yet: %s (--full promotes past all steps)", name, status.Candidate.Revision, standing(rollout))
		}
	case v1alpha1.VerbPause:
		if status.Paused != nil {
			return fmt.Errorf("%s: it is paused already, by %s", name, voiced(status.Paused))
		}
	case v1alpha1.VerbResume:
		if status.Paused == nil && status.State == v1alpha1.StatePaused {
			return fmt.Errorf("%s: nobody paused it: %s. Promote it, or abort it", name, standing(rollout))
		}
		if status.Paused == nil {
			return fmt.Errorf("%s: it is not paused: %s", name, standing(rollout))
		}
	}
	return nil
}

// objectToApproval says why an approval would come to nothing.
func objectToApproval(rollout *v1alpha1.Rollout, by decision.Author) error {
	name, status := rollout.Name, &rollout.Status
	gate := presentApproval(rollout)
	if gate == nil {
		for i := range rollout.Spec.Steps {
			if rollout.Spec.Steps[i].Approval != nil && (status.Step == nil || int32(i) > status.Step.Index) {
				return fmt.Errorf("%s: nothing asks for approval yet, step %s will: %s", name, position(rollout, i), standing(rollout))
			}
		}
		return fmt.Errorf("%s: nothing asks for approval: %s", name, standing(rollout))
	}
	if status.Approval != nil {
		for _, given := range status.Approval.Given {
			if given.Actor == by.Actor {
				return fmt.Errorf("%s: step %s is approved by you already (%s)", name, position(rollout, int(status.Step.Index)), tally(status.Approval))
			}
		}
	}
	if len(gate.Approvers) == 0 {
		return nil
	}
	var names []string
	for _, approver := range gate.Approvers {
		if approver.User != "" && approver.User == by.Actor || approver.Group != "" && slices.Contains(by.Groups, approver.Group) {
			return nil
		}
		if approver.User != "" {
			names = append(names, "user "+approver.User)
		} else {
			names = append(names, "group "+approver.Group)
		}
	}
	return fmt.Errorf("%s: %s is none of the approvers of step %s: %s", name, by.Actor, position(rollout, int(status.Step.Index)), strings.Join(names, ", "))
}

// guard holds the Rollout against --revision and --step.
func (d *decide) guard(rollout *v1alpha1.Rollout) error {
	status := &rollout.Status
	if asked := strings.TrimSpace(d.revision + " " + d.commit); asked != "" {
		switch {
		case status.Candidate == nil:
			return fmt.Errorf("%s: %s is no candidate: %s", rollout.Name, asked, standing(rollout))
		case d.revision != "" && !isNamed(status.Candidate, d.revision), d.commit != "" && !isCommit(status.Candidate, d.commit):
			return fmt.Errorf("%s: the candidate is %s, and not %s", rollout.Name, called(status.Candidate), asked)
		}
	}
	if d.step == "" {
		return nil
	}
	asked, err := stepIndex(rollout, d.step)
	if err != nil {
		return err
	}
	switch {
	case status.Step == nil:
		return fmt.Errorf("%s: it is not in step %s: %s", rollout.Name, position(rollout, asked), standing(rollout))
	case int(status.Step.Index) != asked:
		return fmt.Errorf("%s: it is in step %s, and not in step %s", rollout.Name, position(rollout, int(status.Step.Index)), position(rollout, asked))
	}
	return nil
}

// How much of a revision, or of a commit, must be written at least.
const (
	shortestRevision = 4
	shortestCommit   = 7
)

// isRevision says whether text means the revision: its name or its commit, or how one of them begins.
func isRevision(revision *v1alpha1.RevisionStatus, text string) bool {
	return isNamed(revision, text) || isCommit(revision, text)
}

// isNamed says whether text is the name of the revision, or how it begins.
func isNamed(revision *v1alpha1.RevisionStatus, text string) bool {
	return revision.Revision == text || len(text) >= shortestRevision && strings.HasPrefix(revision.Revision, text)
}

// isCommit says whether text is the commit that brought the revision, or how it begins.
func isCommit(revision *v1alpha1.RevisionStatus, text string) bool {
	return len(text) >= shortestCommit && strings.HasPrefix(revision.Commit, text)
}

// stepIndex is the index of the step that text names: by its name, or its number from 1.
func stepIndex(rollout *v1alpha1.Rollout, text string) (int, error) {
	steps := rollout.Spec.Steps
	if index := slices.IndexFunc(steps, func(step v1alpha1.Step) bool { return step.Name == text }); index >= 0 {
		return index, nil
	}
	if number, err := strconv.Atoi(text); err == nil && number >= 1 && number <= len(steps) {
		return number - 1, nil
	}
	return 0, usagef("%s has no step %q: write its name, or its number from 1 to %d", rollout.Name, text, len(steps))
}

// underWay says whether a candidate is being tried, or about to be.
func underWay(rollout *v1alpha1.Rollout) bool {
	status := &rollout.Status
	if status.Candidate == nil || status.Candidate.Failed != "" {
		return false
	}
	return status.State != v1alpha1.StateRolledBack && status.State != v1alpha1.StateRollingBack
}

// approversOf are those whom the present step names.
func approversOf(rollout *v1alpha1.Rollout) []v1alpha1.Approver {
	if gate := presentApproval(rollout); gate != nil {
		return gate.Approvers
	}
	return nil
}

// presentApproval is the approval gate of the present step; nil when it has none.
func presentApproval(rollout *v1alpha1.Rollout) *v1alpha1.Approval {
	step := rollout.Status.Step
	if step == nil || int(step.Index) >= len(rollout.Spec.Steps) {
		return nil
	}
	return rollout.Spec.Steps[step.Index].Approval
}
