package slack_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/weighlock/weighlock/local/slack"
)

// app is one that a workspace tells of clicks.
type app struct {
	t         *testing.T
	workspace slack.Client
	server    *httptest.Server
	heard     []heard
	answer    string
}

// heard is a request that the app got.
type heard struct {
	header  http.Header
	body    string
	payload map[string]any
}

const (
	botToken = "xoxb-bot"
	appToken = "xapp-app"
	secret   = "shared"
)

func newApp(t *testing.T) *app {
	t.Helper()
	a := &app{t: t}
	listens := httptest.NewServer(http.HandlerFunc(a.hear))
	t.Cleanup(listens.Close)
	a.server = httptest.NewUnstartedServer(nil)
	at := "http://" + a.server.Listener.Addr().String()
	a.server.Config.Handler = slack.New(slack.Options{URL: at, BotToken: botToken, AppToken: appToken, SigningSecret: secret, Interactivity: listens.URL})
	a.server.Start()
	t.Cleanup(a.server.Close)
	a.workspace = slack.Client{URL: at}
	return a
}

func (a *app) hear(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	form, _ := url.ParseQuery(string(body))
	h := heard{header: r.Header, body: string(body)}
	if err := json.Unmarshal([]byte(form.Get("payload")), &h.payload); err != nil {
		a.t.Errorf("the payload is no JSON: %v", err)
	}
	a.heard = append(a.heard, h)
	_, _ = io.WriteString(w, a.answer)
}

// call calls the Web API with a form.
func (a *app) call(method, token string, values ...string) map[string]any {
	a.t.Helper()
	form := url.Values{"token": {token}}
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.server.URL+"/api/"+method, strings.NewReader(form.Encode()))
	if err != nil {
		a.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := a.server.Client().Do(request)
	if err != nil {
		return map[string]any{"error": "no answer"}
	}
	defer func() { _ = response.Body.Close() }()
	out := map[string]any{}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&out); err != nil {
		out["error"] = response.Status
	}
	if wait := response.Header.Get("Retry-After"); wait != "" {
		out["wait"] = wait
	}
	return out
}

// say posts a message, and returns its ts.
func (a *app) say(values ...string) string {
	a.t.Helper()
	out := a.call("chat.postMessage", botToken, append([]string{"channel", slack.Channel}, values...)...)
	ts, _ := out["ts"].(string)
	if ts == "" {
		a.t.Fatalf("Slack says %v", out)
	}
	return ts
}

const asking = `[{"type":"section","text":{"type":"mrkdwn","text":"May it?"}},
 {"type":"actions","elements":[{"type":"button","action_id":"approve","value":"opaque","text":{"type":"plain_text","text":"Approve"}}]}]`

func TestWebAPI_RefusesWhatSlackRefuses(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	root := a.say("text", "root")
	reply := a.say("text", "reply", "thread_ts", root)
	for _, refused := range []struct {
		method, token, want string
		values              []string
	}{
		{"chat.postMessage", "", "not_authed", nil},
		{"chat.postMessage", "xoxb-other", "invalid_auth", nil},
		{"apps.connections.open", botToken, "invalid_auth", nil},
		{"chat.unheardOf", botToken, "unknown_method", nil},
		{"chat.postMessage", botToken, "channel_not_found", []string{"channel", "C0OTHER", "text", "x"}},
		{"chat.postMessage", botToken, "no_text", []string{"channel", slack.Channel}},
		{"chat.postMessage", botToken, "msg_too_long", []string{"channel", slack.Channel, "text", strings.Repeat("x", 40001)}},
		{"chat.postMessage", botToken, "thread_not_found", []string{"channel", slack.Channel, "text", "x", "thread_ts", "1.0"}},
		{"chat.postMessage", botToken, "cannot_reply_to_message", []string{"channel", slack.Channel, "text", "x", "thread_ts", reply}},
		{"chat.postMessage", botToken, "invalid_blocks", []string{"channel", slack.Channel, "blocks", `[{"type":"section","text":{"type":"mrkdwn","text":"` + strings.Repeat("x", 3001) + `"}}]`}},
		{"chat.postMessage", botToken, "invalid_blocks", []string{"channel", slack.Channel, "blocks", "[" + strings.Repeat(`{"type":"divider"},`, 50) + `{"type":"divider"}]`}},
		{"chat.postMessage", botToken, "invalid_blocks", []string{"channel", slack.Channel, "blocks", strings.Replace(asking, `"Approve"`, `""`, 1)}},
		{"chat.postMessage", botToken, "invalid_metadata_format", []string{"channel", slack.Channel, "text", "x", "metadata", `{"event_type":"x"}`}},
		{"chat.update", botToken, "message_not_found", []string{"channel", slack.Channel, "ts", "1.0", "text", "x"}},
		{"chat.postEphemeral", botToken, "user_not_in_channel", []string{"channel", slack.Channel, "user", "U0NOBODY", "text", "x"}},
		{"usergroups.users.list", botToken, "no_such_subteam", []string{"usergroup", "S0OTHER"}},
		{"views.open", botToken, "invalid_trigger_id", []string{"trigger_id", "x", "view", `{"type":"modal","title":{"type":"plain_text","text":"Why?"},"blocks":[]}`}},
	} {
		if got := a.call(refused.method, refused.token, refused.values...); got["ok"] != false || got["error"] != refused.want {
			t.Errorf("%s %.80q: got %v, want %s", refused.method, refused.values, got, refused.want)
		}
	}
}

