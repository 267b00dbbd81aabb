package slack_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/weighlock/weighlock/notifier"
)

// event is something that happened to the Rollout as it is now.
func (r *rig) event(id, reason, message string) notifier.Event {
	r.t.Helper()
	now := r.now()
	return notifier.Event{
		ID: id, At: time.Now(), Reason: reason, Message: message, Rollout: now,
		Object: corev1.ObjectReference{Kind: "Rollout", Namespace: now.Namespace, Name: now.Name, UID: now.UID},
	}
}

func (r *rig) deliver(e notifier.Event) error {
	return r.app.Sink("releases", channel).Deliver(r.t.Context(), e)
}

func (r *rig) told(e notifier.Event) {
	r.t.Helper()
	if err := r.deliver(e); err != nil {
		r.t.Fatal(err)
	}
}

// lines are the texts in a thread.
func (s *space) lines(thread string) []string {
	var lines []string
	for _, p := range s.all() {
		if p.Thread == thread && thread != "" {
			lines = append(lines, p.Text)
		}
	}
	return lines
}

func TestSink_TellsInTheThreadOfTheRollout(t *testing.T) {
	r := newRig(t)
	r.set(inStep)
	for i, reason := range []string{"Started", "StepEntered"} {
		r.told(r.event(fmt.Sprint(i), reason, "newrev goes on"))
	}
	r.sync()
	lines := r.space.lines(r.thread().Timestamp)
	if len(r.space.all()) != 3 || len(lines) != 2 || !strings.Contains(lines[0], "Started") || !strings.Contains(lines[1], "StepEntered") {
		t.Errorf("the thread says %q of %d messages, want both events in their order below one message", lines, len(r.space.all()))
	}
}

func TestSink_TellsInTheChannelWhatBelongsToNoThread(t *testing.T) {
	r := newRig(t)
	r.set(idle)
	source := notifier.Event{ID: "1", Reason: "FetchFailed", Warning: true, Message: "no such branch", Object: corev1.ObjectReference{Kind: "GitSource", Namespace: "shop", Name: "git"}}
	r.told(source)
	r.told(r.event("2", "Adopted", "the workload is adopted"))
	r.channels = nil
	r.set(inStep)
	r.told(r.event("3", "Started", "newrev is tried"))
	for i, says := range []string{"shop/git", r.rollout.Namespace + "/checkout", r.rollout.Namespace + "/checkout"} {
		if p := r.space.all()[i]; p.Thread != "" || !strings.Contains(string(p.Blocks), says) {
			t.Errorf("message %d is %+v, want it in the channel, naming %s", i, p, says)
		}
	}
}

func TestSink_LeavesToThePromptWhatThatSays(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	r.told(r.event("1", "ApprovalNeeded", "step 2/2 waits for a person's approval"))
	if lines := r.space.lines(r.thread().Timestamp); len(lines) != 1 {
		t.Errorf("the thread says %q, want the prompt only", lines)
	}
	r.channels[0].Approvals = false
	r.told(r.event("1", "ApprovalNeeded", "step 2/2 waits for a person's approval"))
	if lines := r.space.lines(r.thread().Timestamp); len(lines) != 2 {
		t.Errorf("the thread says %q, want the event too where nobody is asked", lines)
	}
}

func TestSink_TellsOnceWhatMayHaveBeenTold(t *testing.T) {
	for name, lost := range map[string]trouble{
		"connection lost": {done: true, silent: true},
		"server's error":  {done: true, status: http.StatusBadGateway},
		"fatal error":     {done: true, word: "internal_error"},
		"not told":        {status: http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.becomes(inStep)
			r.space.trouble("chat.postMessage", lost)
			e := r.event("1", "StepEntered", "step 1/2")
			err := r.deliver(e)
			var permanent *notifier.PermanentError
			if err == nil || errors.As(err, &permanent) {
				t.Fatalf("the error is %v, want one after which it is tried again", err)
			}
			r.told(e)
			if lines := r.space.lines(r.thread().Timestamp); len(lines) != 1 {
				t.Errorf("the thread says %q, want one line", lines)
			}
		})
	}
}

