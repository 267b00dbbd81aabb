package cli

import (
	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// newPromoteCommand lets a rollout go on, whatever gate is closed.
func newPromoteCommand(s *session) *cobra.Command {
	return newDecideCommand(s, v1alpha1.VerbPromote, &cobra.Command{
		Short: "Leave the present step now, or with --full all of them",
		Long: `Leave the present step now, whatever gate is closed, or with --full all steps that are left.

Where analysis had not passed, that is recorded as unproven. Bad numbers still roll back, and pods must be ready. A pause ends with it.
It takes the verb promote on the Rollout. To answer a step that asks for approval, approve it: that leaves its other gates closed.`,
		Example: `  # Leave the present step.
  kubectl weighlock promote checkout --reason "the pilot tenants are happy"

  # Give the candidate all traffic, past all steps, if it is still the one that was looked at.
  kubectl weighlock promote checkout --full --revision 7f9c6d

  # Have the API server check whether that is allowed, and do nothing.
  kubectl weighlock promote checkout --dry-run=server`,
	})
}

// newApproveCommand opens the approval gate of the present step.
func newApproveCommand(s *session) *cobra.Command {
	return newDecideCommand(s, v1alpha1.VerbApprove, &cobra.Command{
		Short: "Approve the step that asks for it",
		Long: `Approve the present step, where it asks for approval. Its other gates, such as hold and analysis, stay as they are.

It takes the verb approve on the Rollout, and where the step names approvers, to be one of them. Some steps want the approval of several people.`,
		Example: `  # Approve the present step.
  kubectl weighlock approve checkout --reason "looked at the dashboards"

  # Approve that step and that commit, and nothing else that may have come meanwhile.
  kubectl weighlock approve checkout --step half --commit 0a1b2c3d`,
	})
}

// newAbortCommand puts all traffic back.
func newAbortCommand(s *session) *cobra.Command {
	return newDecideCommand(s, v1alpha1.VerbAbort, &cobra.Command{
		Short: "Put all traffic back, and mark the candidate as failed",
		Long: `Put all traffic back on the incumbent at once, and mark the candidate as failed. Git still names it, but it does not start again by itself: a new
commit does, or a retry. Nobody is asked whether you are sure. Say why with --reason: it is what others read in Slack, in the events and in the history.

It takes the verb abort on the Rollout.`,
		Example: `  kubectl weighlock abort checkout --reason "support reports wrong totals"`,
	})
}

// newPauseCommand keeps a rollout where it is.
func newPauseCommand(s *session) *cobra.Command {
	return newDecideCommand(s, v1alpha1.VerbPause, &cobra.Command{
		Short: "Keep a rollout where it is",
		Long: `Keep a rollout where it is, until it is resumed, promoted or aborted. It is rolled back nevertheless when the numbers are bad.

It takes the verb pause on the Rollout.`,
		Example: `  kubectl weighlock pause checkout --reason "until the sale is over"`,
	})
}

// newResumeCommand lets a paused rollout go on.
func newResumeCommand(s *session) *cobra.Command {
	return newDecideCommand(s, v1alpha1.VerbResume, &cobra.Command{
		Short: "Let a paused rollout go on",
		Long: `Let a rollout go on that somebody paused. Its gates are as they were.

It takes the verb pause on the Rollout.`,
		Example: `  kubectl weighlock resume checkout`,
	})
}

// newRetryCommand tries a failed candidate once more.
func newRetryCommand(s *session) *cobra.Command {
	return newDecideCommand(s, v1alpha1.VerbRetry, &cobra.Command{
		Short: "Try a candidate that was rolled back once more",
		Long: `Try a candidate that failed, or was set back, once more from its first step, without a new commit.

It takes the verb retry on the Rollout.`,
		Example: `  kubectl weighlock retry checkout --reason "the database was down, not the release"`,
	})
}