func TestWebAPI_KeepsMessagesThreadsAndMetadata(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	root := a.say("text", "one", "metadata", `{"event_type":"weighlock","event_payload":{"id":"x"}}`)
	a.say("text", "quiet", "thread_ts", root)
	a.say("text", "loud", "thread_ts", root, "reply_broadcast", "true")
	a.call("chat.update", botToken, "channel", slack.Channel, "ts", root, "text", "two")
	texts := func(out map[string]any) string {
		var all []string
		messages, _ := out["messages"].([]any)
		for _, m := range messages {
			m, _ := m.(map[string]any)
			all = append(all, fmt.Sprint(m["text"], " ", m["metadata"] != nil))
		}
		return strings.Join(all, ", ")
	}
	if got := texts(a.call("conversations.history", botToken, "channel", slack.Channel)); got != "loud false, two false" {
		t.Errorf("the channel is %s", got)
	}
	if got := texts(a.call("conversations.replies", botToken, "channel", slack.Channel, "ts", root, "include_all_metadata", "1")); got != "two true, quiet false, loud false" {
		t.Errorf("the thread is %s", got)
	}
	if got := texts(a.call("conversations.history", botToken, "channel", slack.Channel, "oldest", root, "limit", "1")); got != "loud false" {
		t.Errorf("after the root the channel is %s", got)
	}
}

func TestWebAPI_AllowsAMessageASecondAfterSomeAtOnce(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for range 10 {
		a.say("text", "x")
	}
	if got := a.call("chat.postMessage", botToken, "channel", slack.Channel, "text", "x"); got["error"] != "ratelimited" || got["wait"] != "1" {
		t.Errorf("Slack says %v", got)
	}
}

func TestTrouble_IsMetAsOftenAsAsked(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for mode, want := range map[string]string{
		slack.Down: "no answer", slack.Failing: "500 Internal Server Error", slack.Limited: "ratelimited", slack.Lost: "no answer",
	} {
		if err := a.workspace.Trouble(t.Context(), slack.Trouble{Mode: mode, Times: 1, Methods: []string{"chat.postMessage"}}); err != nil {
			t.Fatal(err)
		}
		if got := a.call("auth.test", botToken); got["ok"] != true {
			t.Errorf("%s: another method says %v", mode, got)
		}
		if got := a.call("chat.postMessage", botToken, "channel", slack.Channel, "text", mode); got["error"] != want {
			t.Errorf("%s: Slack says %v, want %s", mode, got, want)
		}
		if got := a.call("auth.test", botToken); got["ok"] != true {
			t.Errorf("after %s it goes on: %v", mode, got)
		}
	}
	state, err := a.workspace.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Only what was lost on the way back was heard.
	if len(state.Messages) != 1 || state.Messages[0].Text != slack.Lost {
		t.Errorf("the channel holds %+v", state.Messages)
	}
}

func TestClick_IsSignedAsSlackSigns(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	ts := a.say("text", "May it?", "blocks", asking)
	for _, forged := range []string{"", slack.OtherSecret, slack.OtherBody, slack.Unsigned} {
		d, err := a.workspace.Click(t.Context(), slack.Click{Message: ts, Action: "Approve", User: slack.Alice.ID, Forged: forged})
		if err != nil || d.Status != http.StatusOK {
			t.Fatalf("%+v, %v", d, err)
		}
		got := a.heard[len(a.heard)-1]
		hash := hmac.New(sha256.New, []byte(secret))
		_, _ = io.WriteString(hash, "v0:"+got.header.Get("X-Slack-Request-Timestamp")+":"+got.body)
		right := got.header.Get("X-Slack-Signature") == "v0="+hex.EncodeToString(hash.Sum(nil))
		if right != (forged == "") {
			t.Errorf("forged %q: the signature is right: %v", forged, right)
		}
		actions, _ := got.payload["actions"].([]any)
		action, _ := actions[0].(map[string]any)
		if got.payload["type"] != "block_actions" || action["action_id"] != "approve" || action["value"] != "opaque" {
			t.Errorf("the app is told %v", got.payload)
		}
	}
	if _, err := a.workspace.Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first, again := a.heard[0], a.heard[len(a.heard)-1]; first.body != again.body || first.header.Get("X-Slack-Signature") != again.header.Get("X-Slack-Signature") {
		t.Error("what is replayed is not what was sent")
	}
}

