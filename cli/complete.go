package cli

import (
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// completeRollout completes the name of a Rollout, the only argument of a command.
func (s *session) completeRollout(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	api, err := s.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	namespace, err := s.namespace()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all := &v1alpha1.RolloutList{}
	if err := api.List(cmd.Context(), all, client.InNamespace(namespace)); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
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
		return string(rollout.Status.State)
	}
	return string(rollout.Status.State) + ": " + rollout.Status.WaitingFor
}
