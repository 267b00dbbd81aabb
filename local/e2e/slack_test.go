package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/slack"
	"github.com/weighlock/weighlock/local/stack"
)

// abort is what the button to abort says: it asks for a reason first.
const abort = "Abort …"

// chat is the stand-in for Slack.
var chat = slack.Client{URL: address.SlackURL}

// channel is what Slack holds.
func (r *rig) channel() slack.State {
	r.t.Helper()
	state, err := chat.State(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return state
}

// trouble gives Slack trouble, which ends with the test at the latest.
func (r *rig) trouble(t slack.Trouble) {
	r.t.Helper()
	if err := chat.Trouble(r.t.Context(), t); err != nil {
		r.t.Fatal(err)
	}
}

// thread is the root message of the rollout under way and what is below it;
// false as long as there is none.
func (r *rig) thread(v observe.View) (slack.Seen, []slack.Seen, bool) {
	r.t.Helper()
	if v.Rollout == nil {
		return slack.Seen{}, nil, false
	}
	i := slices.IndexFunc(v.Rollout.Status.Threads, func(t observe.Thread) bool { return t.Attempt == v.Rollout.Status.Attempt })
	if i < 0 {
		return slack.Seen{}, nil, false
	}
	at := v.Rollout.Status.Threads[i]
	var root slack.Seen
	var replies []slack.Seen
	for _, m := range r.channel().Messages {
		switch {
		case m.TS == at.Timestamp:
			root = m
		case m.ThreadTS == at.Timestamp:
			replies = append(replies, m)
		}
	}
	return root, replies, root.TS != ""
}

// prompt waits until Slack asks for an approval.
func (r *rig) prompt() slack.Seen {
	r.t.Helper()
	var found slack.Seen
	r.until("Slack to ask for an approval", func(v observe.View) error {
		_, replies, ok := r.thread(v)
		if !ok {
			return errors.New("there is no thread")
		}
		for _, m := range replies {
			if m.HasButton("Approve") {
				found = m
				return nil
			}
		}
		return errors.New("there is no button")
	})
	return found
}

// words are all that a message says.
func words(m slack.Seen) string {
	text, _ := json.Marshal(m.Blocks)
	return m.Text + " " + string(text)
}

// once fails the test if something was said twice, in a thread or in the
// channel. Whoever sends a message once more sends the same metadata.
func (r *rig) once() {
	r.t.Helper()
	seen := map[string]string{}
	for _, m := range r.channel().Messages {
		if m.OnlyFor != "" {
			continue
		}
		where := m.ThreadTS
		if where == m.TS {
			where = ""
		}
		for _, key := range []string{string(m.Metadata), where + " " + words(m)} {
			if key != "" && seen[key] != "" {
				r.t.Errorf("it is said twice: %s\n%s", seen[key], words(m))
			}
			seen[key] = words(m)
		}
	}
}

// concluded waits until the root message says a word, and what must be told
// below it is; the thread is returned.
func (r *rig) concluded(word string, below ...string) (slack.Seen, []slack.Seen) {
	r.t.Helper()
	var root slack.Seen
	var replies []slack.Seen
	r.until("Slack to say how it ended", func(v observe.View) error {
		var ok bool
		if root, replies, ok = r.thread(v); !ok {
			return errors.New("there is no thread")
		}
		if !strings.Contains(strings.ToLower(words(root)), word) {
			return fmt.Errorf("the root message is %s", words(root))
		}
		all := ""
		for _, m := range replies {
			all += words(m) + "\n"
		}
		for _, part := range below {
			if !strings.Contains(all, part) {
				return fmt.Errorf("below it nothing says %q:\n%s", part, all)
			}
		}
		return nil
	})
	return root, replies
}

// tellChannel tells what Slack holds, if the test fails.
func (r *rig) tellChannel() {
	r.t.Cleanup(func() {
		state, err := chat.State(context.WithoutCancel(r.t.Context()))
		if !r.t.Failed() || err != nil {
			return
		}
		for _, m := range state.Messages {
			r.t.Logf("%s (thread %s, only for %q, changed %d times) %s %s", m.TS, m.ThreadTS, m.OnlyFor, m.Changes, m.Metadata, words(m))
		}
	})
}

// asks runs the example with an approval to where it asks.
func (r *rig) asks() (users *users, commit string) {
	r.t.Helper()
	r.example, r.edit = "approval", shorter
	r.tellChannel()
	r.grant()
	r.open()
	users = r.users(load.Options{Rate: 100})
	return users, r.commit(shop.Version{Name: "2"})
}

// tells waits until the last thing that Slack told only one member says something.
func (r *rig) tells(member slack.Member, part string) {
	r.t.Helper()
	r.until(fmt.Sprintf("Slack to tell %s %q", member.Name, part), func(observe.View) error {
		var last string
		for _, m := range r.channel().Messages {
			if m.OnlyFor == member.ID {
				last = words(m)
			}
		}
		if !strings.Contains(last, part) {
			return fmt.Errorf("the last it told is %q", last)
		}
		return nil
	})
}

func TestSlack_ApprovesByASignedClickOfWhoMay(t *testing.T) {
	t.Parallel()
	r := newRig(t, "slack-click")
	users, commit := r.asks()
	prompt := r.prompt()
	for _, part := range []string{"25%", commit[:8], "Dana Developer"} {
		if !strings.Contains(words(prompt), part) {
			t.Errorf("the prompt doesn't say %q: %s", part, words(prompt))
		}
	}
	for _, forged := range []string{slack.Unsigned, slack.OtherSecret, slack.OtherBody, slack.Old} {
		d, err := chat.Click(t.Context(), slack.Click{Message: prompt.TS, Action: "Approve", User: slack.Alice.ID, Forged: forged})
		if err != nil || d.Status < http.StatusBadRequest || d.Status >= http.StatusInternalServerError {
			t.Errorf("forged %s: %+v, %v", forged, d, err)
		}
	}
	d, err := chat.Click(t.Context(), slack.Click{Message: prompt.TS, Action: "Approve", User: slack.Dana.ID})
	if err != nil || d.Problem != "" {
		t.Errorf("a click of who may not: %+v, %v", d, err)
	}
	r.tells(slack.Dana, "You may not approve")
	if got := r.decided(); len(got) != 0 {
		t.Fatalf("there are decisions: %+v", got)
	}

	if d, err = chat.Click(t.Context(), slack.Click{Message: prompt.TS, Action: "Approve", User: slack.Alice.ID}); err != nil || d.Problem != "" {
		t.Fatalf("the click: %+v, %v", d, err)
	}
	if d, err = chat.Replay(t.Context()); err != nil || d.Status != http.StatusConflict {
		t.Errorf("the click, sent once more as it was: %+v, %v; want it turned away", d, err)
	}
	r.promoted(commit)
	unharmed(t, users.stop())
	got := r.decided()
	if len(got) != 1 {
		t.Fatalf("the decisions are %+v", got)
	}
	if s := got[0].Spec; s.Actor != "slack:"+slack.Alice.ID || s.Person != stack.Alice || s.Via != "slack" || s.Verb != "approve" || got[0].Status.Outcome != "Applied" {
		t.Errorf("the decision is %+v", got[0])
	}
	r.says(reached, []string{"slack:" + slack.Alice.ID, "slack"}, stack.Dana, "history", "shop")

	// Who clicks late is told so.
	if d, err = chat.Click(t.Context(), slack.Click{Message: prompt.TS, Action: "Approve", User: slack.Bob.ID, Stale: true}); err != nil || d.Problem != "" {
		t.Errorf("a late click: %+v, %v", d, err)
	}
	r.tells(slack.Bob, "superseded")
	_, replies := r.concluded("promoted", "step 2/3", "step 3/3")
	r.once()
	for _, m := range replies {
		if m.HasButton("Approve") || m.HasButton(abort) {
			t.Errorf("buttons are left: %s", words(m))
		}
	}
	if got := r.decided(); len(got) != 1 {
		t.Errorf("the decisions are %+v", got)
	}
}

func TestSlack_AbortsForAReasonThatIsAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, "slack-abort")
	users, _ := r.asks()
	prompt := r.prompt()
	// carla is in the group that may.
	if d, err := chat.Click(t.Context(), slack.Click{Message: prompt.TS, Action: abort, User: slack.Carla.ID}); err != nil || d.Problem != "" {
		t.Fatalf("the click: %+v, %v", d, err)
	}
	var modal slack.View
	r.until("a modal to ask for the reason", func(observe.View) error {
		views := r.channel().Views
		i := slices.IndexFunc(views, func(v slack.View) bool { return v.User == slack.Carla.ID })
		if i < 0 {
			return errors.New("there is none")
		}
		modal = views[i]
		return nil
	})
	if d, err := chat.Submit(t.Context(), slack.Submit{View: modal.ID, Values: map[string]string{"": "the totals are wrong"}}); err != nil || d.Problem != "" {
		t.Fatalf("the modal: %+v, %v", d, err)
	}
	view := r.rolledBack()
	if !strings.Contains(view.Progress.Reason, "the totals are wrong") {
		t.Errorf("it was rolled back because %q", view.Progress.Reason)
	}
	unharmed(t, users.stop())
	got := r.decided()
	if len(got) != 1 || got[0].Spec.Verb != "abort" || got[0].Spec.Actor != "slack:"+slack.Carla.ID || got[0].Spec.Reason != "the totals are wrong" {
		t.Errorf("the decisions are %+v", got)
	}
	r.concluded("rolled back", "the totals are wrong")
	r.once()
}

