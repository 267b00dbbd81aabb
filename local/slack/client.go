package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client lets tests see a workspace and act as its members.
type Client struct {
	// URL is the workspace's server.
	URL string
}

// State is what there is to see.
func (c Client) State(ctx context.Context) (State, error) {
	var state State
	return state, c.call(ctx, http.MethodGet, "state", nil, &state)
}

// Click clicks a button.
func (c Client) Click(ctx context.Context, click Click) (Delivery, error) {
	var d Delivery
	return d, c.call(ctx, http.MethodPost, "click", click, &d)
}

// Submit sends off a modal.
func (c Client) Submit(ctx context.Context, submit Submit) (Delivery, error) {
	var d Delivery
	return d, c.call(ctx, http.MethodPost, "submit", submit, &d)
}

// Replay has the last request sent to the app once more.
func (c Client) Replay(ctx context.Context) (Delivery, error) {
	var d Delivery
	return d, c.call(ctx, http.MethodPost, "replay", struct{}{}, &d)
}

// Trouble gives Slack trouble, or ends it.
func (c Client) Trouble(ctx context.Context, t Trouble) error {
	return c.call(ctx, http.MethodPost, "trouble", t, nil)
}

func (c Client) call(ctx context.Context, method, what string, in, out any) error {
	failed := func(err error) error { return fmt.Errorf("ask the stand-in for Slack: %s: %w", what, err) }
	body, err := json.Marshal(in)
	if err != nil {
		return failed(err)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+"/control/"+what, bytes.NewReader(body))
	if err != nil {
		return failed(err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return failed(err)
	}
	if response.StatusCode != http.StatusOK {
		return failed(fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(content))))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(content, out); err != nil {
		return failed(err)
	}
	return nil
}