func TestModal_IsOpenedOnceAndTellsWhatWasFilledIn(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	ts := a.say("text", "May it?", "blocks", asking)
	if _, err := a.workspace.Click(t.Context(), slack.Click{Message: ts, Action: "approve", User: slack.Bob.ID}); err != nil {
		t.Fatal(err)
	}
	pulled, _ := a.heard[0].payload["trigger_id"].(string)
	view := `{"type":"modal","title":{"type":"plain_text","text":"Why?"},"submit":{"type":"plain_text","text":"Abort"},"private_metadata":"opaque",
		"blocks":[{"type":"input","block_id":"why","label":{"type":"plain_text","text":"Reason"},"element":{"type":"plain_text_input","action_id":"text"}}]}`
	if got := a.call("views.open", botToken, "trigger_id", pulled, "view", view); got["ok"] != true {
		t.Fatalf("Slack says %v", got)
	}
	if got := a.call("views.open", botToken, "trigger_id", pulled, "view", view); got["error"] != "exchanged_trigger_id" {
		t.Errorf("for a second time Slack says %v", got)
	}
	state, err := a.workspace.State(t.Context())
	if err != nil || len(state.Views) != 1 || state.Views[0].User != slack.Bob.ID {
		t.Fatalf("%+v, %v", state.Views, err)
	}
	if _, err := a.workspace.Submit(t.Context(), slack.Submit{View: state.Views[0].ID}); err == nil {
		t.Error("what is required can be left empty")
	}
	a.answer = `{"response_action":"errors","errors":{"why":"more, please"}}`
	if _, err := a.workspace.Submit(t.Context(), slack.Submit{View: state.Views[0].ID, Values: map[string]string{"why": "no"}}); err != nil {
		t.Fatal(err)
	}
	a.answer = ""
	if _, err := a.workspace.Submit(t.Context(), slack.Submit{View: state.Views[0].ID, Values: map[string]string{"why": "it is slow"}}); err != nil {
		t.Fatal(err)
	}
	last, _ := json.Marshal(a.heard[len(a.heard)-1].payload)
	for _, part := range []string{`"view_submission"`, `"private_metadata":"opaque"`, `"why":{"text":{"type":"plain_text_input","value":"it is slow"}}`, `"id":"U0BOB"`} {
		if !strings.Contains(string(last), part) {
			t.Errorf("the app is not told %s: %s", part, last)
		}
	}
	if state, err = a.workspace.State(t.Context()); err != nil || len(state.Views) != 0 {
		t.Errorf("the modal stays open: %+v, %v", state.Views, err)
	}
}

func TestAnswerURL_TellsTheMemberAloneOrChangesTheMessage(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	ts := a.say("text", "May it?", "blocks", asking)
	if _, err := a.workspace.Click(t.Context(), slack.Click{Message: ts, Action: "approve", User: slack.Dana.ID}); err != nil {
		t.Fatal(err)
	}
	at, _ := a.heard[0].payload["response_url"].(string)
	for _, body := range []string{`{"response_type":"ephemeral","replace_original":false,"text":"not you"}`, `{"replace_original":true,"text":"done"}`} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := a.server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	state, err := a.workspace.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Messages) != 2 || state.Messages[0].Text != "done" || state.Messages[1].Text != "not you" || state.Messages[1].OnlyFor != slack.Dana.ID {
		t.Errorf("the channel holds %+v", state.Messages)
	}
}

func TestSocket_IsToldInsteadOfTheURL(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	ts := a.say("text", "May it?", "blocks", asking)
	at, _ := a.call("apps.connections.open", appToken)["url"].(string)
	connection, response, err := websocket.DefaultDialer.DialContext(t.Context(), at, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	defer func() { _ = connection.Close() }()
	told := make(chan string, 2)
	go func() {
		for {
			var envelope struct {
				Type    string          `json:"type"`
				ID      string          `json:"envelope_id"`
				Payload json.RawMessage `json:"payload"`
			}
			if connection.ReadJSON(&envelope) != nil {
				return
			}
			told <- envelope.Type + string(envelope.Payload)
			if envelope.ID != "" {
				_ = connection.WriteJSON(map[string]any{"envelope_id": envelope.ID})
			}
		}
	}()
	if first := <-told; first != "hello" {
		t.Fatalf("first it says %s", first)
	}
	d, err := a.workspace.Click(t.Context(), slack.Click{Message: ts, Action: "approve", User: slack.Alice.ID})
	if err != nil || d.Status != http.StatusOK || d.Problem != "" {
		t.Fatalf("%+v, %v", d, err)
	}
	if got := <-told; !strings.HasPrefix(got, `interactive{`) || !strings.Contains(got, `"value":"opaque"`) {
		t.Errorf("the app is told %s", got)
	}
	if len(a.heard) != 0 {
		t.Error("the URL is told too")
	}
}
