package slack

import (
	"io"
	"net/http"
)

// mostAnswer is how long an answer of Slack's may be.
const mostAnswer = 8 << 20

// newClient makes what calls Slack. It follows no redirections: calls hold the token.
func newClient() *http.Client {
	return &http.Client{
		Timeout: callTimeout, Transport: bounded{http.DefaultTransport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded reads no more of an answer than it should have.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, mostAnswer), response.Body}
	return response, nil
}
