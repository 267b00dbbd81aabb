// Package post sends a notification over HTTP to an address that is a secret.
package post

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/notifier"
)

const (
	// timeout is how long a request may take, its answer included.
	timeout = 15 * time.Second
	// mostAnswer is how much of an answer is read, in bytes.
	mostAnswer = 4 << 10
	// longestPause is the longest that is waited because a sink says so.
	longestPause = time.Hour
	// mostRedirects within a host.
	mostRedirects = 3
)

// Secret is read for each delivery, so that a new one is taken without a restart. Its errors don't tell it.
type Secret func() (string, error)

// Client sends requests. It has no address of its own: sinks share one.
type Client struct {
	client *http.Client
	clock  clock.PassiveClock
}

// New makes a client. Without a transport it has one of its own, which checks certificates and uses the environment's proxy.
func New(transport http.RoundTripper, now clock.PassiveClock) *Client {
	if transport == nil {
		transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   timeout / 2,
			ResponseHeaderTimeout: timeout,
			IdleConnTimeout:       time.Minute,
			MaxIdleConnsPerHost:   2,
			ForceAttemptHTTP2:     true,
		}
	}
	return &Client{client: &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: Within}, clock: now}
}

// Within follows redirects that repeat the request on the same host. Any other would send it to somebody else, or turn it into one
// that says nothing. It is for http.Client's CheckRedirect.
func Within(request *http.Request, before []*http.Request) error {
	first := before[0]
	if len(before) > mostRedirects || request.Method != first.Method || request.URL.Scheme != first.URL.Scheme || request.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Encode writes a message in JSON. What is safe in JSON stays as it is: chats limit the length of what they get.
func Encode(message any) ([]byte, error) {
	var written bytes.Buffer
	encoder := json.NewEncoder(&written)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(message); err != nil {
		return nil, &notifier.PermanentError{Err: fmt.Errorf("writing a message in JSON: %w", err)}
	}
	return bytes.TrimSpace(written.Bytes()), nil
}

// JSON posts a body. The error says whether another try is any use; it never tells the address but for its host.
func (c *Client) JSON(ctx context.Context, address Secret, body []byte, header http.Header) error {
	text, err := address()
	if err != nil {
		// A Secret that isn't mounted yet may come.
		return &notifier.AnswerError{Err: err}
	}
	target, err := url.Parse(text)
	if err != nil || target.Scheme != "https" && target.Scheme != "http" || target.Host == "" {
		return &notifier.AnswerError{Err: errors.New("the sink's secret is no address such as https://example.com/")}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return &notifier.AnswerError{Err: fmt.Errorf("the sink's secret is no address for a request to %s", target.Host)}
	}
	maps.Copy(request.Header, header)
	if request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("User-Agent", "weighlock")
	response, err := c.client.Do(request)
	if err != nil {
		return fmt.Errorf("calling %s: %w", target.Host, bare(err, target))
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		answer = nil // The status is what counts.
	}
	return Judge(target.Host, response, answer, c.clock.Now())
}

// bare takes the address out of an error of net/http.
func bare(err error, address *url.URL) error {
	if told, is := errors.AsType[*url.Error](err); is {
		err = told.Err
	}
	for _, secret := range []string{strings.Trim(address.EscapedPath(), "/"), address.RawQuery} {
		if secret != "" && strings.Contains(err.Error(), secret) {
			return errors.New("the answer can't be told, since it repeats the secret address")
		}
	}
	return err
}

// codeWord is an answer that is a word for machines, as Slack has them: it can't be a secret that was sent back.
var codeWord = regexp.MustCompile(`^[a-z]+(_[a-z]+){0,5}$`)

// Judge says what an answer means for a notification, at a time.
func Judge(host string, response *http.Response, answer []byte, now time.Time) error {
	code := response.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	err := fmt.Errorf("%s answers %d %s", host, code, http.StatusText(code))
	if word := strings.TrimSpace(string(answer)); len(word) <= 64 && codeWord.MatchString(word) {
		err = fmt.Errorf("%w: %s", err, word)
	}
	switch {
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return &notifier.RetryError{After: pause(response.Header.Get("Retry-After"), now), Err: err}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusBadGateway, code == http.StatusGatewayTimeout:
		return err
	case code >= 500, code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound:
		// An administrator may be changing the secret.
		return &notifier.AnswerError{Err: err}
	case code >= 300 && code < 400:
		return &notifier.PermanentError{Err: fmt.Errorf("%w: redirects are followed within the host only, and with 307 or 308", err)}
	default:
		return &notifier.PermanentError{Err: err}
	}
}

// pause reads a Retry-After of seconds or a date; 0 when there is none.
func pause(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 {
		return time.Duration(min(seconds, longestPause.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), longestPause)
	}
	return 0
}