// It gives Slack trouble, so it runs alone.
func TestSlack_BeingAwayKeepsNobodyFromApproving(t *testing.T) {
	r := newRig(t, "slack-away")
	t.Cleanup(func() { _ = chat.Trouble(context.WithoutCancel(t.Context()), slack.Trouble{}) })
	// The first message is taken, and the answer lost: it is not sent again.
	r.trouble(slack.Trouble{Mode: slack.Lost, Times: 1, Methods: []string{"chat.postMessage"}})
	users, commit := r.asks()
	var first slack.Seen
	r.until("Slack to tell of the rollout", func(v observe.View) error {
		var ok bool
		if first, _, ok = r.thread(v); !ok {
			return errors.New("it doesn't")
		}
		return nil
	})
	r.trouble(slack.Trouble{Mode: slack.Down})
	r.says(waitsForPerson, nil, stack.Bob, "status", "shop", "--for=promoted", "--commit="+commit, "--timeout="+patience.String())
	pid := killWeighlock(t)
	r.says(reached, nil, stack.Bob, "approve", "shop", "--reason=Slack is down", "--wait=false")
	r.promoted(commit)
	if weighlock(t) == pid {
		t.Error("Weighlock was not ended")
	}
	unharmed(t, users.stop())
	if got := r.decided(); len(got) != 1 || got[0].Spec.Actor != stack.Bob || got[0].Spec.Via != "kubectl" || got[0].Status.Outcome != "Applied" {
		t.Errorf("the decisions are %+v", got)
	}

	r.trouble(slack.Trouble{})
	root, _ := r.concluded("promoted")
	if root.TS != first.TS {
		t.Errorf("there is another root message since: %s", words(root))
	}
	r.once()
}

