package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// deed is what a decision is to do, as in "approve step 2/3 of 7f9c6d".
func deed(rollout *v1alpha1.Rollout, made *v1alpha1.Decision) string {
	revision := made.Spec.Revision
	switch {
	case made.Spec.Full:
		return fmt.Sprintf("%s %s past all steps", made.Spec.Verb, revision)
	case made.Spec.Step != nil && made.Spec.Verb == v1alpha1.VerbPromote:
		return fmt.Sprintf("%s %s past step %s", made.Spec.Verb, revision, position(rollout, int(*made.Spec.Step)))
	case made.Spec.Step != nil:
		return fmt.Sprintf("%s step %s of %s", made.Spec.Verb, position(rollout, int(*made.Spec.Step)), revision)
	}
	return fmt.Sprintf("%s %s", made.Spec.Verb, revision)
}

// position is a step for people, such as 2/5, or 2/5 pilot where it has a name.
func position(rollout *v1alpha1.Rollout, index int) string {
	text := fmt.Sprintf("%d/%d", index+1, len(rollout.Spec.Steps))
	if index < len(rollout.Spec.Steps) && rollout.Spec.Steps[index].Name != "" {
		text += " " + rollout.Spec.Steps[index].Name
	}
	return text
}

// standing is where a Rollout stands, in a few words.
func standing(rollout *v1alpha1.Rollout) string {
	status := &rollout.Status
	switch {
	case status.State == "":
		return "Weighlock has not looked at it yet"
	case status.Candidate != nil && status.Candidate.Failed != "":
		return fmt.Sprintf("%s was rolled back: %s", called(status.Candidate), status.Candidate.Failed)
	case setBack(rollout):
		return stalledMessage(rollout)
	case status.Candidate == nil && status.Incumbent != nil:
		return fmt.Sprintf("it is %s, and %s serves", status.State, called(status.Incumbent))
	}
	text := "it is " + string(status.State)
	if status.Step != nil {
		text += " in step " + position(rollout, int(status.Step.Index))
	}
	if status.WaitingFor != "" {
		text += ", waiting for " + status.WaitingFor
	}
	return text
}

// called is a revision for people, with its commit.
func called(revision *v1alpha1.RevisionStatus) string {
	if revision.Commit == "" {
		return revision.Revision
	}
	return fmt.Sprintf("%s (commit %s)", revision.Revision, shortCommit(revision.Commit))
}

// shortCommit is as much of a commit as people need.
func shortCommit(commit string) string { return commit[:min(len(commit), 8)] }

// voiced tells who said something, through what and why.
func voiced(voice *v1alpha1.Voice) string { return voicedAt(voice, "") }

// voicedAt tells also when, in words that follow on the others.
func voicedAt(voice *v1alpha1.Voice, when string) string {
	text := voice.Actor
	if voice.Via != "" {
		text += " through " + voice.Via
	}
	text += when
	if voice.Reason != "" {
		text += ": " + voice.Reason
	}
	return text
}

// tally is how many approvals there are, of how many.
func tally(approval *v1alpha1.ApprovalStatus) string {
	if approval.Quorum == 1 {
		return fmt.Sprintf("%d of 1 approval", approval.Count)
	}
	return fmt.Sprintf("%d of %d approvals", approval.Count, approval.Quorum)
}

// completeStep completes the steps of the Rollout that the arguments name.
func (s *session) completeStep(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	rollout, err := s.meant(cmd, args)
	if err != nil {
		return nothing()
	}
	var found []string
	for i := range rollout.Spec.Steps {
		value := rollout.Spec.Steps[i].Name
		if value == "" {
			value = fmt.Sprint(i + 1)
		}
		note := "step " + strings.Fields(position(rollout, i))[0]
		if step := rollout.Status.Step; step != nil && int(step.Index) == i {
			note += ", the present one"
		}
		found = append(found, cobra.CompletionWithDesc(value, note))
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
