package slack

import (
	"crypto/subtle"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// maxCall bounds what is read of one call.
	maxCall = 1 << 20
	// maxCalls bounds how many calls are remembered.
	maxCalls = 2000
	// triggerLife is how long a trigger id may be used.
	triggerLife = 3 * time.Second
)

// Call is one that the app made.
type Call struct {
	Method string    `json:"method"`
	At     time.Time `json:"at"`
	// Result is ok, Slack's word for what is wrong, or the trouble that the
	// call met.
	Result string `json:"result"`
}

// method answers one of the Web API's; it returns what is wrong in one word,
// which a colon and more may follow.
type method func(w *Workspace, a arguments) (Object, string)

// methods are those that the stand-in has. Those about the channel are only
// called with it.
var methods = map[string]method{
	"auth.test":             (*Workspace).authTest,
	"bots.info":             (*Workspace).botInfo,
	"users.info":            (*Workspace).userInfo,
	"usergroups.users.list": (*Workspace).groupMembers,
	"views.open":            (*Workspace).openView,
	"chat.postMessage":      func(w *Workspace, a arguments) (Object, string) { return w.say(a, "") },
	"chat.postEphemeral":    (*Workspace).tell,
	"chat.update":           (*Workspace).change,
	"chat.delete":           (*Workspace).remove,
	"chat.getPermalink":     (*Workspace).permalink,
	"conversations.info":    (*Workspace).channelInfo,
	"conversations.history": (*Workspace).history,
	"conversations.replies": (*Workspace).replies,
	"apps.connections.open": (*Workspace).connect,
}

// serveAPI answers a call of the Web API.
func (w *Workspace) serveAPI(reply http.ResponseWriter, request *http.Request) {
	name := request.PathValue("method")
	trouble := w.meet(name)
	result := trouble.Mode
	defer func() { w.remember(name, result) }()
	if trouble.before(reply, request) {
		return
	}
	a, err := read(request)
	if err != nil {
		result = "invalid_form_data"
		answer(reply, Object{"ok": false, "error": result})
		return
	}
	out, problem := w.call(name, a)
	if trouble.after(reply, request) {
		return
	}
	if problem == tooFast {
		result = problem
		limited(reply, 1)
		return
	}
	if problem != "" {
		word, detail, _ := strings.Cut(problem, ": ")
		result = problem
		out = Object{"ok": false, "error": word}
		if detail != "" {
			out["response_metadata"] = Object{"messages": []string{"[ERROR] " + detail}}
		}
		answer(reply, out)
		return
	}
	out["ok"] = true
	if result == "" {
		result = "ok"
	}
	answer(reply, out)
}

// call checks what all calls have in common, and makes it.
func (w *Workspace) call(name string, a arguments) (Object, string) {
	do, ok := methods[name]
	if !ok {
		return nil, "unknown_method"
	}
	token := w.options.BotToken
	if name == "apps.connections.open" {
		token = w.options.AppToken
	}
	switch {
	case a.token == "":
		return nil, "not_authed"
	case subtle.ConstantTimeCompare([]byte(a.token), []byte(token)) != 1:
		return nil, "invalid_auth"
	}
	about := strings.HasPrefix(name, "chat.") || strings.HasPrefix(name, "conversations.")
	if channel := a.text("channel"); about && channel != Channel {
		return nil, "channel_not_found"
	}
	return do(w, a)
}

func (w *Workspace) remember(name, result string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, Call{Method: name, At: time.Now(), Result: result})
	w.calls = w.calls[max(0, len(w.calls)-maxCalls):]
}

// answer answers with JSON. Slack says 200 whatever went wrong.
func answer(reply http.ResponseWriter, object any) {
	reply.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(reply).Encode(object)
}

// arguments are those of a call.
type arguments struct {
	token  string
	values map[string]json.RawMessage
}

// read reads a call's arguments from a form or JSON, in which blocks and the
// like may be text that holds JSON.
func read(request *http.Request) (arguments, error) {
	body, err := io.ReadAll(io.LimitReader(request.Body, maxCall))
	if err != nil {
		return arguments{}, err
	}
	a := arguments{values: map[string]json.RawMessage{}}
	kind, _, _ := mime.ParseMediaType(request.Header.Get("Content-Type"))
	if kind == "application/json" {
		if len(body) > 0 {
			if err := json.Unmarshal(body, &a.values); err != nil {
				return arguments{}, err
			}
		}
	} else {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return arguments{}, err
		}
		for _, values := range []url.Values{form, request.URL.Query()} {
			for key := range values {
				if a.values[key], err = json.Marshal(values.Get(key)); err != nil {
					return arguments{}, err
				}
			}
		}
	}
	a.token = a.text("token")
	if bearer, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer "); ok {
		a.token = bearer
	}
	return a, nil
}

// text is an argument as text; empty when it is missing.
func (a arguments) text(key string) string {
	var text string
	if err := json.Unmarshal(a.values[key], &text); err != nil {
		return strings.Trim(string(a.values[key]), `"`)
	}
	return text
}

func (a arguments) truth(key string) bool {
	return slices.Contains([]string{"true", "1"}, a.text(key))
}

// raw is an argument as JSON, also where that was given as text.
func (a arguments) raw(key string) json.RawMessage {
	var text string
	if json.Unmarshal(a.values[key], &text) == nil {
		return json.RawMessage(text)
	}
	return a.values[key]
}

func (a arguments) blocks(key string) ([]Object, error) {
	raw := a.raw(key)
	if len(raw) == 0 {
		return nil, nil
	}
	var blocks []Object
	return blocks, json.Unmarshal(raw, &blocks)
}

func (w *Workspace) authTest(arguments) (Object, string) {
	return Object{"url": w.options.URL + "/", "team": TeamName, "team_id": Team, "user": "weighlock", "user_id": BotUser, "bot_id": Bot}, ""
}

func (w *Workspace) botInfo(arguments) (Object, string) {
	return Object{"bot": Object{"id": Bot, "app_id": App, "user_id": BotUser, "name": "weighlock"}}, ""
}

func (w *Workspace) userInfo(a arguments) (Object, string) {
	m, ok := member(a.text("user"))
	if !ok {
		return nil, "user_not_found"
	}
	return Object{"user": Object{
		"id": m.ID, "team_id": Team, "name": m.Name, "real_name": m.Name, "is_bot": false,
		"profile": Object{"display_name": m.Name, "real_name": m.Name, "email": m.Name + "@example.com", "team": Team},
	}}, ""
}

func (w *Workspace) groupMembers(a arguments) (Object, string) {
	if a.text("usergroup") != Releasers {
		return nil, "no_such_subteam"
	}
	users := []string{}
	for _, m := range Members {
		if slices.Contains(m.Groups, Releasers) {
			users = append(users, m.ID)
		}
	}
	return Object{"users": users}, ""
}

func (w *Workspace) channelInfo(arguments) (Object, string) {
	return Object{"channel": Object{"id": Channel, "name": ChannelName, "is_channel": true, "is_member": true}}, ""
}

func (w *Workspace) permalink(a arguments) (Object, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ts := a.text("message_ts")
	if w.find(ts) == nil {
		return nil, "message_not_found"
	}
	return Object{"channel": Channel, "permalink": w.options.URL + "/#" + ts}, ""
}

// tell tells one member.
func (w *Workspace) tell(a arguments) (Object, string) {
	user := a.text("user")
	if _, ok := member(user); !ok {
		return nil, "user_not_in_channel"
	}
	return w.say(a, user)
}
