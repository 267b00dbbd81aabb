package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestStatus_RulesOnWhatItSees(t *testing.T) {
	t.Parallel()
	change := func(v *picture, edit func(*v1alpha1.Rollout)) *v1alpha1.Rollout {
		edit(v.rollout)
		return v.rollout
	}
	weighing := func() *picture {
		v := waiting()
		v.rollout.Status.Gates[1].Open = false
		v.rollout.Status.WaitingFor = "a verdict, approval by 1 more"
		return v
	}
	inStep := func(index int32, taken bool) *v1alpha1.Rollout {
		return change(waiting(), func(r *v1alpha1.Rollout) {
			r.Status.Approval, r.Status.Gates = nil, nil
			r.Status.Step.Index = index
			if !taken {
				r.Status.Step.Since = nil
			}
		})
	}
	setBack := change(stalled(), func(r *v1alpha1.Rollout) {
		r.Status.Candidate = under("").rollout.Status.Candidate
		for i := range r.Status.Conditions {
			r.Status.Conditions[i].Reason = v1alpha1.ReasonSetBack
		}
	})
	untaken := change(stalled(), func(r *v1alpha1.Rollout) {
		r.Status.Candidate = under("").rollout.Status.Candidate
		for i := range r.Status.Conditions {
			r.Status.Conditions[i].Reason = v1alpha1.ReasonRouteNotTaken
		}
	})
	unadopted := func(state v1alpha1.State) *v1alpha1.Rollout {
		return change(stalled(), func(r *v1alpha1.Rollout) {
			r.Status.State, r.Status.Incumbent = state, nil
			if state != v1alpha1.StateStalled {
				r.Status.Conditions, r.Status.WaitingFor = nil, "endpoints of checkout-workload"
			}
		})
	}
	unseen := change(justMade(), func(r *v1alpha1.Rollout) {
		r.Status.Conditions = []metav1.Condition{condition("Ready", metav1.ConditionFalse, v1alpha1.ReasonObservationFailed, "get Service checkout: i/o timeout")}
	})
	stuck := change(stalled(), func(r *v1alpha1.Rollout) { r.Status.Candidate = under("").rollout.Status.Candidate })
	held := deployment("checkout", "shop/checkout:1.5.0", 2)
	held.Spec.Paused = true
	for name, c := range map[string]struct {
		goal     goal
		seen     string
		rollout  *v1alpha1.Rollout
		workload *appsv1.Deployment
		// code is what it ends with, or goesOn; where nothing is waited for, what it ends with in any case.
		code int
		say  string
	}{
		"now, idle":                            {rollout: idle().rollout, code: ExitReached, say: "serves all traffic"},
		"now, starting":                        {rollout: starting().rollout, code: goesOn, say: "waits for 2 ready pods"},
		"now, waits for a person":              {rollout: waiting().rollout, code: ExitWaiting, say: "approval by 1 more"},
		"now, rolled back":                     {rollout: rolledBack().rollout, code: ExitRolledBack, say: "error rate 4.6%"},
		"now, stalled at rest":                 {rollout: stalled().rollout, code: ExitError, say: "no port 8080"},
		"now, stalled under way":               {rollout: stuck, code: ExitError, say: "no port 8080"},
		"now, set back":                        {rollout: setBack, code: ExitRolledBack},
		"now, the mesh is deaf":                {rollout: untaken, code: ExitError, say: "no port 8080"},
		"now, stalled before adoption":         {rollout: unadopted(v1alpha1.StateStalled), code: ExitError, say: "stalled: Service checkout has no port"},
		"promoted, stalled before adoption":    {goal: goal{what: goalPromoted, commit: "9a8b7c6d"}, rollout: unadopted(v1alpha1.StateStalled), code: ExitError, say: "stalled: "},
		"healthy, applied a moment ago":        {goal: goal{what: goalHealthy, early: true}, rollout: unadopted(v1alpha1.StateStalled), code: goesOn, say: "stalled: "},
		"promoted, adopting":                   {goal: goal{what: goalPromoted}, rollout: unadopted(v1alpha1.StateAdopting), code: goesOn, say: "waits for endpoints"},
		"promoted, it can't be looked at":      {goal: goal{what: goalPromoted}, rollout: unseen, code: goesOn, say: "it can't be looked at: get Service checkout: i/o timeout"},
		"now, new":                             {rollout: justMade().rollout, code: goesOn, say: "nothing has looked at it"},
		"now, paused":                          {rollout: change(paused(), looked), code: ExitWaiting, say: "the shop has a sale"},
		"promoted, idle":                       {goal: goal{what: goalPromoted}, rollout: idle().rollout, code: ExitReached},
		"promoted, held and not looked at":     {goal: goal{what: goalPromoted}, rollout: idle().rollout, workload: held, code: goesOn, say: "a new version is there"},
		"promoted, always held":                {goal: goal{what: goalPromoted}, rollout: change(idle(), func(r *v1alpha1.Rollout) { r.Status.Hold = v1alpha1.HoldAlways }), workload: held, code: ExitReached},
		"promoted, another spec":               {goal: goal{what: goalPromoted}, rollout: change(idle(), func(r *v1alpha1.Rollout) { r.Generation++ }), code: goesOn},
		"promoted, starting":                   {goal: goal{what: goalPromoted}, rollout: starting().rollout, code: goesOn},
		"promoted, waits for a person":         {goal: goal{what: goalPromoted}, rollout: waiting().rollout, code: ExitWaiting},
		"promoted, waits, patient":             {goal: goal{what: goalPromoted, patient: true}, rollout: waiting().rollout, code: goesOn},
		"promoted, waits for a verdict too":    {goal: goal{what: goalPromoted}, rollout: weighing().rollout, code: goesOn},
		"promoted, promoting":                  {goal: goal{what: goalPromoted}, seen: "b6m2hn8wqz", rollout: promoting().rollout, code: ExitReached},
		"promoted, the one before":             {goal: goal{what: goalPromoted}, rollout: promoting().rollout, code: goesOn},
		"approval, the one before":             {goal: goal{what: goalApproval}, rollout: promoting().rollout, code: goesOn},
		"promoted, named, promoting":           {goal: goal{what: goalPromoted, revision: "b6m2hn8wqz"}, rollout: promoting().rollout, code: ExitReached},
		"promoted, withdrawn":                  {goal: goal{what: goalPromoted}, seen: "b6m2hn8wqz", rollout: idle().rollout, code: ExitRolledBack, say: "withdrawn"},
		"promoted, superseded by another":      {goal: goal{what: goalPromoted, revision: "old"}, seen: "old", rollout: starting().rollout, code: ExitError, say: "superseded by b6m2hn8wqz"},
		"promoted, newer one is followed":      {goal: goal{what: goalPromoted}, seen: "old", rollout: starting().rollout, code: goesOn},
		"promoted, revision not there yet":     {goal: goal{what: goalPromoted, revision: "b6m2"}, rollout: idle().rollout, code: goesOn, say: "not under way yet"},
		"promoted, revision under way":         {goal: goal{what: goalPromoted, revision: "b6m2"}, rollout: rolledBack().rollout, code: ExitRolledBack},
		"promoted, revision serves":            {goal: goal{what: goalPromoted, revision: "7d9c"}, rollout: starting().rollout, code: ExitReached},
		"promoted, commit not there yet":       {goal: goal{what: goalPromoted, commit: "9a8b7c6d"}, rollout: idle().rollout, code: goesOn},
		"promoted, commit serves":              {goal: goal{what: goalPromoted, commit: "3f1e0c9a"}, rollout: idle().rollout, code: ExitReached},
		"healthy, promoting":                   {goal: goal{what: goalHealthy}, rollout: promoting().rollout, code: goesOn},
		"healthy, idle":                        {goal: goal{what: goalHealthy}, rollout: idle().rollout, code: ExitReached},
		"healthy, named, another failed":       {goal: goal{what: goalHealthy, revision: "7d9c"}, rollout: rolledBack().rollout, code: ExitReached, say: "7d9c4bxk2p serves"},
		"healthy, named, another was set back": {goal: goal{what: goalHealthy, revision: "7d9c"}, rollout: setBack, code: ExitReached, say: "7d9c4bxk2p serves"},
		"healthy, named, another is tried":     {goal: goal{what: goalHealthy, revision: "7d9c"}, rollout: starting().rollout, code: goesOn},
		"healthy, stalled":                     {goal: goal{what: goalHealthy}, rollout: stalled().rollout, code: ExitError},
		"approval, waits for it":               {goal: goal{what: goalApproval}, rollout: waiting().rollout, code: ExitReached},
		"approval, waits for a verdict too":    {goal: goal{what: goalApproval}, rollout: weighing().rollout, code: ExitReached},
		"approval, starting":                   {goal: goal{what: goalApproval}, rollout: starting().rollout, code: goesOn},
		"approval, at rest":                    {goal: goal{what: goalApproval}, rollout: idle().rollout, code: ExitError, say: "no rollout is under way"},
		"approval, at rest, early":             {goal: goal{what: goalApproval, early: true}, rollout: idle().rollout, code: goesOn, say: "no rollout is under way yet"},
		"step, at rest, early":                 {goal: goal{what: goalStep, step: "2", early: true}, rollout: idle().rollout, code: goesOn},
		"step, at rest":                        {goal: goal{what: goalStep, step: "2"}, rollout: idle().rollout, code: ExitError, say: "no rollout is under way"},
		"step, taken out of the spec":          {goal: goal{what: goalStep, step: "9"}, rollout: inStep(1, true), code: ExitError, say: "there is no step 9 any more"},
		"approval, promoted without":           {goal: goal{what: goalApproval}, seen: "b6m2hn8wqz", rollout: promoting().rollout, code: ExitError},
		"approval, paused instead":             {goal: goal{what: goalApproval}, rollout: change(starting(), func(r *v1alpha1.Rollout) { r.Status.State = v1alpha1.StatePaused }), code: ExitWaiting},
		"step, before it":                      {goal: goal{what: goalStep, step: "2"}, rollout: inStep(0, true), code: goesOn},
		"step, not taken":                      {goal: goal{what: goalStep, step: "2"}, rollout: inStep(1, false), code: goesOn},
		"step, in it":                          {goal: goal{what: goalStep, step: "2"}, rollout: inStep(1, true), code: ExitReached},
		"step, by name":                        {goal: goal{what: goalStep, step: "pilot"}, rollout: inStep(1, true), code: ExitReached},
		"step, past it":                        {goal: goal{what: goalStep, step: "2"}, rollout: inStep(2, false), code: ExitReached},
		"step, reached though a person waits":  {goal: goal{what: goalStep, step: "3"}, rollout: waiting().rollout, code: ExitReached},
		"step, a person is before it":          {goal: goal{what: goalStep, step: "4"}, rollout: waiting().rollout, code: ExitWaiting},
		"step, promoted":                       {goal: goal{what: goalStep, step: "4"}, seen: "b6m2hn8wqz", rollout: promoting().rollout, code: ExitReached},
		"any, deleted": {goal: goal{what: goalPromoted}, rollout: change(idle(), func(r *v1alpha1.Rollout) {
			end := ago(0)
			r.DeletionTimestamp = &end
		}), code: ExitError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := (&judge{goal: c.goal, seen: c.seen}).rule(c.rollout, c.workload)
			code := got.code
			if !got.final && (c.goal.what != "" || code == ExitReached) {
				code = goesOn
			}
			if code != c.code || !strings.Contains(got.say, c.say) {
				t.Errorf("it ends with %d and says %q; want %d and %q", code, got.say, c.code, c.say)
			}
		})
	}
}