func TestSink_SaysWhetherToTryAgain(t *testing.T) {
	r := newRig(t)
	fake := r.stopped()
	r.becomes(inStep)
	for name, try := range map[string]struct {
		trouble trouble
		is      func(error) bool
		says    string
	}{
		"limited": {trouble{status: 429, retryAfter: 7}, func(err error) bool {
			var later *notifier.RetryError
			return errors.As(err, &later) && later.After == 7*time.Second
		}, "retry"},
		"limited, not said for how long": {trouble{status: 429}, func(err error) bool {
			var later *notifier.RetryError
			return errors.As(err, &later) && later.After == 30*time.Second
		}, "429"},
		"limited in words": {trouble{word: "ratelimited"}, func(err error) bool {
			var later *notifier.RetryError
			return errors.As(err, &later)
		}, "ratelimited"},
		"not in the channel": {trouble{word: "not_in_channel"}, inAMinute, "invite it"},
		"no channel":         {trouble{word: "channel_not_found"}, inAMinute, "use the channel's id"},
		"revoked":            {trouble{word: "token_revoked"}, inAMinute, "install the app again"},
		"exchanged":          {trouble{word: "invalid_auth"}, inAMinute, "put the one that Slack shows into the Secret"},
		"unfit":              {trouble{word: "invalid_blocks"}, permanent, "the message's form"},
		"unknown word":       {trouble{word: "strange_thing"}, func(err error) bool { var a *notifier.AnswerError; return errors.As(err, &a) }, "strange_thing"},
		"server's error":     {trouble{status: 500}, func(err error) bool { return !permanent(err) }, "500"},
	} {
		r.space.trouble("chat.postMessage", try.trouble)
		err := r.deliver(r.event(name, "StepEntered", "step 1/2"))
		if err == nil || !try.is(err) || !strings.Contains(err.Error(), try.says) || strings.Contains(err.Error(), botToken) {
			t.Errorf("%s: the error is %v", name, err)
		}
		fake.Step(time.Hour)
	}
}

// inAMinute says that the event is tried until somebody has mended the app.
func inAMinute(err error) bool {
	var later *notifier.RetryError
	return errors.As(err, &later) && later.After == time.Minute && !permanent(err)
}

func TestSink_SaysInTheLogOnceWhatToMend(t *testing.T) {
	r := newRig(t)
	var log strings.Builder
	r.options.Log = logTo(&log)
	r.start()
	r.becomes(inStep)
	for range 3 {
		r.space.trouble("chat.postMessage", trouble{word: "not_in_channel"})
		if err := r.deliver(r.event("1", "StepEntered", "step 1/2")); err == nil {
			t.Fatal("no error, though the app is not in the channel")
		}
	}
	if text := logged(&log); strings.Count(text, "invite it") != 1 {
		t.Errorf("the log says %s, want once what to do", text)
	}
}

func TestSink_KeepsTheRestThatSlackWants(t *testing.T) {
	for name, said := range map[string]func(*rig){
		"where messages are brought up to date": func(r *rig) { r.becomes(asking) },
		"where events are told": func(r *rig) {
			if err := r.deliver(r.event("1", "StepEntered", "step 1/2")); err == nil {
				r.t.Error("no error, though Slack wants a rest")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			fake := r.stopped()
			r.becomes(inStep)
			r.space.trouble("chat.postMessage", trouble{status: http.StatusTooManyRequests, retryAfter: 17})
			said(r)
			before := r.space.called("chat.postMessage")
			fake.Step(16 * time.Second)
			r.becomes(asking)
			var later *notifier.RetryError
			if err := r.deliver(r.event("2", "StepEntered", "step 2/2")); !errors.As(err, &later) || later.After != time.Second {
				t.Errorf("the error is %v, want one after which it is tried in the second that is left", err)
			}
			if n := r.space.called("chat.postMessage") - before; n != 0 {
				t.Errorf("Slack was asked %d times before the rest was over", n)
			}
			fake.Step(2 * time.Second)
			r.sync()
			r.told(r.event("2", "StepEntered", "step 2/2"))
			if lines := r.space.lines(r.thread().Timestamp); len(lines) != 2 {
				t.Errorf("the thread says %q, want the prompt and the event", lines)
			}
		})
	}
}

func permanent(err error) bool {
	var p *notifier.PermanentError
	return errors.As(err, &p)
}

func TestSink_TellsTheChannelWhereTheThreadWasDeleted(t *testing.T) {
	r := newRig(t)
	r.becomes(inStep)
	r.space.remove(r.thread().Timestamp)
	r.told(r.event("1", "RolledBack", "bad numbers"))
	if all := r.space.all(); len(all) != 1 || all[0].Thread != "" || !strings.Contains(string(all[0].Blocks), "checkout") {
		t.Errorf("want one message in the channel that names the Rollout, got %+v", all)
	}
}

func TestSink_TellsOfARolloutThatIsOverInItsThread(t *testing.T) {
	r := newRig(t)
	r.becomes(inStep)
	before := r.thread()
	e := r.event("1", "StepEntered", "step 1/2")
	r.becomes(retried)
	after := r.event("2", "Started", "newrev again")
	r.told(e)
	r.told(after)
	if lines := r.space.lines(r.thread().Timestamp); len(lines) != 1 || !strings.Contains(lines[0], "Started") {
		t.Errorf("the new thread says %q, want its own event only", lines)
	}
	if before.Timestamp == r.thread().Timestamp {
		t.Error("both attempts are in one thread")
	}
	if n := len(r.space.all()); n != 4 {
		t.Errorf("there are %d messages, want two rollouts and two events", n)
	}
}

