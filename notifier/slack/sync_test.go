package slack_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier/slack"
)

// stopped gives the rig a clock that the test moves.
func (r *rig) stopped() *clocktesting.FakeClock {
	fake := clocktesting.NewFakeClock(time.Now())
	r.options.Clock = fake
	r.start()
	return fake
}

func TestSync_SaysNothingOfRolloutsAtRest(t *testing.T) {
	r := newRig(t)
	r.becomes(idle)
	r.becomes(rolledBack, func(s *v1alpha1.RolloutStatus) { s.Attempt = 7 })
	if n := r.space.called(); n != 0 {
		t.Errorf("Slack was called %d times about a Rollout of which there is nothing to tell", n)
	}
}

func TestSync_SaysNothingAgainAfterARestart(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	r.becomes(promoted)
	r.start()
	before := r.space.called()
	r.sync()
	if n := r.space.called() - before; n != 0 {
		t.Errorf("Slack was called %d times after the restart", n)
	}
	if thread := r.thread(); !thread.Over || !thread.Prompt.Closed {
		t.Errorf("the thread is %+v, want it over and its prompt closed", thread)
	}
}

func TestSync_GoesOnInTheSameThreadAfterARestart(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	before := r.thread()
	r.start()
	r.becomes(approvedBy("carol"))
	r.start()
	r.becomes(promoted)
	if after := r.thread(); after.Timestamp != before.Timestamp || after.Prompt.ID != before.Prompt.ID {
		t.Errorf("the thread is %+v after the restarts, and was %+v", after, before)
	}
	all := r.space.all()
	if len(all) != 2 || !strings.Contains(all[0].Text, "Promoted") || strings.Contains(all[1].says(), "button") {
		t.Errorf("want the rollout promoted and the prompt without buttons, got %+v", all)
	}
}

func TestSync_SendsNothingTwiceWhereTheAnswerWasLost(t *testing.T) {
	for name, lost := range map[string]trouble{
		"connection lost": {done: true, silent: true},
		"server's error":  {done: true, status: http.StatusInternalServerError},
		"fatal error":     {done: true, word: "fatal_error"},
		"no such answer":  {done: true, status: http.StatusServiceUnavailable},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				fake := r.stopped()
				r.space.trouble("chat.postMessage", lost, lost)
				r.set(asking)
				for range 4 {
					if restart {
						r.start()
					}
					r.sync()
					fake.Step(time.Minute)
				}
				if n := len(r.space.all()); n != 2 {
					t.Errorf("there are %d messages, want the rollout's and its prompt", n)
				}
				r.space.once(t)
				if thread := r.thread(); thread.Timestamp == "" || thread.Prompt == nil || thread.Prompt.Timestamp == "" {
					t.Errorf("the thread is %+v, want it to know its messages", thread)
				}
			})
		}
	}
}

func TestSync_FindsAMessageBehindMany(t *testing.T) {
	r := newRig(t)
	fake := r.stopped()
	r.space.trouble("chat.postMessage", trouble{done: true, silent: true})
	r.set(inStep)
	r.sync()
	r.space.mu.Lock()
	for range 9 {
		r.space.clock++
		r.space.posts = append(r.space.posts, &post{TS: "9" + time.Now().Format("150405.000000000"), Channel: channel, Text: "chatter"})
	}
	r.space.pageSize = 3
	r.space.mu.Unlock()
	fake.Step(time.Minute)
	r.sync()
	r.space.once(t)
	if thread := r.thread(); thread.Timestamp != r.space.all()[0].TS {
		t.Errorf("the thread is %+v, want the message that was sent", thread)
	}
}

func TestSync_WaitsWhileSlackIsAway(t *testing.T) {
	r := newRig(t)
	fake := r.stopped()
	r.space.setAway(true)
	r.set(asking)
	var waits []time.Duration
	for range 8 {
		again := r.sync()
		waits = append(waits, again)
		before := r.space.called()
		if r.sync(); r.space.called() != before {
			t.Error("Slack was called before the pause was over")
		}
		fake.Step(again)
	}
	for i, want := range []string{"1s", "2s", "4s", "8s", "16s", "30s", "30s", "30s"} {
		if waits[i].String() != want {
			t.Errorf("pause %d is %s, want %s", i, waits[i], want)
		}
	}
	r.space.setAway(false)
	r.sync()
	if n := len(r.space.all()); n != 2 {
		t.Errorf("there are %d messages once Slack is back, want two", n)
	}
}

