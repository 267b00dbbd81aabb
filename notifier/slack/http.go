package slack

import (
	"context"
	"encoding/json"
	"errors"
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

// Prepare gets ready to take requests: it says in the log when they can't be checked, and asks Slack ahead of the first click what takes
// time then.
func (a *App) Prepare(ctx context.Context) {
	_, _ = a.signingSecret()
	a.learnHome(ctx)
}

// signingSecret is by which Slack signs. That it can't be read is said in the log, once.
func (a *App) signingSecret() (string, error) {
	secret, err := a.o.SigningSecret()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.unsigned = ""
		return secret, nil
	}
	if a.unsigned != err.Error() {
		a.unsigned = err.Error()
		a.o.Log.Error(err, "the signing secret can't be read, so every click is turned away: check slack.signingSecret, and the Secret that it is in")
	}
	return "", err
}

func (a *App) serve(w http.ResponseWriter, r *http.Request) {
	body, result, status := a.receive(w, r)
	if result != "" {
		a.turnAway(w, result, status)
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

// receive reads a request, and checks that Slack has signed it, not long ago. Where not, result is a word for that. What its headers
// give away already isn't read.
func (a *App) receive(w http.ResponseWriter, r *http.Request) (body []byte, result string, status int) {
	secret, err := a.signingSecret()
	if err != nil {
		return nil, "unchecked", http.StatusServiceUnavailable
	}
	verifier, err := slackapi.NewSecretsVerifier(r.Header, secret)
	if err != nil {
		return nil, a.forged(err), http.StatusUnauthorized
	}
	body, release, err := a.readBody(http.MaxBytesReader(w, r.Body, mostBody))
	defer release()
	switch {
	case errors.Is(err, errNoRoom):
		return nil, "busy", http.StatusServiceUnavailable
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, "unreadable", http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, "unreadable", http.StatusBadRequest
	}
	if _, err := verifier.Write(body); err != nil {
		return nil, a.forged(err), http.StatusUnauthorized
	}
	if err := verifier.Ensure(); err != nil {
		return nil, a.forged(err), http.StatusUnauthorized
	}
	return body, "", 0
}

func (a *App) forged(err error) string {
	a.o.Log.V(1).Info("a request that Slack has not signed is turned away", "why", err.Error())
	return "forged"
}

// begin works on a click: Slack wants an answer within three seconds, and gets it before. False when too many are worked on, or the app
// ends.
func (a *App) begin(ctx context.Context, c click) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
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
	if !a.stopped {
		a.stopped = true
		close(a.stopping)
	}
	a.mu.Unlock()
	a.work.Wait()
}
