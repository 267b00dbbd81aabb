package slack

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The ways in which a request can be made to look like Slack's.
const (
	// Unsigned carries no signature.
	Unsigned = "unsigned"
	// OtherSecret is signed by who doesn't know the secret.
	OtherSecret = "other-secret"
	// Old is signed rightly, ten minutes ago.
	Old = "old"
	// OtherBody carries the signature of another body.
	OtherBody = "other-body"
)

const (
	// deliveryTimeout is how soon the app must answer.
	deliveryTimeout = 3 * time.Second
	// maxAnswer bounds what is read of its answer.
	maxAnswer = 1 << 20
	// oldBy is older than Slack's requests may be.
	oldBy = 10 * time.Minute
)

// Delivery is what came of telling the app.
type Delivery struct {
	// Status and Body are its answer; the status is 0 if there was none.
	Status int    `json:"status"`
	Body   string `json:"body,omitempty"`
	// Problem is what a member would see as Slack's warning.
	Problem string `json:"problem,omitempty"`
	// Took is how long the answer took, in milliseconds.
	Took int64 `json:"took"`
}

// delivery is a request as it was sent, to be sent once more.
type delivery struct {
	body   []byte
	header http.Header
}

// deliver tells the app, by a socket if there is one.
func (w *Workspace) deliver(ctx context.Context, payload []byte, forged string) (Delivery, error) {
	if forged == "" {
		if d, ok := w.sockets.deliver(ctx, payload); ok {
			return d, nil
		}
	}
	body := []byte(url.Values{"payload": {string(payload)}}.Encode())
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "User-Agent": {"Slackbot 1.0 (+https://api.slack.com/robots)"}}
	at, secret, signed := time.Now(), w.options.SigningSecret, body
	switch forged {
	case "", Unsigned:
	case OtherSecret:
		secret += "x"
	case Old:
		at = at.Add(-oldBy)
	case OtherBody:
		signed = []byte("payload=%7B%7D")
	default:
		return Delivery{}, fmt.Errorf("the forgery %q is unknown", forged)
	}
	if forged != Unsigned {
		timestamp := strconv.FormatInt(at.Unix(), 10)
		header.Set("X-Slack-Request-Timestamp", timestamp)
		header.Set("X-Slack-Signature", sign(secret, timestamp, signed))
	}
	sent := delivery{body: body, header: header}
	answer, err := w.post(ctx, sent)
	if forged == "" {
		w.mu.Lock()
		w.last = &sent // Now, or a replay could come first.
		w.mu.Unlock()
	}
	return answer, err
}

// sign is Slack's signature of a request.
func sign(secret, timestamp string, body []byte) string {
	hash := hmac.New(sha256.New, []byte(secret))
	hash.Write([]byte("v0:" + timestamp + ":"))
	hash.Write(body)
	return "v0=" + hex.EncodeToString(hash.Sum(nil))
}

// Replay sends the last request of a member once more, as it was.
func (w *Workspace) Replay(ctx context.Context) (Delivery, error) {
	w.mu.Lock()
	last := w.last
	w.mu.Unlock()
	if last == nil {
		return Delivery{}, errors.New("no request was sent yet")
	}
	return w.post(ctx, *last)
}

func (w *Workspace) post(ctx context.Context, sent delivery) (Delivery, error) {
	if w.options.Interactivity == "" {
		return Delivery{Problem: "the app has no URL for interactivity, and no socket is open"}, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.options.Interactivity, bytes.NewReader(sent.body))
	if err != nil {
		return Delivery{}, fmt.Errorf("tell the app: %w", err)
	}
	request.Header = sent.header.Clone()
	begun := time.Now()
	response, err := w.client.Do(request)
	took := time.Since(begun).Milliseconds()
	if err != nil {
		return Delivery{Problem: err.Error(), Took: took}, nil
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	d := Delivery{Status: response.StatusCode, Body: string(content), Took: time.Since(begun).Milliseconds()}
	switch {
	case err != nil:
		d.Problem = err.Error()
	case d.Status != http.StatusOK:
		d.Problem = "the app answered " + response.Status
	}
	return d, nil
}