// goesOn is no exit code.
const goesOn = -1

// looked is what a Rollout is whose present spec was looked at.
func looked(r *v1alpha1.Rollout) { r.Status.ObservedGeneration = r.Generation }

func TestStatus_FollowsAVersionByItsRevisionOnceItWasSeen(t *testing.T) {
	t.Parallel()
	j := &judge{goal: goal{what: goalHealthy, commit: "9a8b7c6d"}}
	if got := j.rule(waiting().rollout, nil); !got.final || got.code != ExitWaiting {
		t.Fatalf("it says %+v", got)
	}
	// The next commit changed the replicas and no template.
	of := promoting().rollout
	of.Status.Incumbent.Commit = "0000000000000000"
	if got := j.rule(of, nil); got.final || !strings.Contains(got.say, "b6m2hn8wqz serves") {
		t.Errorf("of another commit by now, it says %+v", got)
	}
	of.Status.Incumbent.Revision = "next"
	if got := j.rule(of, nil); !got.final || got.code != ExitError || got.say != "b6m2hn8wqz was superseded by next" {
		t.Errorf("when the next one serves, it says %+v", got)
	}
}

// of is a workload that a commit brought; an empty one for one that the user may not see.
func of(commit string) *appsv1.Deployment {
	if commit == "" {
		return nil
	}
	w := deployment("checkout", "shop/checkout:1.5.0", 2)
	w.Annotations = map[string]string{v1alpha1.AnnotationCommit: commit}
	return w
}

