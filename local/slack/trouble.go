package slack

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// The troubles that the Web API can have.
const (
	// Down closes connections without an answer.
	Down = "down"
	// Failing answers with 500.
	Failing = "failing"
	// Limited answers with 429.
	Limited = "limited"
	// Slow takes the call, and answers only long after.
	Slow = "slow"
	// Lost takes the call, and closes the connection instead of answering.
	Lost = "lost"
)

const (
	// One message a second may be posted, and so many at once, for a while.
	burst     = 10
	perSecond = 1.0
	slowFor   = 30 * time.Second
)

// Trouble is what the Web API has; the zero value is none.
type Trouble struct {
	Mode string `json:"mode"`
	// Methods have it; empty for all.
	Methods []string `json:"methods,omitempty"`
	// Times is how many calls meet it; 0 for all.
	Times int `json:"times,omitempty"`
	// RetryAfter is what 429 says, in seconds.
	RetryAfter int `json:"retryAfter,omitempty"`
}

func (t Trouble) validate() error {
	if !slices.Contains([]string{"", Down, Failing, Limited, Slow, Lost}, t.Mode) {
		return fmt.Errorf("the trouble %q is unknown", t.Mode)
	}
	return nil
}

// meet is the trouble that a call meets.
func (w *Workspace) meet(name string) Trouble {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.trouble
	if t.Mode == "" || len(t.Methods) > 0 && !slices.Contains(t.Methods, name) {
		return Trouble{}
	}
	if t.Times > 0 {
		if w.trouble.Times--; w.trouble.Times == 0 {
			w.trouble = Trouble{}
		}
	}
	return t
}

// before answers a call that is not made for its trouble; it says whether it did.
func (t Trouble) before(reply http.ResponseWriter, request *http.Request) bool {
	switch t.Mode {
	case Down:
		hangUp(reply)
	case Failing:
		http.Error(reply, "something went wrong", http.StatusInternalServerError)
	case Limited:
		limited(reply, max(t.RetryAfter, 1))
	default:
		return false
	}
	_ = request.Body.Close()
	return true
}

// after has a call that was made meet its trouble.
func (t Trouble) after(reply http.ResponseWriter, request *http.Request) bool {
	switch t.Mode {
	case Lost:
		hangUp(reply)
		return true
	case Slow:
		select {
		case <-request.Context().Done():
		case <-time.After(slowFor):
		}
	}
	return false
}

// hangUp closes the connection.
func hangUp(reply http.ResponseWriter) {
	connection, _, err := http.NewResponseController(reply).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = connection.Close()
}

func limited(reply http.ResponseWriter, seconds int) {
	reply.Header().Set("Retry-After", strconv.Itoa(seconds))
	reply.Header().Set("Content-Type", "application/json; charset=utf-8")
	reply.WriteHeader(http.StatusTooManyRequests)
	_, _ = reply.Write([]byte(`{"ok":false,"error":"ratelimited"}`))
}

// bucket holds what may still be posted.
type bucket struct {
	tokens float64
	at     time.Time
}

// tooFast is what a call is told that comes too soon after others.
const tooFast = "ratelimited"

// allow takes one message from the bucket, if there is one. The lock is held.
func (w *Workspace) allow() bool {
	now := time.Now()
	b := &w.allowed
	if !b.at.IsZero() {
		b.tokens = min(burst, b.tokens+now.Sub(b.at).Seconds()*perSecond)
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
