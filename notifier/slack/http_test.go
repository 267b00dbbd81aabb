package slack_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/notifier/slack"
)

// request is one that Slack, or somebody else, sends.
type request struct {
	body      string
	signature string
	timestamp string
}

// signed is a request as Slack signs it.
func signed(secret, payload string) request {
	return signedAt(secret, url.Values{"payload": {payload}}.Encode(), time.Now())
}

func signedAt(secret, body string, at time.Time) request {
	timestamp := fmt.Sprint(at.Unix())
	sum := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(sum, "v0:%s:%s", timestamp, body)
	return request{body, "v0=" + hex.EncodeToString(sum.Sum(nil)), timestamp}
}

// send has the app take a request.
func (r *rig) send(q request) *httptest.ResponseRecorder {
	r.t.Helper()
	made := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, slack.Path, strings.NewReader(q.body))
	made.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if q.signature != "" {
		made.Header.Set("X-Slack-Signature", q.signature)
		made.Header.Set("X-Slack-Request-Timestamp", q.timestamp)
	}
	answer := httptest.NewRecorder()
	r.app.Handler().ServeHTTP(answer, made)
	return answer
}

// click has the app take what Slack sends when somebody clicks.
func (r *rig) click(payload string) {
	r.t.Helper()
	if answer := r.send(signed(r.secret, payload)); answer.Code != http.StatusOK || answer.Body.Len() > 0 {
		r.t.Fatalf("the click is answered with %d %s", answer.Code, answer.Body)
	}
}

func TestHandler_TurnsAwayWhatSlackDidNotSign(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	body := url.Values{"payload": {r.approve("U0ALICE").payload()}}.Encode()
	good := signedAt(r.secret, body, time.Now())
	for name, q := range map[string]request{
		"unsigned":               {body: body},
		"another secret":         signedAt("another", body, time.Now()),
		"another body":           {body: body + "&x=1", signature: good.signature, timestamp: good.timestamp},
		"another time":           {body: body, signature: good.signature, timestamp: fmt.Sprint(time.Now().Unix() - 1)},
		"too old":                signedAt(r.secret, body, time.Now().Add(-6*time.Minute)),
		"of the future":          signedAt(r.secret, body, time.Now().Add(6*time.Minute)),
		"no hex":                 {body: body, signature: "v0=zz", timestamp: good.timestamp},
		"short":                  {body: body, signature: "v0=" + good.signature[3:11], timestamp: good.timestamp},
		"another version":        {body: body, signature: "v1=" + good.signature[3:], timestamp: good.timestamp},
		"no time":                {body: body, signature: good.signature, timestamp: "soon"},
		"too long, and unsigned": {body: strings.Repeat("x", 1<<20+1)},
	} {
		answer := r.send(q)
		if want := http.StatusUnauthorized; answer.Code != want {
			t.Errorf("%s: answered with %d, want %d", name, answer.Code, want)
		}
		if strings.Contains(answer.Body.String(), r.secret) || answer.Body.Len() > 40 {
			t.Errorf("%s: the answer tells too much: %s", name, answer.Body)
		}
	}
	r.app.Wait()
	if n := len(r.decisions()); n != 0 {
		t.Errorf("there are %d decisions, want none", n)
	}
}

// unread fails the test when it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestHandler_ReadsNothingThatTheHeadersGiveAway(t *testing.T) {
	r := newRig(t)
	old := signedAt(r.secret, "x", time.Now().Add(-6*time.Minute))
	for name, headers := range map[string]request{
		"unsigned": {}, "too old": old, "no signature": {signature: "v0=aa", timestamp: fmt.Sprint(time.Now().Unix())},
	} {
		made := httptest.NewRequestWithContext(t.Context(), http.MethodPost, slack.Path, unread{t})
		made.Header.Set("X-Slack-Signature", headers.signature)
		made.Header.Set("X-Slack-Request-Timestamp", headers.timestamp)
		answer := httptest.NewRecorder()
		if r.app.Handler().ServeHTTP(answer, made); answer.Code != http.StatusUnauthorized {
			t.Errorf("%s: answered with %d, want 401", name, answer.Code)
		}
	}
}