func TestStatus_KnowsFromTheRecordsWhatIsOver(t *testing.T) {
	t.Parallel()
	record := func(number int64, revision, commit, failed string) appsv1.ControllerRevision {
		r := appsv1.ControllerRevision{Revision: number}
		r.Labels = map[string]string{v1alpha1.LabelRevision: revision}
		r.Annotations = map[string]string{v1alpha1.AnnotationCommit: commit, v1alpha1.AnnotationFailed: failed}
		return r
	}
	const serves, tried = "3f1e0c9a77d1c2b5a9b8", "9a8b7c6d5e4f30211234"
	records := []appsv1.ControllerRevision{
		record(1, "olderrev", "aaaaaaa1", ""), record(2, "7d9c4bxk2p", serves, ""), record(3, "failedrev", "fffffff1", "errors"),
		record(4, "goneoverrev", "eeeeeee1", ""), record(5, "b6m2hn8wqz", tried, ""), record(6, "nextrev", "bbbbbbb1", ""),
	}
	for name, c := range map[string]struct {
		goal    goal
		rollout *v1alpha1.Rollout
		// now is the workload's commit.
		now   string
		code  int
		final bool
		say   string
	}{
		"rolled back, and replaced":      {goal{what: goalPromoted, commit: "fffffff"}, starting().rollout, tried, ExitRolledBack, true, "failedrev (commit fffffff1) was rolled back: errors"},
		"rolled back, and git went":      {goal{what: goalPromoted, commit: "fffffff"}, idle().rollout, serves, ExitRolledBack, true, "failedrev (commit fffffff1) was rolled back: errors"},
		"superseded":                     {goal{what: goalPromoted, revision: "gone"}, starting().rollout, tried, ExitError, true, "goneoverrev (commit eeeeeee1) was superseded by b6m2hn8wqz (commit 9a8b7c6d)"},
		"withdrawn":                      {goal{what: goalPromoted, revision: "gone"}, idle().rollout, serves, ExitRolledBack, true, "goneoverrev (commit eeeeeee1) was withdrawn: all traffic is on 7d9c4bxk2p (commit 3f1e0c9a)"},
		"withdrawn, as far as is seen":   {goal{what: goalPromoted, revision: "gone"}, idle().rollout, "", ExitError, false, "revision gone is not under way yet"},
		"recorded ahead of the status":   {goal{what: goalPromoted, commit: "bbbbbbb"}, idle().rollout, "bbbbbbb1", ExitError, false, "commit bbbbbbb is not under way yet"},
		"ahead, the one before failed":   {goal{what: goalPromoted, commit: "bbbbbbb"}, rolledBack().rollout, "bbbbbbb1", ExitError, false, "commit bbbbbbb is not under way yet"},
		"ahead, the one before in steps": {goal{what: goalPromoted, revision: "next"}, waiting().rollout, "bbbbbbb1", ExitError, false, "revision next is not under way yet"},
		"ahead, and left already":        {goal{what: goalPromoted, commit: "bbbbbbb"}, waiting().rollout, "ccccccc1", ExitError, false, "commit bbbbbbb is not under way yet"},
		"tried again, by another commit": {goal{what: goalPromoted, commit: "eeeeeee"}, starting().rollout, "eeeeeee1", ExitError, false, "commit eeeeeee is not under way yet"},
		"older, and may come back":       {goal{what: goalPromoted, revision: "older"}, idle().rollout, serves, ExitError, false, "revision older is not under way yet"},
		"unknown":                        {goal{what: goalPromoted, commit: "1234567"}, idle().rollout, serves, ExitError, false, "commit 1234567 is not under way yet"},
		"unknown, and asked just now":    {goal{commit: "1234567"}, idle().rollout, serves, ExitError, false, "commit 1234567 is not under way yet"},
	} {
		j := &judge{goal: c.goal, kept: func() memory { return memory{records: records, workload: of(c.now)} }}
		if got := j.rule(c.rollout, nil); got != (ruling{final: c.final, code: c.code, say: c.say}) {
			t.Errorf("%s: it says %+v", name, got)
		}
	}
}

func TestStatus_IsNotTooLateForWhatItConcluded(t *testing.T) {
	t.Parallel()
	over := func() bool { return true }
	s, a, r := &session{}, &asking{wanted: goalPromoted}, idle().rollout
	a.out.bind(&cobra.Command{}, "")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, ExitReached},
		{exitWith(ExitRolledBack), ExitRolledBack},
		{fmt.Errorf("wait for Rollout shop/checkout: it is %w", errGone), ExitError},
		{context.Canceled, ExitTimeout},
		{fmt.Errorf("watch: %w", context.Canceled), ExitTimeout},
	} {
		if got := exitCode(s.late(c.err, over, a, r)); got != c.want {
			t.Errorf("%v in the moment in which the time is over ends with %d, want %d", c.err, got, c.want)
		}
	}
}
