// Package slack is a stand-in for Slack: a workspace with one channel, a few
// members and one app, which is the one that is tried. It answers the Web API
// as Slack does, with Slack's limits, signs what its members click, and shows
// the channel on a web page. On command it is away, slow or at its limits.
package slack

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The ids of the workspace, its channel and its app.
const (
	Team        = "T0LOCAL"
	TeamName    = "local"
	Channel     = "C0RELEASES"
	ChannelName = "releases"
	App         = "A0WEIGHLOCK"
	Bot         = "B0WEIGHLOCK"
	BotUser     = "U0WEIGHLOCK"
	// Releasers is a user group.
	Releasers = "S0RELEASE"
)

// Member is one of the workspace's.
type Member struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Groups []string `json:"groups,omitempty"`
}

// The members of the workspace.
var (
	Alice = Member{ID: "U0ALICE", Name: "alice"}
	Bob   = Member{ID: "U0BOB", Name: "bob"}
	Carla = Member{ID: "U0CARLA", Name: "carla", Groups: []string{Releasers}}
	Dana  = Member{ID: "U0DANA", Name: "dana"}
)

// Members are all of them, bots left out.
var Members = []Member{Alice, Bob, Carla, Dana}

// member finds one by the id.
func member(id string) (Member, bool) {
	for _, m := range Members {
		if m.ID == id {
			return m, true
		}
	}
	return Member{}, false
}

// Options say how the workspace knows its app, and the app it.
type Options struct {
	// URL is the server's own, as the app calls it.
	URL string
	// BotToken and AppToken are the app's, SigningSecret is what shows it
	// that a request is Slack's.
	BotToken, AppToken, SigningSecret string
	// Interactivity is the app's URL for what members click; it is not used
	// while the app is connected by a socket.
	Interactivity string
}

// Workspace is a running one. It is an http.Handler.
type Workspace struct {
	options Options
	handler http.Handler
	client  *http.Client
	sockets sockets

	mu       sync.Mutex
	messages []*Message
	lastTS   int64
	views    map[string]*View
	// triggers are the ids by which a modal may be opened, answers those by
	// which the app may answer to a click.
	triggers map[string]trigger
	answers  map[string]*answerURL
	trouble  Trouble
	allowed  bucket
	// last is the last request of a member that was sent, as it was.
	last *delivery
}

// trigger is the right to open one modal, soon.
type trigger struct {
	user string
	at   time.Time
	used bool
}

// New makes a workspace without messages.
func New(options Options) *Workspace {
	w := &Workspace{
		options:  options,
		client:   &http.Client{Timeout: deliveryTimeout, Transport: &http.Transport{DisableKeepAlives: true}},
		views:    map[string]*View{},
		triggers: map[string]trigger{},
		answers:  map[string]*answerURL{},
		allowed:  bucket{tokens: burst},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/{method}", w.serveAPI)
	mux.HandleFunc("/actions/{id}", w.serveAnswer)
	mux.HandleFunc("/socket/{ticket}", w.serveSocket)
	w.control(mux)
	w.handler = mux
	return w
}

// ServeHTTP answers the app, the page and tests.
func (w *Workspace) ServeHTTP(reply http.ResponseWriter, request *http.Request) {
	w.handler.ServeHTTP(reply, request)
}

// stamp is the id of the next message: the time, and unique. The lock is held.
func (w *Workspace) stamp() string {
	now := time.Now().UnixMicro()
	if now <= w.lastTS {
		now = w.lastTS + 1
	}
	w.lastTS = now
	return fmt.Sprintf("%d.%06d", now/1e6, now%1e6)
}

// id is a new one with that prefix.
func id(prefix string) string {
	return prefix + strings.ToUpper(rand.Text()[:10])
}
