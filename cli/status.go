package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// asking is what status was asked for.
type asking struct {
	out     output
	goal    goal
	wanted  string
	timeout time.Duration
}

const statusLong = `Say in a line how a rollout is, or wait until it is as asked, for scripts and CI.

--for=promoted     the version serves all traffic
--for=healthy      it does, and nothing is under way any more
--for=step=N       it is in step N (a number from 1, or a name) with its traffic taken, or further
--for=approval     it waits for approval

The version that is meant is the one that is under way. A CI that just changed the workload, or git, names it with --commit or --revision:
else it may be told of the one before, where Weighlock has not seen the new one yet. (Where the admission policy holds workloads, a
change is noticed without that.) Both are given by their beginnings. A commit that changes nothing of the workload is as far as the version
that the workload has, once its GitSource has applied that commit. Where several were pushed at once, that is told of the newest only: a CI
whose commits may be overtaken gives a --timeout.

When nothing is under way, --for=step=N and --for=approval end at once; with --timeout they wait for the next rollout. Likewise, what is
missing for Weighlock to begin at all, such as a Service, is waited for with --timeout only, and so is a commit that its GitSource can't apply.
So is a Rollout NAME that isn't there yet, as on the first deploy of an application; what follows has the time that is left then.

A rollout that waits for a person (approval, and nothing else; a pause; a deadline that is over) ends the waiting, as only that person
can go on; with --wait-for-people it doesn't.

Exit codes:
  0  reached; without --for: all is well, or under way
  1  an error, or what was asked for can't be reached any more; without --for, also: the version that is named is not under way yet
  2  wrong usage
  3  the version was rolled back, set back or withdrawn
  4  it waits for a person
  5  the time was over first`

// newStatusCommand tells how a rollout is, or waits.
func newStatusCommand(s *session) *cobra.Command {
	a := &asking{}
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Say how a rollout is, or wait until it is as asked",
		Long:  statusLong,
		Example: `  # In CI, after the push: has the commit gone live?
  kubectl weighlock status checkout --for=promoted --commit "$GIT_COMMIT" --wait-for-people --timeout 1h

  # Wait until a person is asked about it.
  kubectl weighlock status checkout --for=approval --commit "$GIT_COMMIT" --timeout 10m

  # How is it now?
  kubectl weighlock status checkout`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeRollout,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(); err != nil {
				return err
			}
			return s.status(cmd.Context(), a, args)
		},
	}
	a.out.bind(cmd, "")
	flags := cmd.Flags()
	flags.StringVar(&a.wanted, "for", "", "What to wait for: promoted, healthy, approval or step=N.")
	flags.DurationVar(&a.timeout, "timeout", 0, "How long to wait, such as 10m. Zero waits as long as it takes.")
	flags.StringVar(&a.goal.revision, "revision", "", "The revision that is meant, as status.candidate.revision has it, or its beginning.")
	flags.StringVar(&a.goal.commit, "commit", "", "The commit that is meant, where a GitSource brings it, or its beginning.")
	flags.BoolVar(&a.goal.patient, "wait-for-people", false, "Go on waiting while a person is asked.")
	// It fails only where the flag isn't there.
	_ = cmd.RegisterFlagCompletionFunc("for", s.completeGoal)
	return cmd
}

// check reads the flags.
func (a *asking) check() error {
	if err := a.out.check(); err != nil {
		return err
	}
	what, step, isStep := strings.Cut(a.wanted, "=")
	a.goal.what, a.goal.step = what, step
	known := []string{"", goalPromoted, goalHealthy, goalApproval}
	switch {
	case isStep && (what != goalStep || step == ""), !isStep && !slices.Contains(known, what):
		return usagef("--for=%s is unknown: it is promoted, healthy, approval or step=N", a.wanted)
	case a.timeout > 0 && what == "":
		return usagef("--timeout goes with --for, which says what to wait for")
	}
	if err := checkTimeout(a.timeout); err != nil {
		return err
	}
	a.goal.early = a.timeout > 0
	return checkNamed(a.goal.revision, a.goal.commit)
}

// checkTimeout refuses a time that is over before it begins. Zero waits as long as it takes.
func checkTimeout(timeout time.Duration) error {
	if timeout < 0 {
		return usagef("--timeout %s is below zero", timeout)
	}
	return nil
}

