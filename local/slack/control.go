package slack

import (
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
)

//go:embed page
var pages embed.FS

// State is what there is to see of a workspace.
type State struct {
	Channel  string   `json:"channel"`
	Members  []Member `json:"members"`
	Messages []Seen   `json:"messages"`
	Views    []View   `json:"views"`
	Trouble  Trouble  `json:"trouble"`
	Sockets  int      `json:"sockets"`
}

// Seen is a message, with what only tests and the page are told of it.
type Seen struct {
	Message
	OnlyFor string `json:"onlyFor,omitempty"`
	Changes int    `json:"changes"`
}

// State is the present one.
func (w *Workspace) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := State{Channel: ChannelName, Members: Members, Trouble: w.trouble, Sockets: w.sockets.count()}
	for _, m := range w.messages {
		s.Messages = append(s.Messages, Seen{Message: *m, OnlyFor: m.OnlyFor, Changes: m.Changes})
	}
	for _, v := range w.views {
		s.Views = append(s.Views, *v)
	}
	return s
}

// control serves the page, and what tests and the page do as members.
func (w *Workspace) control(mux *http.ServeMux) {
	mux.HandleFunc("GET /control/state", func(reply http.ResponseWriter, _ *http.Request) {
		state, err := json.Marshal(w.State())
		if err != nil {
			http.Error(reply, err.Error(), http.StatusInternalServerError)
			return
		}
		reply.Header().Set("Content-Type", "application/json; charset=utf-8")
		reply.Header().Set("Cache-Control", "no-store")
		_, _ = reply.Write(state)
	})
	mux.HandleFunc("POST /control/click", doing(w.Click))
	mux.HandleFunc("POST /control/submit", doing(w.Submit))
	mux.HandleFunc("POST /control/replay", doing(func(ctx context.Context, _ struct{}) (Delivery, error) { return w.Replay(ctx) }))
	mux.HandleFunc("POST /control/trouble", doing(func(_ context.Context, t Trouble) (Delivery, error) { return Delivery{}, w.HaveTrouble(t) }))
	page, err := fs.Sub(pages, "page")
	if err != nil {
		panic(err)
	}
	mux.Handle("/", http.FileServerFS(page))
}

// HaveTrouble gives the Web API trouble, or ends it.
func (w *Workspace) HaveTrouble(t Trouble) error {
	if err := t.validate(); err != nil {
		return err
	}
	w.mu.Lock()
	w.trouble = t
	w.mu.Unlock()
	if t.Mode == Down {
		w.sockets.drop()
	}
	return nil
}

// doing serves something that a member does, by what is posted as JSON.
func doing[T any](do func(context.Context, T) (Delivery, error)) http.HandlerFunc {
	return func(reply http.ResponseWriter, request *http.Request) {
		// A web page of somebody else's can't send this type unasked.
		if request.Header.Get("Content-Type") != "application/json" {
			http.Error(reply, "send application/json", http.StatusUnsupportedMediaType)
			return
		}
		var what T
		if err := json.NewDecoder(http.MaxBytesReader(reply, request.Body, maxCall)).Decode(&what); err != nil {
			http.Error(reply, err.Error(), http.StatusBadRequest)
			return
		}
		done, err := do(request.Context(), what)
		if err != nil {
			http.Error(reply, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		answer(reply, done)
	}
}
