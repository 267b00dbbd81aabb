package slack

import (
	"encoding/json"
	"slices"
	"strconv"
)

// Object is a block, or another thing that Slack hands on as it was given.
type Object = map[string]any

// Message is one in the channel.
type Message struct {
	Type       string          `json:"type"`
	Subtype    string          `json:"subtype,omitempty"`
	TS         string          `json:"ts"`
	User       string          `json:"user,omitempty"`
	BotID      string          `json:"bot_id,omitempty"`
	AppID      string          `json:"app_id,omitempty"`
	Team       string          `json:"team,omitempty"`
	Text       string          `json:"text"`
	Blocks     []Object        `json:"blocks,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	ThreadTS   string          `json:"thread_ts,omitempty"`
	ReplyCount int             `json:"reply_count,omitempty"`
	Edited     *Edited         `json:"edited,omitempty"`

	// OnlyFor is the member that alone sees it; empty for all.
	OnlyFor string `json:"-"`
	// Changes counts how often it was changed.
	Changes int `json:"-"`
	// former are the blocks that it had before.
	former [][]Object
}

// Edited is when a message was last changed, and by whom.
type Edited struct {
	User string `json:"user"`
	TS   string `json:"ts"`
}

// reply says whether the message is in a thread, and not its root.
func (m *Message) reply() bool { return m.ThreadTS != "" && m.ThreadTS != m.TS }

// find finds a message that all see. The lock is held.
func (w *Workspace) find(ts string) *Message {
	i := slices.IndexFunc(w.messages, func(m *Message) bool { return m.TS == ts })
	if i < 0 {
		return nil
	}
	return w.messages[i]
}

// say adds a message by the app from a call's arguments.
func (w *Workspace) say(a arguments, onlyFor string) (Object, string) {
	text, blocks, problem := content(a)
	if problem != "" {
		return nil, problem
	}
	thread := a.text("thread_ts")
	w.mu.Lock()
	defer w.mu.Unlock()
	var root *Message
	if thread != "" {
		if root = w.find(thread); root == nil || root.OnlyFor != "" {
			return nil, "thread_not_found"
		}
		if root.reply() {
			return nil, "cannot_reply_to_message"
		}
	}
	if onlyFor == "" && !w.allow() {
		return nil, tooFast
	}
	m := &Message{
		Type: "message", TS: w.stamp(), User: BotUser, BotID: Bot, AppID: App, Team: Team,
		Text: text, Blocks: blocks, ThreadTS: thread, OnlyFor: onlyFor, Metadata: a.raw("metadata"),
	}
	if root != nil && onlyFor == "" {
		root.ThreadTS = root.TS
		root.ReplyCount++
		if a.truth("reply_broadcast") {
			m.Subtype = "thread_broadcast"
		}
	}
	w.messages = append(w.messages, m)
	if onlyFor != "" {
		return Object{"message_ts": m.TS}, ""
	}
	return Object{"channel": Channel, "ts": m.TS, "message": m}, ""
}

// change changes a message of the app's.
func (w *Workspace) change(a arguments) (Object, string) {
	text, blocks, problem := content(a)
	if problem != "" {
		return nil, problem
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.find(a.text("ts"))
	if m == nil || m.OnlyFor != "" {
		return nil, "message_not_found"
	}
	m.former = append(m.former, m.Blocks)
	m.Text, m.Blocks = text, blocks
	if metadata := a.raw("metadata"); len(metadata) > 0 {
		m.Metadata = metadata
	}
	m.Edited = &Edited{User: BotUser, TS: w.stamp()}
	m.Changes++
	return Object{"channel": Channel, "ts": m.TS, "text": text, "message": m}, ""
}

// content is what a message is to say.
func content(a arguments) (string, []Object, string) {
	text := a.text("text")
	if len(text) > maxText {
		return "", nil, "msg_too_long"
	}
	blocks, err := a.blocks("blocks")
	if err != nil {
		return "", nil, "invalid_blocks_format"
	}
	if text == "" && len(blocks) == 0 {
		return "", nil, "no_text"
	}
	if err := checkBlocks(blocks, maxMessageBlocks); err != nil {
		return "", nil, "invalid_blocks: " + err.Error()
	}
	if metadata := a.raw("metadata"); len(metadata) > 0 {
		var given struct {
			EventType    string         `json:"event_type"`
			EventPayload map[string]any `json:"event_payload"`
		}
		if json.Unmarshal(metadata, &given) != nil || given.EventType == "" || given.EventPayload == nil {
			return "", nil, "invalid_metadata_format"
		}
	}
	return text, name(blocks), ""
}

// history is the channel, the newest first; replies are not in it unless they
// were sent to the channel too.
func (w *Workspace) history(a arguments) (Object, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []*Message
	for _, m := range slices.Backward(w.messages) {
		if m.OnlyFor == "" && (!m.reply() || m.Subtype == "thread_broadcast") {
			found = append(found, m)
		}
	}
	return listed(found, a), ""
}

// replies are a thread, the oldest first, with its root before them.
func (w *Workspace) replies(a arguments) (Object, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ts := a.text("ts")
	if w.find(ts) == nil {
		return nil, "thread_not_found"
	}
	var found []*Message
	for _, m := range w.messages {
		if m.OnlyFor == "" && (m.TS == ts || m.ThreadTS == ts) {
			found = append(found, m)
		}
	}
	return listed(found, a), ""
}

// listed is a page of messages, within the times asked for.
func listed(messages []*Message, a arguments) Object {
	oldest, latest := a.text("oldest"), a.text("latest")
	inclusive := a.truth("inclusive")
	outside := func(m *Message) bool {
		if oldest != "" && (m.TS < oldest || m.TS == oldest && !inclusive) {
			return true
		}
		return latest != "" && (m.TS > latest || m.TS == latest && !inclusive)
	}
	messages = slices.DeleteFunc(slices.Clone(messages), outside)
	limit, err := strconv.Atoi(a.text("limit"))
	if err != nil || limit <= 0 || limit > maxPage {
		limit = defaultPage
	}
	from, _ := strconv.Atoi(a.text("cursor"))
	from = min(max(from, 0), len(messages))
	to := min(from+limit, len(messages))
	page := make([]Message, 0, to-from)
	for _, m := range messages[from:to] {
		shown := *m
		if !a.truth("include_all_metadata") {
			shown.Metadata = nil
		}
		page = append(page, shown)
	}
	more, cursor := to < len(messages), ""
	if more {
		cursor = strconv.Itoa(to)
	}
	return Object{"messages": page, "has_more": more, "response_metadata": Object{"next_cursor": cursor}}
}