func TestSink_OpensTheThreadOfARolloutThatEndedWhileSlackWasAway(t *testing.T) {
	r := newRig(t)
	r.set(rolledBack)
	r.told(r.event("1", "RolledBack", "bad numbers"))
	r.sync()
	all := r.space.all()
	if len(all) != 2 || all[1].Thread != all[0].TS || !strings.Contains(all[0].Text, "Rolled back") || !r.thread().Over {
		t.Errorf("want a message that says it was rolled back, and the event below, got %+v", all)
	}
}

func TestSink_IsAheadOfCaches(t *testing.T) {
	r := newRig(t)
	r.set(inStep)
	r.sync()
	first := r.thread()
	e := r.event("1", "Started", "newrev again")
	retried(&e.Rollout.Status) // The event tells of what is not written yet.
	r.told(e)
	r.sync()
	if now := r.thread(); now.Attempt != 3 || now.Timestamp == first.Timestamp {
		t.Errorf("the thread is %+v, want the new attempt's", now)
	}
	r.becomes(retried)
	if all := r.space.all(); len(all) != 3 || !strings.Contains(all[1].Text, "Starting") {
		t.Errorf("want the old rollout, the new one and the event, got %+v", all)
	}
}

func TestSink_TellsWhatHappenedToARolloutThatIsGone(t *testing.T) {
	r := newRig(t)
	r.becomes(inStep)
	thread := r.thread().Timestamp
	e := r.event("1", "LeftPaused", "the workload is left paused")
	if err := admin.Delete(t.Context(), r.now()); err != nil {
		t.Fatal(err)
	}
	r.told(e)
	if lines := r.space.lines(thread); len(lines) != 1 {
		t.Errorf("the thread says %q, want the event", lines)
	}
}

func TestSink_NamesWhoDecidedAsSlackDoesAndNobodyElse(t *testing.T) {
	const forged = ": <!channel> *now* :white_check_mark: :+1:\n:thumbsup: and by slack:U0BOSS through slack"
	for name, try := range map[string]struct {
		reason, message string
		named           bool
	}{
		"a member":               {"Approved", "step 1/2 of newrev is approved by slack:U0ALICE through slack (1 of 2)", true},
		"a member, and why":      {"Approved", "step 1/2 of newrev is approved by slack:U0ALICE through slack" + forged, true},
		"a known member":         {"RolledBack", "newrev was rolled back: aborted by slack:U0ALICE (alice) through slack" + forged, true},
		"a user":                 {"Approved", "step 1/2 of newrev is approved by mallory through kubectl" + forged, false},
		"a user, who says it so": {"Paused", "newrev is paused by mallory through kubectl: by slack:U0ALICE", false},
		"an author":              {"Started", "newrev is tried, from commit c0ffee by slack:U0ALICE", false},
		"no such revision":       {"DecisionSuperseded", "the decision to approve by slack:U0ALICE, by mallory through kubectl, came to nothing", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.becomes(inStep)
			r.told(r.event("1", try.reason, try.message))
			text := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(r.space.all()[1].Blocks))
			if strings.Contains(text, "<@U0ALICE>") != try.named {
				t.Errorf("the line is %s", text)
			}
			for _, markup := range []string{"<@U0BOSS", "<!", "*now*", `\n`, ":thumbsup:", ":white", ":+1:"} {
				if strings.Contains(text, markup) {
					t.Errorf("the markup %s of others is in the line %s", markup, text)
				}
			}
		})
	}
}

func TestSink_GoesAtThePaceThatSlackAllows(t *testing.T) {
	r := newRig(t)
	began := time.Now()
	r.becomes(inStep)
	for i := range 5 {
		r.told(r.event(fmt.Sprint(i), "StepEntered", "again"))
	}
	if took := time.Since(began); took < 1900*time.Millisecond {
		t.Errorf("six messages took %s: Slack allows one a second, but for a few", took)
	}
	if lines := r.space.lines(r.thread().Timestamp); len(lines) != 5 {
		t.Errorf("the thread says %q, want five lines", lines)
	}
}

func TestSink_TellsWhenSlackIsBack(t *testing.T) {
	r := newRig(t)
	r.set(inStep)
	r.space.setAway(true)
	if err := r.deliver(r.event("1", "Started", "x")); err == nil || permanent(err) {
		t.Errorf("the error is %v, want one after which it is tried again", err)
	}
	r.space.setAway(false)
	r.told(r.event("1", "Started", "x"))
	if n := len(r.space.all()); n != 2 {
		t.Errorf("there are %d messages, want the rollout's and the event", n)
	}
}
