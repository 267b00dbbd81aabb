package slack_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// wire is Slack's end of Socket Mode.
type wire struct {
	mu          sync.Mutex
	connections []*websocket.Conn
	// answers are what the app said to envelopes, by their ids.
	answers map[string]string
	opened  int
}

// open answers a call of apps.connections.open.
func (s *space) connect(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wrong := s.next("apps.connections.open"); wrong != nil {
		s.fail(w, wrong)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+appToken {
		s.answer(w, refuse("invalid_auth"))
		return
	}
	s.answer(w, map[string]any{"url": "ws://" + r.Host + "/socket?ticket=secret"})
}

func (s *space) listen(w http.ResponseWriter, r *http.Request) {
	c, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.wire.mu.Lock()
	s.wire.connections = append(s.wire.connections, c)
	s.wire.opened++
	err = c.WriteJSON(map[string]any{"type": "hello"})
	s.wire.mu.Unlock()
	for err == nil {
		var answer struct {
			ID      string          `json:"envelope_id"`
			Payload json.RawMessage `json:"payload"`
		}
		if err = c.ReadJSON(&answer); err == nil {
			s.wire.mu.Lock()
			s.wire.answers[answer.ID] = string(answer.Payload)
			s.wire.mu.Unlock()
		}
	}
}

// send sends an envelope over the last connection.
func (w *wire) send(t *testing.T, envelope, payload string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.connections[len(w.connections)-1].WriteJSON(map[string]any{
		"type": "interactive", "envelope_id": envelope, "accepts_response_payload": true, "payload": json.RawMessage(payload),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// answer is what the app said to an envelope; false as long as it hasn't.
func (w *wire) answer(envelope string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	answer, is := w.answers[envelope]
	return answer, is
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// cut ends the last connection.
func (w *wire) cut(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.connections[len(w.connections)-1].Close(); err != nil {
		t.Error(err)
	}
}

// socket has the app listen until the test is over.
func (r *rig) socket() *wire {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.app.Socket(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				r.t.Errorf("the connection ended with %v", err)
			}
		case <-time.After(time.Minute):
			r.t.Error("the connection doesn't end with its context")
		}
	})
	return r.space.wire
}

func TestSocket_TakesClicks(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	w := r.socket()
	r.eventually("a connection", func() bool { return w.count() == 1 })
	w.send(t, "1", r.approve("U0ALICE").payload())
	r.made(1, v1alpha1.DecisionApplied, "approved")
	r.answered("U0ALICE", "Done: approved")
	if _, is := w.answer("1"); !is {
		t.Error("the envelope was not acknowledged")
	}
}

func TestSocket_AsksForAReason(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	w := r.socket()
	r.eventually("a connection", func() bool { return w.count() == 1 })
	w.send(t, "1", r.reason(" "))
	r.eventually("an answer", func() bool { _, is := w.answer("1"); return is })
	if answer, _ := w.answer("1"); !strings.Contains(answer, `"response_action":"errors"`) {
		t.Errorf("the answer is %s, want the modal to ask again", answer)
	}
	w.send(t, "2", r.reason("broken"))
	if d := r.made(1, v1alpha1.DecisionApplied, "aborted")[0]; d.Spec.Reason != "broken" {
		t.Errorf("the decision is %+v", d.Spec)
	}
	if answer, is := w.answer("2"); !is || strings.Contains(answer, "errors") {
		t.Errorf("the answer is %q, want the modal to close", answer)
	}
}

func TestSocket_AcknowledgesNoClickThatItDrops(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	why := r.reason("broken")
	w := r.socket()
	r.eventually("a connection", func() bool { return w.count() == 1 })
	r.app.Wait() // From now on it works on nothing.
	w.send(t, "1", r.approve("U0ALICE").payload())
	w.send(t, "2", why)
	r.eventually("an answer", func() bool { _, is := w.answer("2"); return is })
	if answer, _ := w.answer("2"); !strings.Contains(answer, "Send it once more") {
		t.Errorf("the modal is answered with %s, want it to stay and say why", answer)
	}
	if _, is := w.answer("1"); is {
		t.Error("the click was acknowledged, and Slack shows that it was heard")
	}
}

func TestSocket_LivesOnAfterWhatItDoesNotUnderstand(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	w := r.socket()
	r.eventually("a connection", func() bool { return w.count() == 1 })
	for i, payload := range []string{`{}`, `{"type":"block_actions","actions":[{}]}`, `{"type":"shortcut"}`, `[]`, `"x"`} {
		w.send(t, string(rune('a'+i)), payload)
	}
	w.send(t, "1", r.approve("U0ALICE").payload())
	r.made(1, v1alpha1.DecisionApplied, "approved")
}

func TestSocket_ConnectsAgain(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	w := r.socket()
	r.eventually("a connection", func() bool { return w.count() == 1 })
	w.cut(t)
	r.eventually("another connection", func() bool { return w.count() == 2 })
	w.send(t, "1", r.approve("U0ALICE").payload())
	r.made(1, v1alpha1.DecisionApplied, "approved")
}

func TestSocket_TriesSoonAgainWhileSlackIsAway(t *testing.T) {
	r := newRig(t)
	fake := r.stopped()
	for range 12 {
		r.space.trouble("apps.connections.open", trouble{status: http.StatusBadGateway})
	}
	began := fake.Now()
	w := r.socket()
	r.eventually("a connection once Slack is back", func() bool {
		if fake.HasWaiters() {
			fake.Step(30 * time.Second)
		}
		return w.count() == 1
	})
	if took := fake.Since(began); took > 10*time.Minute {
		t.Errorf("it took %s for twelve tries, want a minute at most between them", took)
	}
	if n := r.space.called("apps.connections.open"); n != 13 {
		t.Errorf("there were %d tries, want 13", n)
	}
}

func TestSocket_SaysWhatIsWrongWithoutTokenOrTicket(t *testing.T) {
	r := newRig(t)
	var log strings.Builder
	r.options.Log = logTo(&log)
	fake := r.stopped()
	r.space.trouble("apps.connections.open", trouble{word: "not_allowed_token_type"}, trouble{word: "missing_scope"}, trouble{status: http.StatusTooManyRequests, retryAfter: 90})
	w := r.socket()
	r.eventually("a connection", func() bool {
		if fake.HasWaiters() {
			fake.Step(time.Second)
		}
		return w.count() == 1
	})
	w.cut(t)
	r.eventually("another connection", func() bool {
		if fake.HasWaiters() {
			fake.Step(time.Second)
		}
		return w.count() == 2
	})
	text := logged(&log)
	for _, want := range []string{"xapp-", "lacks a scope", "1m30s"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log doesn't say %q: %s", want, text)
		}
	}
	for _, secret := range []string{appToken, botToken, "ticket"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log tells %s: %s", secret, text)
		}
	}
}
