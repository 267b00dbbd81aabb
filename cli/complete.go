package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// completing is how long somebody who presses Tab is kept waiting.
const completing = 3 * time.Second

// files are the flags whose values are files, which shells complete by themselves.
var files = []string{"filename", "kubeconfig", "cache-dir", "certificate-authority", "client-certificate", "client-key"}

// completeFlags has the values of a command's flags completed: with what there is in the cluster, or else with nothing, where a shell would
// offer files. A flag that has its own words keeps them.
func (s *session) completeFlags(cmd *cobra.Command) {
	known := map[string]cobra.CompletionFunc{
		"namespace": s.completeNamespace, "revision": s.completeRevision, "from": s.completeKept, "to": s.completeKept,
	}
	complete := func(flag *pflag.Flag) {
		words := known[flag.Name]
		switch {
		case slices.Contains(files, flag.Name):
			return
		case words == nil:
			words = cobra.NoFileCompletions
		}
		// It fails only where the flag has its own words.
		_ = cmd.RegisterFlagCompletionFunc(flag.Name, words)
	}
	cmd.Flags().VisitAll(complete)
	cmd.PersistentFlags().VisitAll(complete)
}

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

// meant is the Rollout that the arguments name, if the API server tells soon.
func (s *session) meant(cmd *cobra.Command, args []string) (*v1alpha1.Rollout, error) {
	ctx, stop := context.WithTimeout(cmd.Context(), completing)
	defer stop()
	return s.rollout(ctx, args)
}

// completeGoal completes what status waits for: the steps by name where they have one.
func (s *session) completeGoal(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	goals := []string{
		cobra.CompletionWithDesc(goalPromoted, "the version serves all traffic"),
		cobra.CompletionWithDesc(goalHealthy, "it does, and nothing is under way any more"),
		cobra.CompletionWithDesc(goalApproval, "it waits for approval"),
	}
	found, err := s.meant(cmd, args)
	if err != nil {
		return append(goals, goalStep+"="), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	for i := range found.Spec.Steps {
		step := &found.Spec.Steps[i]
		name := step.Name
		if name == "" {
			name = fmt.Sprint(i + 1)
		}
		goals = append(goals, cobra.CompletionWithDesc(goalStep+"="+name, stepTraffic(found, step)))
	}
	return goals, cobra.ShellCompDirectiveNoFileComp
}

// completeRevision completes the revision that a command is about: the candidate's.
func (s *session) completeRevision(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	found, err := s.meant(cmd, args)
	if err != nil || found.Status.Candidate == nil {
		return nothing()
	}
	return []string{cobra.CompletionWithDesc(found.Status.Candidate.Revision, "the candidate")}, cobra.ShellCompDirectiveNoFileComp
}

// completeKept completes a revision that Weighlock keeps.
func (s *session) completeKept(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, stop := context.WithTimeout(cmd.Context(), completing)
	defer stop()
	found, err := s.rollout(ctx, args)
	if err != nil {
		return nothing()
	}
	kept, err := s.kept(ctx, found)
	if err != nil {
		return nothing()
	}
	words := make([]string, 0, len(kept))
	for i := range kept {
		revision, note := recordedRevision(&kept[i]), "kept"
		if revision.Commit != "" {
			note = clean("commit " + shortCommit(revision.Commit) + " by " + revision.Author)
		}
		words = append(words, cobra.CompletionWithDesc(revision.Revision, note))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeNamespace completes the name of a namespace.
func (s *session) completeNamespace(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	api, err := s.client()
	if err != nil {
		return nothing()
	}
	ctx, stop := context.WithTimeout(cmd.Context(), completing)
	defer stop()
	all := &corev1.NamespaceList{}
	if err := api.List(ctx, all); err != nil {
		return nothing()
	}
	found := make([]string, 0, len(all.Items))
	for i := range all.Items {
		found = append(found, all.Items[i].Name)
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}
