package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/decision"
)

// via is what decisions of the plugin are made through.
const via = "kubectl"

// The kinds of --dry-run, as kubectl has them.
const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

// longestReason is what the API server takes, in characters.
const longestReason = 1024

// decide is a command that makes a decision.
type decide struct {
	*session
	verb v1alpha1.DecisionVerb

	output                                 output
	reason, revision, commit, step, dryRun string
	full, wait                             bool
	timeout                                time.Duration
}

// newDecideCommand makes the command of a verb.
func newDecideCommand(s *session, verb v1alpha1.DecisionVerb, words *cobra.Command) *cobra.Command {
	d := &decide{session: s, verb: verb}
	cmd := words
	cmd.Use = string(verb) + " [NAME]"
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = s.completeRollout
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return d.run(cmd.Context(), args) }
	flags := cmd.Flags()
	flags.StringVar(&d.reason, "reason", "", "Why, for the record and for those who are told.")
	flags.StringVar(&d.revision, "revision", "", "Act only if this is still the candidate: a revision, or how it begins.")
	flags.StringVar(&d.commit, "commit", "", "Act only if this commit brought the candidate, where a GitSource does: a commit, or how it begins.")
	if verb == v1alpha1.VerbApprove || verb == v1alpha1.VerbPromote {
		flags.StringVar(&d.step, "step", "", "Act only in this step: its name, or its number from 1.")
		// It fails only where the flag isn't there.
		_ = cmd.RegisterFlagCompletionFunc("step", s.completeStep)
	}
	if verb == v1alpha1.VerbPromote {
		flags.BoolVar(&d.full, "full", false, "Promote past all steps that are left, and not into the next one only.")
	}
	flags.BoolVar(&d.wait, "wait", true, "Wait until Weighlock has said what became of it.")
	flags.DurationVar(&d.timeout, "timeout", 10*time.Second, "How long to wait for that. Zero waits as long as it takes.")
	flags.StringVar(&d.dryRun, "dry-run", dryRunNone, "none, client (show what would be sent) or server (have the API server check it, and keep nothing).")
	flags.Lookup("dry-run").NoOptDefVal = dryRunClient
	_ = cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{dryRunNone, dryRunClient, dryRunServer}, cobra.ShellCompDirectiveNoFileComp))
	d.output.bind(cmd, "")
	return cmd
}

// check tells what is wrong with the flags.
func (d *decide) check() error {
	if !slices.Contains([]string{dryRunNone, dryRunClient, dryRunServer}, d.dryRun) {
		return usagef("--dry-run=%s is unknown: it is none, client or server", d.dryRun)
	}
	if d.full && d.step != "" {
		return usagef("--full is past all steps, --step is about one: leave one of them out")
	}
	if err := checkTimeout(d.timeout); err != nil {
		return err
	}
	if length := len([]rune(d.reason)); length > longestReason {
		return usagef("--reason has %d characters: there may be at most %d", length, longestReason)
	}
	if err := checkNamed(d.revision, d.commit); err != nil {
		return err
	}
	return d.output.check()
}

func (d *decide) run(ctx context.Context, args []string) error {
	if err := d.check(); err != nil {
		return err
	}
	rollout, err := d.rollout(ctx, args)
	if err != nil {
		return err
	}
	user, err := d.user(ctx)
	if err != nil {
		return err
	}
	author := decision.Author{Actor: user.Username, Groups: d.groups(rollout, user.Groups), Via: via}
	if err := d.object(rollout, author); err != nil {
		return err
	}
	made := decision.New(rollout, d.verb, author, d.reason)
	made.Spec.Full = d.full
	if d.full {
		made.Spec.Step = nil
	}
	if d.dryRun == dryRunClient {
		made.Name, made.GenerateName = made.GenerateName+"dry-run", ""
		return d.tell(rollout, made, "(dry run)")
	}
	return d.send(ctx, rollout, made)
}

// groups are those of the user by which an approval counts: the ones that the step's approvers name, and no others, which
// are nobody's business.
func (d *decide) groups(rollout *v1alpha1.Rollout, all []string) []string {
	if d.verb != v1alpha1.VerbApprove {
		return nil
	}
	var groups []string
	for _, approver := range approversOf(rollout) {
		if approver.Group != "" && slices.Contains(all, approver.Group) && !slices.Contains(groups, approver.Group) {
			groups = append(groups, approver.Group)
		}
	}
	return groups
}

// send makes the decision, and tells what became of it.
func (d *decide) send(ctx context.Context, rollout *v1alpha1.Rollout, made *v1alpha1.Decision) error {
	api, err := d.client()
	if err != nil {
		return err
	}
	var options []client.CreateOption
	if d.dryRun == dryRunServer {
		options = append(options, client.DryRunAll)
	}
	if err := api.Create(ctx, made, options...); err != nil {
		return d.refusal(rollout, made, err)
	}
	if d.dryRun == dryRunServer {
		return d.tell(rollout, made, "(server dry run)")
	}
	if !d.wait {
		return d.tell(rollout, made, "")
	}
	settled, err := d.await(ctx, api, made)
	if err != nil {
		return err
	}
	d.catchUp(ctx, api, rollout, settled)
	return d.outcome(rollout, settled)
}

// tell prints a decision of which nothing is known yet.
func (d *decide) tell(rollout *v1alpha1.Rollout, made *v1alpha1.Decision, note string) error {
	if !d.output.isOwn() {
		return d.output.object(d.session, made)
	}
	would := "asked to "
	if note != "" {
		would, note = "would ", " "+note
	}
	d.line("%s", clean(fmt.Sprintf("%s: %s%s%s", rollout.Name, would, deed(rollout, made), note)))
	return nil
}

// outcome prints what became of a decision.
func (d *decide) outcome(rollout *v1alpha1.Rollout, settled *v1alpha1.Decision) error {
	if !d.output.isOwn() {
		if err := d.output.object(d.session, settled); err != nil {
			return err
		}
	}
	switch settled.Status.Outcome {
	case v1alpha1.DecisionApplied:
		if d.output.isOwn() {
			d.line("%s", clean(rollout.Name+": "+settled.Status.Message))
		}
		return nil
	case v1alpha1.DecisionSuperseded:
		return fmt.Errorf("too late to %s: %s", deed(rollout, settled), settled.Status.Message)
	case v1alpha1.DecisionRejected:
		return fmt.Errorf("can't %s: %s", deed(rollout, settled), settled.Status.Message)
	}
	return &exitError{code: ExitTimeout, err: fmt.Errorf(
		"no answer from Weighlock in %s: decision %s stands and waits. See it with kubectl -n %s get decision %s, and whether Weighlock runs with kubectl get pods -A -l app.kubernetes.io/name=weighlock",
		d.timeout, settled.Name, settled.Namespace, settled.Name)}
}
