package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// An answer's URL may be used so often, and so long.
	answerTimes = 5
	answerLife  = 30 * time.Minute
)

// View is a modal that a member sees.
type View struct {
	ID   string `json:"id"`
	User string `json:"user"`
	// View is as the app made it.
	View Object `json:"view"`
	// Errors are what the app finds wrong, by block.
	Errors map[string]string `json:"errors,omitempty"`
}

// answerURL is where the app may answer to a click.
type answerURL struct {
	user, message string
	at            time.Time
	used          int
}

// Click is a member's, on a button.
type Click struct {
	// Message is the ts of the button's message.
	Message string `json:"message"`
	// Action is the action_id of the button, or what it says.
	Action string `json:"action"`
	// User is the member's id.
	User string `json:"user"`
	// Stale lets the button be one that the message had before, as it is for
	// who clicks while it changes.
	Stale bool `json:"stale,omitempty"`
	// Forged says how the request is to be wrong: not at all, or one of the
	// ways of forgery.
	Forged string `json:"forged,omitempty"`
	// Payload replaces what is delivered.
	Payload string `json:"payload,omitempty"`
}

// Click delivers a member's click to the app.
func (w *Workspace) Click(ctx context.Context, c Click) (Delivery, error) {
	payload, err := w.clicked(c)
	if err != nil {
		return Delivery{}, err
	}
	if c.Payload != "" {
		payload = []byte(c.Payload)
	}
	return w.deliver(ctx, payload, c.Forged)
}

// clicked is what the app is told of a click.
func (w *Workspace) clicked(c Click) ([]byte, error) {
	by, ok := member(c.User)
	if !ok {
		return nil, fmt.Errorf("there is no member %s", c.User)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.messages, func(m *Message) bool { return m.TS == c.Message })
	if i < 0 {
		return nil, fmt.Errorf("there is no message %s", c.Message)
	}
	m := w.messages[i]
	block, button := findButton(m.Blocks, c.Action)
	for i := len(m.former) - 1; i >= 0 && button == nil && c.Stale; i-- {
		block, button = findButton(m.former[i], c.Action)
	}
	if button == nil {
		return nil, fmt.Errorf("message %s has no button %q", c.Message, c.Action)
	}
	action := Object{
		"type": "button", "action_id": button["action_id"], "block_id": block["block_id"], "text": button["text"], "action_ts": w.stamp(),
	}
	for _, key := range []string{"value", "style"} {
		if button[key] != nil {
			action[key] = button[key]
		}
	}
	answers := id("")
	w.answers[answers] = &answerURL{user: by.ID, message: m.TS, at: time.Now()}
	container := Object{"type": "message", "message_ts": m.TS, "channel_id": Channel, "is_ephemeral": m.OnlyFor != ""}
	if m.ThreadTS != "" {
		container["thread_ts"] = m.ThreadTS
	}
	return json.Marshal(Object{
		"type": "block_actions", "api_app_id": App, "token": "unused", "trigger_id": w.pull(by),
		"user": user(by), "team": team(), "enterprise": nil, "is_enterprise_install": false,
		"channel":   Object{"id": Channel, "name": ChannelName},
		"container": container, "message": m, "actions": []Object{action}, "state": Object{"values": Object{}},
		"response_url": w.options.URL + "/actions/" + answers,
	})
}

// HasButton says whether a message has a button of that action_id, or that says
// that.
func (m *Message) HasButton(action string) bool {
	_, button := findButton(m.Blocks, action)
	return button != nil
}

// findButton finds one by its action_id, or by what it says.
func findButton(blocks []Object, action string) (block, button Object) {
	for _, block := range blocks {
		for _, element := range append(objects(block["elements"]), object(block["accessory"])) {
			text, _ := object(element["text"])["text"].(string)
			if element["type"] == "button" && (element["action_id"] == action || text == action) {
				return block, element
			}
		}
	}
	return nil, nil
}

func object(of any) Object {
	o, _ := of.(Object)
	return o
}

func user(m Member) Object {
	return Object{"id": m.ID, "username": m.Name, "name": m.Name, "team_id": Team}
}

func team() Object { return Object{"id": Team, "domain": TeamName} }

// pull makes a trigger id. The lock is held.
func (w *Workspace) pull(by Member) string {
	name := id("")
	w.triggers[name] = trigger{user: by.ID, at: time.Now()}
	return name
}

