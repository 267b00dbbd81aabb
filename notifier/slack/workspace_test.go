package slack_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack/slacktest"
)

const (
	team     = "T024BE7LD"
	botToken = "xoxb-1-bot"
	appToken = "xapp-1-app"
	channel  = "C0RELEASES"
)

// post is a message as the workspace holds it.
type post struct {
	TS, Channel, Thread, Text string
	Broadcast                 bool
	Blocks                    json.RawMessage
	Metadata                  json.RawMessage
	edits                     int
	// foreign says that another app sent it.
	foreign bool
}

// id by which the message can be found.
func (p *post) id() string {
	var m struct {
		Payload struct{ ID string } `json:"event_payload"`
	}
	_ = json.Unmarshal(p.Metadata, &m)
	return m.Payload.ID
}

// says is all that a message says.
func (p *post) says() string { return p.Text + "\n" + string(p.Blocks) }

// trouble is what goes wrong with a call.
type trouble struct {
	// word that Slack answers with; else status, with a Retry-After.
	word       string
	status     int
	retryAfter int
	// done says that what was asked for is done nevertheless; silent that the connection just ends.
	done, silent bool
}

// space is a workspace of Slack: slacktest's server, with the methods that it lacks.
type space struct {
	t      *testing.T
	server *slacktest.Server

	mu       sync.Mutex
	posts    []*post
	whispers []url.Values
	views    []json.RawMessage
	calls    map[string]int
	troubles map[string][]trouble
	// away says that all calls fail.
	away bool
	// slow is how long a method takes.
	slow     map[string]time.Duration
	groups   map[string][]string
	pageSize int
	clock    int64
	org      string
	wire     *wire
}

func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{t: t, wire: &wire{answers: map[string]string{}}, calls: map[string]int{}, troubles: map[string][]trouble{}, groups: map[string][]string{}, pageSize: 200, clock: time.Now().Unix() - 60}
	methods := map[string]func(url.Values) map[string]any{
		"auth.test": s.authTest, "chat.postMessage": s.postMessage, "chat.update": s.update, "chat.postEphemeral": s.whisper,
		"conversations.history": s.history, "conversations.replies": s.replies, "usergroups.users.list": s.members,
	}
	s.server = slacktest.NewTestServer(func(c slacktest.Customize) {
		for name, do := range methods {
			c.Handle("/"+name, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, name, do) })
		}
		c.Handle("/views.open", s.open)
		c.Handle("/apps.connections.open", s.connect)
		c.Handle("/socket", s.listen)
	})
	s.server.Start()
	t.Cleanup(s.server.Stop)
	return s
}

func (s *space) url() string { return s.server.GetAPIURL() }

// next is what goes wrong with a call, if anything does.
func (s *space) next(method string) *trouble {
	s.calls[method]++
	if s.away {
		return &trouble{status: http.StatusBadGateway}
	}
	if waiting := s.troubles[method]; len(waiting) > 0 {
		s.troubles[method] = waiting[1:]
		return &waiting[0]
	}
	return nil
}

func (s *space) serve(w http.ResponseWriter, r *http.Request, method string, do func(url.Values) map[string]any) {
	time.Sleep(s.slow[method])
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	wrong := s.next(method)
	if wrong != nil && !wrong.done {
		s.fail(w, wrong)
		return
	}
	token := r.Form.Get("token")
	if token == "" {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	answer := map[string]any{"ok": false, "error": "invalid_auth"}
	if token == botToken {
		answer = do(r.Form)
	}
	if wrong != nil {
		s.fail(w, wrong)
		return
	}
	s.answer(w, answer)
}

func (s *space) answer(w http.ResponseWriter, answer map[string]any) {
	if _, is := answer["ok"]; !is {
		answer["ok"] = true
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.t.Error(err)
	}
}

func (s *space) fail(w http.ResponseWriter, t *trouble) {
	switch {
	case t.silent:
		panic(http.ErrAbortHandler)
	case t.word != "":
		s.answer(w, map[string]any{"ok": false, "error": t.word})
	default:
		if t.retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(t.retryAfter))
		}
		w.WriteHeader(t.status)
		_, _ = io.WriteString(w, "<html>trouble</html>")
	}
}

func refuse(word string) map[string]any { return map[string]any{"ok": false, "error": word} }

func (s *space) authTest(url.Values) map[string]any {
	return map[string]any{"team_id": team, "user_id": "U0BOT", "enterprise_id": s.org}
}

func (s *space) postMessage(form url.Values) map[string]any {
	thread := form.Get("thread_ts")
	if thread != "" && s.find(thread) == nil {
		return refuse("thread_not_found")
	}
	if word := unfit(form); word != "" {
		return refuse(word)
	}
	s.clock++
	p := &post{
		TS: fmt.Sprintf("%d.%06d", s.clock, len(s.posts)+1), Channel: form.Get("channel"), Thread: thread, Broadcast: form.Get("reply_broadcast") == "true",
		Text: form.Get("text"), Blocks: json.RawMessage(form.Get("blocks")), Metadata: json.RawMessage(form.Get("metadata")),
	}
	s.posts = append(s.posts, p)
	return map[string]any{"channel": p.Channel, "ts": p.TS}
}

