package slack_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier/slack"
)

// hold has the app read requests that Slack has not signed, and that stop after some bytes until they are ended.
func (r *rig) hold(requests, bytes int) (end func()) {
	r.t.Helper()
	q := signed(r.secret, "{}")
	begun, answers := make(chan struct{}, requests), make(chan int, requests)
	var slow []*io.PipeWriter
	for range requests {
		body, writer := io.Pipe()
		slow = append(slow, writer)
		made := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, slack.Path, body)
		made.Header.Set("X-Slack-Signature", q.signature)
		made.Header.Set("X-Slack-Request-Timestamp", q.timestamp)
		go func() {
			answer := httptest.NewRecorder()
			r.app.Handler().ServeHTTP(answer, made)
			_ = body.Close()
			answers <- answer.Code
		}()
		go func() {
			_, _ = writer.Write([]byte(strings.Repeat("p", bytes))) // It returns when that was read.
			begun <- struct{}{}
		}()
	}
	for range slow {
		<-begun
	}
	return func() {
		for _, writer := range slow {
			_ = writer.Close()
		}
		for range slow {
			if code := <-answers; code != http.StatusUnauthorized {
				r.t.Errorf("one that isn't signed is answered with %d, want 401", code)
			}
		}
	}
}

func TestHandler_TakesClicksWhileOthersSendSlowly(t *testing.T) {
	r := newRig(t)
	endSilent := r.hold(1500, 0)
	defer endSilent()
	end := r.hold(500, 1)
	began := time.Now()
	if answer := r.send(signed(r.secret, "{}")); answer.Code != http.StatusOK {
		t.Errorf("it is answered with %d after %s, want 200", answer.Code, time.Since(began))
	}
	end()
}

func TestHandler_BoundsWhatIsReadBeforeItIsChecked(t *testing.T) {
	r := newRig(t)
	// 64 of nearly 256 KiB are 16 MiB.
	end := r.hold(64, 256<<10-1)
	began := time.Now()
	answer := r.send(signed(r.secret, "{}"))
	if took := time.Since(began); answer.Code != http.StatusServiceUnavailable || took < 500*time.Millisecond {
		t.Errorf("one more is answered with %d after %s, want 503 when it has waited a while", answer.Code, took)
	}
	later := make(chan int, 1)
	q := signed(r.secret, `{"type":"message_action"}`)
	go func() { later <- r.send(q).Code }()
	time.Sleep(100 * time.Millisecond)
	end()
	if code := <-later; code != http.StatusOK {
		t.Errorf("one that waits is answered with %d when there is room, want 200", code)
	}
}

func TestHandler_TellsABrokenConnectionFromAForgery(t *testing.T) {
	r := newRig(t)
	q := signed(r.secret, "{}")
	made := httptest.NewRequestWithContext(t.Context(), http.MethodPost, slack.Path, io.MultiReader(strings.NewReader(q.body[:4]), iotest.ErrReader(io.ErrUnexpectedEOF)))
	made.Header.Set("X-Slack-Signature", q.signature)
	made.Header.Set("X-Slack-Request-Timestamp", q.timestamp)
	answer := httptest.NewRecorder()
	r.app.Handler().ServeHTTP(answer, made)
	if answer.Code != http.StatusBadRequest {
		t.Errorf("it is answered with %d, want 400", answer.Code)
	}
}

// Slack sends the message with the click, in ASCII, so the longest question must be let through.
func TestHandler_TakesAClickOnTheLongestQuestion(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("🚀", 4000)
	r.becomes(asking, func(s *v1alpha1.RolloutStatus) {
		s.Candidate.Author, s.Verdict.Message = long, long
		s.Approval.Quorum, s.Approval.Count = 3, 1
		s.Approval.Given = []v1alpha1.Voice{{Actor: "bob", Via: "kubectl", Reason: long, At: metav1.Now()}}
	})
	var click map[string]any
	if err := json.Unmarshal([]byte(r.approve("U0ALICE").payload()), &click); err != nil {
		t.Fatal(err)
	}
	prompt := r.space.all()[1]
	click["message"] = map[string]any{"text": prompt.Text, "blocks": prompt.Blocks}
	text, err := json.Marshal(click)
	if err != nil {
		t.Fatal(err)
	}
	var ascii strings.Builder
	for _, unit := range string(text) {
		if unit > 0xffff {
			fmt.Fprintf(&ascii, `\u%04x\u%04x`, 0xd800+(unit-0x10000)>>10, 0xdc00+unit&0x3ff)
		} else {
			ascii.WriteRune(unit)
		}
	}
	body := url.Values{"payload": {ascii.String()}}.Encode()
	if len(body) < 100<<10 {
		t.Errorf("the click has %d bytes only: that is not the longest", len(body))
	}
	if answer := r.send(signedAt(r.secret, body, time.Now())); answer.Code != http.StatusOK {
		t.Errorf("a click of %d bytes is answered with %d", len(body), answer.Code)
	}
}