func TestHandler_SaysThatItCanNotCheckSignatures(t *testing.T) {
	r := newRig(t)
	var log strings.Builder
	r.options.Log = logTo(&log)
	secret := r.options.SigningSecret
	r.options.SigningSecret = func() (string, error) { return "", errors.New("there is no such file") }
	r.start()
	r.app.Prepare(t.Context())
	if text := logged(&log); strings.Count(text, "there is no such file") != 1 {
		t.Errorf("the log says %s at the start, want what is missing", text)
	}
	for range 2 {
		if answer := r.send(signed(r.secret, "{}")); answer.Code != http.StatusServiceUnavailable {
			t.Errorf("answered with %d, want 503: it may be signed", answer.Code)
		}
	}
	if text := logged(&log); strings.Count(text, "there is no such file") != 1 {
		t.Errorf("the log says %s, want it said once", text)
	}
	r.options.SigningSecret = secret
	r.start()
	if answer := r.send(signed(r.secret, "{}")); answer.Code != http.StatusOK {
		t.Errorf("answered with %d once the secret is there, want 200", answer.Code)
	}
}

func TestHandler_TurnsAwayWhatItHasSeen(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	q := signed(r.secret, r.approve("U0ALICE").payload())
	if answer := r.send(q); answer.Code != http.StatusOK {
		t.Fatalf("the click is answered with %d", answer.Code)
	}
	replayed := q
	replayed.signature = "v0=" + strings.ToUpper(strings.TrimPrefix(q.signature, "v0="))
	for _, again := range []request{q, replayed} {
		if answer := r.send(again); answer.Code != http.StatusConflict {
			t.Errorf("a replay is answered with %d, want 409", answer.Code)
		}
	}
}

func TestHandler_TurnsAwayWhatIsNoClick(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	prompt := r.approve("U0ALICE")
	bot, other, unknown := prompt, prompt, prompt
	bot.user, other.prompt, unknown.action = "B0BOT", "../../etc/passwd", "something-else"
	for name, try := range map[string]struct {
		body string
		want int
	}{
		"no form":        {"%zz", http.StatusBadRequest},
		"no payload":     {"a=b", http.StatusBadRequest},
		"no JSON":        {"payload=" + url.QueryEscape("{"), http.StatusBadRequest},
		"another shape":  {"payload=" + url.QueryEscape(`[1,2]`), http.StatusBadRequest},
		"a bot":          {"payload=" + url.QueryEscape(bot.payload()), http.StatusBadRequest},
		"no id of ours":  {"payload=" + url.QueryEscape(other.payload()), http.StatusBadRequest},
		"another button": {"payload=" + url.QueryEscape(unknown.payload()), http.StatusOK},
		"another type":   {"payload=" + url.QueryEscape(`{"type":"message_action"}`), http.StatusOK},
		"no action":      {"payload=" + url.QueryEscape(`{"type":"block_actions","actions":[]}`), http.StatusOK},
		"another modal":  {"payload=" + url.QueryEscape(`{"type":"view_submission","view":{"callback_id":"x"}}`), http.StatusOK},
		"too long":       {"payload=" + strings.Repeat("x", 256<<10), http.StatusRequestEntityTooLarge},
	} {
		if answer := r.send(signedAt(r.secret, try.body, time.Now())); answer.Code != try.want {
			t.Errorf("%s: answered with %d, want %d", name, answer.Code, try.want)
		}
	}
	r.app.Wait()
	if n := len(r.decisions()); n != 0 {
		t.Errorf("there are %d decisions, want none", n)
	}
}

func TestHandler_TakesPostsAtItsPathOnly(t *testing.T) {
	r := newRig(t)
	for _, made := range []*http.Request{
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, slack.Path, http.NoBody),
		httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody),
	} {
		answer := httptest.NewRecorder()
		if r.app.Handler().ServeHTTP(answer, made); answer.Code < 400 {
			t.Errorf("%s %s is answered with %d", made.Method, made.URL, answer.Code)
		}
	}
}

func TestHandler_AnswersBeforeTheWorkIsDone(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	began := time.Now()
	r.click(r.approve("U0ALICE").payload()) // Its outcome never comes.
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the answer took %s, as long as the wait for an outcome", took)
	}
}