// status tells how the Rollout that the arguments name is, or waits.
func (s *session) status(ctx context.Context, a *asking, args []string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ctx, expired := s.expire(ctx, a.timeout)
	found, err := s.awaited(ctx, a, args, expired)
	if err != nil {
		return s.late(err, expired, a, nil)
	}
	if a.goal.what == goalStep {
		if _, err := stepIndex(found, a.goal.step); err != nil {
			return err
		}
	}
	api, err := s.client()
	if err != nil {
		return err
	}
	ofCommit := a.goal.commit != ""
	j := &judge{goal: a.goal, kept: func() memory { return s.remember(ctx, api, found, ofCommit) }}
	if a.goal.what == "" {
		return s.conclude(a, found, j.rule(found, workloadOf(ctx, api, found)))
	}
	var source *v1alpha1.GitSource
	if ofCommit {
		source = sourceOf(ctx, api, workloadOf(ctx, api, found))
	}
	e, err := s.openWithWorkload(ctx, found, source)
	if err != nil {
		return s.late(err, expired, a, found)
	}
	var last ruling
	err = each(ctx, e, func() (bool, error) {
		now, err := e.rollout(ctx, found)
		switch {
		case errors.Is(err, errGone):
			return true, fmt.Errorf("wait for Rollout %s/%s: it is %w", found.Namespace, found.Name, err)
		case err != nil:
			return true, err
		}
		found = now
		ruled := j.rule(now, workloadOf(ctx, e, now))
		if ruled.final {
			return true, s.conclude(a, now, ruled)
		}
		if ruled.say != last.say {
			s.remark(a, now.Name, ruled.say)
		}
		last = ruled
		return false, nil
	})
	return s.late(err, expired, a, found)
}

// awaited is the Rollout that the arguments name. One that isn't there is waited for where there is a time for that: the push that
// brings an application brings its Rollout too, a moment later.
func (s *session) awaited(ctx context.Context, a *asking, args []string, expired func() bool) (*v1alpha1.Rollout, error) {
	found, err := s.rollout(ctx, args)
	absent, is := errors.AsType[*missingError](err)
	if !is || !a.goal.early {
		return found, err
	}
	s.remark(a, absent.name, absent.yet())
	found, err = s.appear(ctx, absent)
	if err != nil && expired() {
		return nil, absent
	}
	return found, err
}

// appear waits until a Rollout that is absent is there.
func (s *session) appear(ctx context.Context, absent *missingError) (*v1alpha1.Rollout, error) {
	// The eye that sees it come is not the one that sees it go on: that one sees its workload, which it has yet to name.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	e, err := s.open(ctx, sight{namespace: absent.namespace, name: absent.name})
	if err != nil {
		return nil, err
	}
	found := &v1alpha1.Rollout{}
	err = each(ctx, e, func() (bool, error) {
		err := e.Get(ctx, client.ObjectKey{Namespace: absent.namespace, Name: absent.name}, found)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("wait for Rollout %s/%s: %w", absent.namespace, absent.name, err)
	}
	return found, nil
}

// late turns the end of the time into an error that says so. What was concluded in that very moment stands. Without a Rollout there is
// none to print, and err says why.
func (s *session) late(err error, expired func() bool, a *asking, found *v1alpha1.Rollout) error {
	var concluded *exitError
	if err == nil || !expired() || errors.As(err, &concluded) || errors.Is(err, errGone) {
		return err
	}
	if found == nil {
		return &exitError{code: ExitTimeout, err: fmt.Errorf("it is not %s after %s: %w", a.wanted, a.timeout, err)}
	}
	if !a.out.isOwn() {
		if err := a.out.object(s, found); err != nil {
			return err
		}
	}
	return &exitError{code: ExitTimeout, err: fmt.Errorf("%s is not %s after %s: %s", found.Name, a.wanted, a.timeout, waits(found))}
}

// expire ends a context after a time, by the session's clock; zero never does.
func (s *session) expire(ctx context.Context, after time.Duration) (context.Context, func() bool) {
	if after == 0 {
		return ctx, func() bool { return false }
	}
	ctx, stop := context.WithCancelCause(ctx)
	timer := s.clock.NewTimer(after)
	go func() {
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C():
			stop(context.DeadlineExceeded)
		}
	}()
	return ctx, func() bool { return context.Cause(ctx) == context.DeadlineExceeded } //nolint:errorlint // the very error that was given.
}

// remark tells how it goes while waiting: to people, where the output is for programs.
func (s *session) remark(a *asking, name, say string) {
	line := clean(name + ": " + say)
	if !a.out.isOwn() {
		fmt.Fprintln(s.ErrOut, line)
		return
	}
	s.line("%s", line)
}

// conclude tells the end of it, and gives the code to exit with.
func (s *session) conclude(a *asking, r *v1alpha1.Rollout, ruled ruling) error {
	s.remark(a, r.Name, ruled.say)
	if !a.out.isOwn() {
		if err := a.out.object(s, r); err != nil {
			return err
		}
	}
	return exitWith(ruled.code)
}
