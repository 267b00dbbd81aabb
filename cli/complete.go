package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// completing is how long somebody who presses Tab is kept waiting.
const completing = 3 * time.Second

// nothing completes a word with nothing, not even with files.
func nothing() ([]string, cobra.ShellCompDirective) { return nil, cobra.ShellCompDirectiveNoFileComp }

// completeRollout completes the name of a Rollout, the only argument of a command.
func (s *session) completeRollout(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nothing()
	}
	api, err := s.client()
	if err != nil {
		return nothing()
	}
	namespace, err := s.namespace()
	if err != nil {
		return nothing()
	}
	ctx, stop := context.WithTimeout(cmd.Context(), completing)
	defer stop()
	all := &v1alpha1.RolloutList{}
	if err := api.List(ctx, all, client.InNamespace(namespace)); err != nil {
		return nothing()
	}
	found := make([]string, 0, len(all.Items))
	for i := range all.Items {
		found = append(found, cobra.CompletionWithDesc(all.Items[i].Name, summary(&all.Items[i])))
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// summary is a Rollout in a few words.
func summary(rollout *v1alpha1.Rollout) string {
	if rollout.Status.WaitingFor == "" {
		return stateName(rollout)
	}
	return clean(stateName(rollout) + ": waits for " + rollout.Status.WaitingFor)
}

// completeGoal completes what status waits for: the steps by name where they have one.
func (s *session) completeGoal(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	goals := []string{
		cobra.CompletionWithDesc(goalPromoted, "the version serves all traffic"),
		cobra.CompletionWithDesc(goalHealthy, "it does, and nothing is under way any more"),
		cobra.CompletionWithDesc(goalApproval, "it waits for approval"),
	}
	ctx, stop := context.WithTimeout(cmd.Context(), completing)
	defer stop()
	found, err := s.rollout(ctx, args)
	if err != nil {
		return append(goals, goalStep+"="), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	view := &picture{rollout: found}
	for i := range found.Spec.Steps {
		step := &found.Spec.Steps[i]
		name := step.Name
		if name == "" {
			name = fmt.Sprint(i + 1)
		}
		goals = append(goals, cobra.CompletionWithDesc(goalStep+"="+name, view.asked(step)))
	}
	return goals, cobra.ShellCompDirectiveNoFileComp
}

// completeRevision completes the revision that a command is about: the candidate's.
func (s *session) completeRevision(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, stop := context.WithTimeout(cmd.Context(), completing)
	defer stop()
	found, err := s.rollout(ctx, args)
	if err != nil || found.Status.Candidate == nil {
		return nothing()
	}
	return []string{cobra.CompletionWithDesc(found.Status.Candidate.Revision, "the candidate")}, cobra.ShellCompDirectiveNoFileComp
}