func TestSync_WaitsAsLongAsSlackSays(t *testing.T) {
	r := newRig(t)
	fake := r.stopped()
	r.space.trouble("chat.postMessage", trouble{status: http.StatusTooManyRequests, retryAfter: 17})
	r.set(inStep)
	if again := r.sync(); again != 17*time.Second {
		t.Errorf("it looks again after %s, want 17s", again)
	}
	fake.Step(16 * time.Second)
	if r.sync(); len(r.space.all()) != 0 {
		t.Error("Slack was asked again too soon")
	}
	fake.Step(time.Second)
	if r.sync(); len(r.space.all()) != 1 {
		t.Error("the message was not sent when Slack allowed it")
	}
}

func TestSync_LetsAMethodRestInAllChannels(t *testing.T) {
	r := newRig(t)
	fake := r.stopped()
	r.channels = append(r.channels, slack.Channel{Sink: "second", ID: "C0SECOND"})
	r.becomes(inStep)
	r.space.trouble("chat.update", trouble{status: http.StatusTooManyRequests, retryAfter: 17})
	r.becomes(paused)
	if n := r.space.called("chat.update"); n != 1 {
		t.Errorf("there were %d changes, want one: Slack limits them for all channels together", n)
	}
	fake.Step(17 * time.Second)
	r.sync()
	for _, p := range r.space.all() {
		if !strings.Contains(p.Text, "Paused") {
			t.Errorf("%s says %s, want what is so once Slack allows it", p.Channel, p.Text)
		}
	}
}

func TestSync_ChangesMessagesAtThePaceThatSlackAllows(t *testing.T) {
	r := newRig(t)
	r.channels = append(r.channels, slack.Channel{Sink: "second", ID: "C0SECOND"})
	r.becomes(inStep)
	began := time.Now()
	for range 3 {
		r.becomes(paused)
		r.becomes(inStep)
	}
	if took, n := time.Since(began), r.space.called("chat.update"); n != 12 || took < 4500*time.Millisecond {
		t.Errorf("%d changes in two channels took %s: Slack allows 50 a minute in all channels together, and a few more", n, took)
	}
}

func TestSync_TroubleInOneChannelKeepsNothingFromOthers(t *testing.T) {
	r := newRig(t)
	r.channels = []slack.Channel{{Sink: "broken", ID: "C0BROKEN"}, {Sink: "releases", ID: channel, Approvals: true}}
	r.space.trouble("conversations.history", trouble{word: "channel_not_found"})
	r.set(asking)
	again := r.sync()
	if n := len(r.space.all()); n != 2 {
		t.Errorf("the other channel has %d messages, want two", n)
	}
	if again == 0 || again > time.Minute {
		t.Errorf("the broken channel is looked at again after %s, want a minute at most", again)
	}
}

func TestSync_TroubleWithOneMessageKeepsNothingFromOthers(t *testing.T) {
	r := newRig(t)
	r.stopped()
	r.space.trouble("chat.postMessage", trouble{word: "invalid_blocks"})
	r.becomes(inStep)
	other := newRig(t)
	other.set(inStep)
	if _, err := r.app.Sync(t.Context(), other.now()); err != nil {
		t.Fatal(err)
	}
	if n := len(r.space.all()); n != 1 {
		t.Errorf("the other Rollout has %d messages, want one", n)
	}
}

func TestSync_ChangesAMessageForNumbersAloneNowAndThen(t *testing.T) {
	r := newRig(t)
	fake := r.stopped()
	r.becomes(inStep)
	measured := func(share string) func(*v1alpha1.RolloutStatus) {
		return func(s *v1alpha1.RolloutStatus) { s.Traffic.Measured = share }
	}
	fake.Step(5 * time.Second)
	r.set(measured("5.1%"))
	if again := r.sync(); again != 10*time.Second || r.space.called("chat.update") != 0 {
		t.Errorf("numbers were told after %d updates, and again in %s; want none, and 10s", r.space.called("chat.update"), again)
	}
	fake.Step(10 * time.Second)
	if again := r.sync(); again != 0 || r.space.called("chat.update") != 1 {
		t.Errorf("after 15 s there were %d updates, want one", r.space.called("chat.update"))
	}
	r.sync()
	if n := r.space.called("chat.update"); n != 1 {
		t.Errorf("what didn't change was sent: %d updates", n)
	}
	r.becomes(paused)
	if n := r.space.called("chat.update"); n != 2 {
		t.Errorf("a change of state was not told at once: %d updates", n)
	}
}

