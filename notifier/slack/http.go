package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	slackapi "github.com/slack-go/slack"
)

const (
	// Path takes Slack's requests.
	Path = "/slack/interactions"
	// mostBody is how long a request may be.
	mostBody = 1 << 20
	// window is how old a request may be: what slack-go checks.
	window = 5 * time.Minute
	// mostReplays is how many signatures are remembered. Above it, requests are turned away.
	mostReplays = 10_000
)

// replays remember the signatures of requests for as long as they are valid.
type replays struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// first says whether a signature was not seen before, and remembers it; false, too, when there is no room.
func (r *replays) first(signature string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, seen := r.seen[signature]; seen {
		return false
	}
	if len(r.seen) >= mostReplays {
		for old, at := range r.seen {
			// A request may be dated ahead, so that it is valid for two windows.
			if now.Sub(at) > 2*window {
				delete(r.seen, old)
			}
		}
		if len(r.seen) >= mostReplays {
			return false
		}
	}
	r.seen[signature] = now
	return true
}

// Handler takes Slack's requests: what members click, signed.
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path, a.serve)
	return mux
}

func (a *App) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody)) //nolint:forbidigo // It is bounded, and too much is an error.
	if err != nil {
		a.turnAway(w, "unreadable", http.StatusRequestEntityTooLarge)
		return
	}
	if err := a.verify(r.Header, body); err != nil {
		a.o.Log.V(1).Info("a request that Slack has not signed is turned away", "why", err.Error())
		a.turnAway(w, "forged", http.StatusUnauthorized)
		return
	}
	// The same signature can be written in small letters and in capitals.
	if !a.replays.first(strings.ToLower(r.Header.Get("X-Slack-Signature")), a.o.Clock.Now()) {
		a.turnAway(w, "replayed", http.StatusConflict)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("payload") == "" {
		a.turnAway(w, "unreadable", http.StatusBadRequest)
		return
	}
	c, err := read([]byte(form.Get("payload")))
	switch {
	case errors.Is(err, errNotOurs):
		w.WriteHeader(http.StatusOK)
		return
	case err != nil:
		a.turnAway(w, "unreadable", http.StatusBadRequest)
		return
	}
	if complaint := c.complaint(); complaint != nil {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(complaint); err != nil {
			a.o.Log.V(1).Info("answering Slack", "err", err.Error())
		}
		return
	}
	if !a.begin(context.WithoutCancel(r.Context()), c) {
		a.turnAway(w, "busy", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (a *App) turnAway(w http.ResponseWriter, result string, status int) {
	a.measures.clicks.WithLabelValues(result).Inc()
	http.Error(w, http.StatusText(status), status)
}

// verify says whether Slack has signed a request, not long ago.
func (a *App) verify(header http.Header, body []byte) error {
	secret, err := a.o.SigningSecret()
	if err != nil {
		return fmt.Errorf("reading the signing secret: %w", err)
	}
	verifier, err := slackapi.NewSecretsVerifier(header, secret)
	if err != nil {
		return err
	}
	if _, err := verifier.Write(body); err != nil {
		return err
	}
	return verifier.Ensure()
}

// begin works on a click: Slack wants an answer within three seconds, and gets it before. False when too many are worked on, or the app
// ends.
func (a *App) begin(ctx context.Context, c click) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ended(a.stopping) {
		return false
	}
	select {
	case a.working <- struct{}{}:
	default:
		return false
	}
	a.work.Go(func() {
		defer func() { <-a.working }()
		ctx, cancel := context.WithTimeout(ctx, clickTimeout)
		defer cancel()
		a.act(ctx, c)
	})
	return true
}

// Wait ends the app: it takes no more clicks, and waits for those that are worked on. What becomes of their decisions is not waited for.
func (a *App) Wait() {
	a.mu.Lock()
	if !ended(a.stopping) {
		close(a.stopping)
	}
	a.mu.Unlock()
	a.work.Wait()
}

func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
