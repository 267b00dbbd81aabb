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
	// triggerLife is how long a trigger id may be used.
	triggerLife = 3 * time.Second
)

// method answers one of the Web API's; it returns what is wrong in one word,
// which a colon and more may follow.
type method func(w *Workspace, a arguments) (Object, string)

// methods are those that the stand-in has. Those about the channel are only
// called with it.
var methods = map[string]method{
	"auth.test":             (*Workspace).authTest,
	"usergroups.users.list": (*Workspace).groupMembers,
	"views.open":            (*Workspace).openView,
	"chat.postMessage":      func(w *Workspace, a arguments) (Object, string) { return w.say(a, "") },
	"chat.postEphemeral":    (*Workspace).tell,
	"chat.update":           (*Workspace).change,
	"conversations.history": (*Workspace).history,
	"conversations.replies": (*Workspace).replies,
	"apps.connections.open": (*Workspace).connect,
}

// serveAPI answers a call of the Web API.
func (w *Workspace) serveAPI(reply http.ResponseWriter, request *http.Request) {
	name := request.PathValue("method")
	trouble := w.meet(name)
	if trouble.before(reply, request) {
		return
	}
	a, err := read(request)
	if err != nil {
		answer(reply, Object{"ok": false, "error": "invalid_form_data"})
		return
	}
	out, problem := w.call(name, a)
	if trouble.after(reply, request) {
		return
	}
	if problem == tooFast {
		limited(reply, 1)
		return
	}
	if problem != "" {
		word, detail, _ := strings.Cut(problem, ": ")
		out = Object{"ok": false, "error": word}
		if detail != "" {
			out["response_metadata"] = Object{"messages": []string{"[ERROR] " + detail}}
		}
		answer(reply, out)
		return
	}
	out["ok"] = true
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

// tell tells one member.
func (w *Workspace) tell(a arguments) (Object, string) {
	user := a.text("user")
	if _, ok := member(user); !ok {
		return nil, "user_not_in_channel"
	}
	return w.say(a, user)
}