// openView opens a modal for the member whose click gave the right to.
func (w *Workspace) openView(a arguments) (Object, string) {
	var view Object
	if err := json.Unmarshal(a.raw("view"), &view); err != nil {
		return nil, "invalid_arguments: the view is no JSON"
	}
	if err := checkView(view); err != nil {
		return nil, "invalid_arguments: " + err.Error()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	name := a.text("trigger_id")
	pulled, ok := w.triggers[name]
	switch {
	case !ok:
		return nil, "invalid_trigger_id"
	case pulled.used:
		return nil, "exchanged_trigger_id"
	case time.Since(pulled.at) > triggerLife:
		return nil, "expired_trigger_id"
	}
	pulled.used = true
	w.triggers[name] = pulled
	v := &View{ID: id("V"), User: pulled.user, View: completed(view, id("V"))}
	v.ID, _ = v.View["id"].(string)
	w.views[v.ID] = v
	return Object{"view": v.View}, ""
}

// completed is a view with what Slack adds to it.
func completed(view Object, viewID string) Object {
	name(objects(view["blocks"]))
	maps.Copy(view, Object{
		"id": viewID, "team_id": Team, "app_id": App, "bot_id": Bot, "hash": id(""),
		"state": Object{"values": Object{}}, "root_view_id": viewID, "previous_view_id": nil,
	})
	return view
}

// Submit is what a member does with a modal.
type Submit struct {
	View string `json:"view"`
	// Values are the inputs' by block_id, or all inputs' under "".
	Values map[string]string `json:"values"`
	// Cancel closes the modal instead.
	Cancel bool   `json:"cancel,omitempty"`
	Forged string `json:"forged,omitempty"`
}

// Submit delivers what a member filled in to the app.
func (w *Workspace) Submit(ctx context.Context, s Submit) (Delivery, error) {
	w.mu.Lock()
	v, ok := w.views[s.View]
	if !ok {
		w.mu.Unlock()
		return Delivery{}, fmt.Errorf("there is no view %s", s.View)
	}
	if s.Cancel {
		delete(w.views, s.View)
		w.mu.Unlock()
		return Delivery{}, nil
	}
	payload, err := w.submitted(v, s.Values)
	w.mu.Unlock()
	if err != nil {
		return Delivery{}, err
	}
	d, err := w.deliver(ctx, payload, s.Forged)
	if err != nil {
		return d, err
	}
	return d, w.settle(v, d)
}

// submitted is what the app is told. The lock is held.
func (w *Workspace) submitted(v *View, values map[string]string) ([]byte, error) {
	by, _ := member(v.User)
	state := Object{}
	for _, block := range objects(v.View["blocks"]) {
		if block["type"] != "input" {
			continue
		}
		blockID, _ := block["block_id"].(string)
		element := object(block["element"])
		action, _ := element["action_id"].(string)
		value, given := values[blockID]
		if !given {
			value = values[""]
		}
		if err := complete(block, element, value); err != nil {
			return nil, err
		}
		state[blockID] = Object{action: Object{"type": element["type"], "value": value}}
	}
	view := maps.Clone(v.View)
	view["state"] = Object{"values": state}
	return json.Marshal(Object{
		"type": "view_submission", "api_app_id": App, "token": "unused", "trigger_id": w.pull(by), "team": team(), "user": user(by),
		"enterprise": nil, "is_enterprise_install": false, "view": view, "response_urls": []Object{},
	})
}

// complete says what Slack itself would ask of what was filled in.
func complete(block, element Object, value string) error {
	if optional, _ := block["optional"].(bool); value == "" && !optional {
		return errors.New("the modal asks to fill in what is required")
	}
	if most, ok := element["max_length"].(float64); ok && utf8.RuneCountInString(value) > int(most) {
		return fmt.Errorf("the modal takes %d characters at most", int(most))
	}
	return nil
}

// settle does with a modal what the app's answer says.
func (w *Workspace) settle(v *View, d Delivery) error {
	if d.Status != http.StatusOK {
		return nil
	}
	var answer struct {
		Action string            `json:"response_action"`
		Errors map[string]string `json:"errors"`
		View   Object            `json:"view"`
	}
	if strings.TrimSpace(d.Body) != "" {
		if err := json.Unmarshal([]byte(d.Body), &answer); err != nil {
			return fmt.Errorf("read the app's answer to a modal: %w", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch answer.Action {
	case "errors":
		v.Errors = answer.Errors
	case "update":
		if err := checkView(answer.View); err != nil {
			return fmt.Errorf("read the app's new modal: %w", err)
		}
		v.View = completed(answer.View, v.ID)
	default:
		delete(w.views, v.ID)
	}
	return nil
}

// serveAnswer takes what the app answers to a click.
func (w *Workspace) serveAnswer(reply http.ResponseWriter, request *http.Request) {
	trouble := w.meet("response_url")
	if trouble.before(reply, request) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, maxCall))
	var values map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(body, &values)
	}
	if err == nil {
		err = w.answered(request.PathValue("id"), arguments{values: values})
	}
	if err != nil {
		http.Error(reply, err.Error(), http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(reply, "ok")
}

func (w *Workspace) answered(name string, a arguments) error {
	w.mu.Lock()
	to := w.answers[name]
	if to == nil || time.Since(to.at) > answerLife || to.used >= answerTimes {
		w.mu.Unlock()
		return errors.New("used_url")
	}
	to.used++
	m := w.find(to.message)
	w.mu.Unlock()
	if m == nil {
		return errors.New("message_not_found")
	}
	given := map[string]json.RawMessage{"ts": text(m.TS)}
	maps.Copy(given, a.values)
	var problem string
	switch {
	case a.truth("replace_original") && m.OnlyFor == "":
		_, problem = w.change(arguments{values: given})
	default:
		onlyFor := to.user
		if a.text("response_type") == "in_channel" {
			onlyFor = ""
		}
		if m.ThreadTS != "" && len(given["thread_ts"]) == 0 {
			given["thread_ts"] = text(m.ThreadTS)
		}
		_, problem = w.say(arguments{values: given}, onlyFor)
	}
	if problem != "" {
		return errors.New(problem)
	}
	return nil
}

func text(s string) json.RawMessage {
	encoded, _ := json.Marshal(s)
	return encoded
}
