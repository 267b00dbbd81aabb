package cli

import (
	"fmt"
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
	if !gate.Admits(by.Actor, "", by.Groups) {
		return fmt.Errorf("%s: %s is none of the approvers of step %s: %s", name, by.Actor, position(rollout, int(status.Step.Index)), gate.Named())
	}
	return nil
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