// It configures Weighlock anew, so it runs alone.
func TestSlack_TakesClicksByASocketWithoutANewStart(t *testing.T) {
	r := newRig(t, "slack-socket")
	pid := weighlock(t)
	configure := func(ctx context.Context, configuration string) {
		if err := running.Configure(ctx, configuration); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { configure(context.WithoutCancel(t.Context()), running.Configuration()) })
	configure(t.Context(), stack.SocketMode(running.Configuration()))
	users, commit := r.asks()
	r.until("Weighlock to open a socket", func(observe.View) error {
		if r.channel().Sockets == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	prompt := r.prompt()
	// Nobody listens where Slack would call, and what is signed there makes no decision.
	if d, err := chat.Click(t.Context(), slack.Click{Message: prompt.TS, Action: "Approve", User: slack.Alice.ID, Forged: slack.OtherSecret}); err != nil || d.Status == http.StatusOK {
		t.Errorf("a forged request: %+v, %v", d, err)
	}
	if d, err := chat.Click(t.Context(), slack.Click{Message: prompt.TS, Action: "Approve", User: slack.Carla.ID}); err != nil || d.Status != http.StatusOK || d.Problem != "" {
		t.Fatalf("the click: %+v, %v", d, err)
	}
	r.promoted(commit)
	unharmed(t, users.stop())
	got := r.decided()
	if len(got) != 1 || got[0].Spec.Actor != "slack:"+slack.Carla.ID || got[0].Spec.Via != "slack" || got[0].Status.Outcome != "Applied" {
		t.Errorf("the decisions are %+v", got)
	}
	if weighlock(t) != pid {
		t.Error("Weighlock was started anew")
	}
	r.concluded("promoted")
	r.once()
}