// unfit is what Slack would refuse in a message's form.
func unfit(form url.Values) string {
	var blocks []struct {
		Text     *struct{ Text string }
		Fields   []struct{ Text string }
		Elements []struct {
			Confirm struct{ Text struct{ Text string } }
		}
	}
	if err := json.Unmarshal([]byte(form.Get("blocks")), &blocks); err != nil || len(blocks) > 50 {
		return "invalid_blocks"
	}
	for _, block := range blocks {
		if (block.Text != nil && len([]rune(block.Text.Text)) > 3000) || len(block.Fields) > 10 {
			return "invalid_blocks"
		}
		for _, element := range block.Elements {
			if len([]rune(element.Confirm.Text.Text)) > 300 {
				return "invalid_blocks"
			}
		}
		for _, field := range block.Fields {
			if len([]rune(field.Text)) > 2000 {
				return "invalid_blocks"
			}
		}
	}
	if len(form.Get("text")) > 40_000 {
		return "msg_too_long"
	}
	return ""
}

func (s *space) update(form url.Values) map[string]any {
	p := s.find(form.Get("ts"))
	switch {
	case p == nil:
		return refuse("message_not_found")
	case p.foreign:
		return refuse("cant_update_message")
	}
	if word := unfit(form); word != "" {
		return refuse(word)
	}
	p.Text, p.Blocks, p.edits = form.Get("text"), json.RawMessage(form.Get("blocks")), p.edits+1
	return map[string]any{"channel": p.Channel, "ts": p.TS, "text": p.Text}
}

func (s *space) whisper(form url.Values) map[string]any {
	s.whispers = append(s.whispers, form)
	return map[string]any{"message_ts": "1.1"}
}

func (s *space) members(form url.Values) map[string]any {
	users, is := s.groups[form.Get("usergroup")]
	if !is {
		return refuse("no_such_subteam")
	}
	return map[string]any{"users": users}
}

func (s *space) history(form url.Values) map[string]any {
	return s.page(form, func(p *post) bool { return p.Thread == "" || p.Broadcast }, true)
}

func (s *space) replies(form url.Values) map[string]any {
	if s.find(form.Get("ts")) == nil {
		return refuse("thread_not_found")
	}
	return s.page(form, func(p *post) bool { return p.Thread == form.Get("ts") || p.TS == form.Get("ts") }, false)
}

func (s *space) page(form url.Values, in func(*post) bool, newest bool) map[string]any {
	var all []map[string]any
	for _, p := range s.posts {
		if !in(p) || p.Channel != form.Get("channel") {
			continue
		}
		m := map[string]any{"type": "message", "ts": p.TS, "text": p.Text}
		if form.Get("include_all_metadata") == "1" && len(p.Metadata) > 0 {
			m["metadata"] = p.Metadata
		}
		all = append(all, m)
	}
	if newest {
		slices.Reverse(all)
	}
	from, _ := strconv.Atoi(form.Get("cursor"))
	to := min(from+s.pageSize, len(all))
	answer := map[string]any{"messages": all[from:to], "has_more": to < len(all)}
	if to < len(all) {
		answer["response_metadata"] = map[string]any{"next_cursor": strconv.Itoa(to)}
	}
	return answer
}

func (s *space) open(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		s.t.Error(err)
	}
	if wrong := s.next("views.open"); wrong != nil {
		s.fail(w, wrong)
		return
	}
	s.views = append(s.views, body)
	s.answer(w, map[string]any{"view": map[string]any{}})
}

func (s *space) find(ts string) *post {
	i := slices.IndexFunc(s.posts, func(p *post) bool { return p.TS == ts })
	if i < 0 {
		return nil
	}
	return s.posts[i]
}

// all are copies of the messages.
func (s *space) all() []post {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []post
	for _, p := range s.posts {
		all = append(all, *p)
	}
	return all
}

// called is how often methods were called.
func (s *space) called(methods ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for method, calls := range s.calls {
		if len(methods) == 0 || slices.Contains(methods, method) {
			n += calls
		}
	}
	return n
}

// heard are the texts that members were told alone.
func (s *space) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var texts []string
	for _, w := range s.whispers {
		texts = append(texts, w.Get("user")+": "+w.Get("text"))
	}
	return texts
}

// trouble has the next calls of a method go wrong.
func (s *space) trouble(method string, troubles ...trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.troubles[method] = append(s.troubles[method], troubles...)
}

func (s *space) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// remove deletes a message, as people can.
func (s *space) remove(ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts = slices.DeleteFunc(s.posts, func(p *post) bool { return p.TS == ts })
}

// none fails the test where something was said twice.
func (s *space) once(t *testing.T) {
	t.Helper()
	seen := map[string]bool{}
	for _, p := range s.all() {
		if id := p.id(); seen[id] {
			t.Errorf("said twice: %s", p.Text)
		} else if id != "" {
			seen[id] = true
		}
	}
}