func TestSync_LooksAtNothingThatIsOlderThanWhatWasTold(t *testing.T) {
	r := newRig(t)
	r.set(rolledBack)
	old := r.now()
	r.becomes(retried)
	if _, err := r.app.Sync(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if p := r.space.all()[0]; p.edits != 0 || r.thread().Over {
		t.Errorf("the new attempt was ended by what a cache still has of the old one: %s", p.Text)
	}
}

func TestSync_FinishesTheMessageOfAVersionThatIsFollowedAtOnce(t *testing.T) {
	r := newRig(t)
	r.stopped() // So that the message is as old as nothing.
	r.becomes(inStep)
	r.becomes(promoting)
	r.becomes(promoting, func(s *v1alpha1.RolloutStatus) {
		s.State, s.Attempt, s.Candidate = v1alpha1.StateStarting, 3, &v1alpha1.RevisionStatus{Revision: "newerrev"}
	})
	all := r.space.all()
	if len(all) != 2 || !strings.Contains(all[0].Text, "it serves all requests") || strings.Contains(all[0].says(), "brought up") {
		t.Errorf("want the first version's end and the second's message, got %+v", all)
	}
}

func TestSync_OpensADeletedThreadAgain(t *testing.T) {
	r := newRig(t)
	r.stopped()
	r.becomes(asking)
	before := r.thread()
	r.space.remove(before.Timestamp)
	r.space.remove(before.Prompt.Timestamp)
	r.becomes(two)
	after := r.thread()
	all := r.space.all()
	if len(all) != 2 || after.Timestamp != all[0].TS || all[1].Thread != all[0].TS || after.Prompt.ID != before.Prompt.ID {
		t.Errorf("want the message and the prompt again, got %+v", all)
	}
	calls := r.space.called()
	for range 3 {
		r.sync()
	}
	if n := r.space.called() - calls; n != 0 {
		t.Errorf("there were %d calls more", n)
	}
}

func TestSync_SendsAnewWhatAnotherAppSent(t *testing.T) {
	r := newRig(t)
	r.becomes(inStep)
	r.space.mu.Lock()
	r.space.posts[0].foreign = true
	r.space.mu.Unlock()
	r.becomes(paused)
	r.becomes(inStep)
	if all := r.space.all(); len(all) != 2 || r.thread().Timestamp != all[1].TS {
		t.Errorf("want one more message, got %+v", all)
	}
}

func TestSync_LeavesADeletedMessageOfARolloutThatIsOver(t *testing.T) {
	r := newRig(t)
	r.becomes(inStep)
	r.space.remove(r.thread().Timestamp)
	r.becomes(promoted)
	calls := r.space.called()
	r.sync()
	if n := len(r.space.all()); n != 0 || r.space.called() != calls || !r.thread().Over {
		t.Errorf("there are %d messages and %d calls more, want none", n, r.space.called()-calls)
	}
}

func TestSync_KeepsTheRestOfTheStatus(t *testing.T) {
	r := newRig(t)
	r.set(asking)
	old := r.now()
	r.set(func(s *v1alpha1.RolloutStatus) { s.WaitingFor = "something else" })
	if _, err := r.app.Sync(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if now := r.now(); now.Status.WaitingFor != "something else" || len(now.Status.Threads) != 1 {
		t.Errorf("the status is %+v, want what others wrote, and the thread", now.Status)
	}
}

func TestSync_MakesRoomForAnotherSink(t *testing.T) {
	r := newRig(t)
	r.set(inStep, func(s *v1alpha1.RolloutStatus) {
		for name := range strings.SplitSeq("a b c d e f g h i j k l m n o p", " ") {
			s.Threads = append(s.Threads, v1alpha1.Thread{Sink: name, Attempt: 1, Channel: "C0" + name, Timestamp: "1.1", Over: true})
		}
	})
	r.sync()
	if thread := r.thread(); thread.Sink != "releases" {
		t.Errorf("the thread is %+v, want that of the sink that is there", thread)
	}
}

func TestSync_WritesLaterWhatCouldNotBeWritten(t *testing.T) {
	r := newRig(t)
	broken := &frail{Client: r.options.Client, fails: true}
	r.options.Client = broken
	r.start()
	r.set(inStep)
	if _, err := r.app.Sync(t.Context(), r.now()); err == nil {
		t.Fatal("no error, though the status could not be written")
	}
	broken.fails = false
	r.sync()
	if thread := r.thread(); thread.Timestamp != r.space.all()[0].TS || len(r.space.all()) != 1 {
		t.Errorf("the thread is %+v, want the message that was sent, once", thread)
	}
}
