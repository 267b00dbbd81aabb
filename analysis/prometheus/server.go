package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"k8s.io/utils/clock"
)

// longestReason bounds what is repeated of a server's own words.
const longestReason = 300

var (
	errTooLarge   = errors.New("the answer is too large: narrow the selector, or scrape less often")
	errRedirected = errors.New("it sends us elsewhere, where we don't follow: write the address that it redirects to")
)

// server is one Prometheus.
type server struct {
	// address with credentials, and name without.
	address, name string
	api           promv1.API
	transport     *http.Transport
	timeout       time.Duration
	slots         chan struct{}
	used          time.Time
	clock         clock.PassiveClock
	metrics       *metrics
	log           logr.Logger
}

func newServer(address string, options Options, metrics *metrics) (*server, error) {
	name, err := checkAddress(address)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: options.Timeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: options.Timeout,
		MaxConnsPerHost:     options.MaxInFlight,
		MaxIdleConnsPerHost: options.MaxInFlight,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	client, err := api.NewClient(api.Config{Address: address, Client: &http.Client{
		Transport: boundedTransport{transport, options.MaxResponseBytes},
	}})
	if err != nil {
		return nil, fmt.Errorf("making a client for %s failed", name)
	}
	return &server{
		address: address, name: name, api: promv1.NewAPI(client), transport: transport, timeout: options.Timeout,
		slots: make(chan struct{}, options.MaxInFlight), clock: options.Clock, metrics: metrics, log: options.Log.WithValues("prometheus", name),
	}, nil
}

// checkAddress returns the address as it may be shown.
func checkAddress(address string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return "", errors.New("must be an http or https address, such as http://prometheus.monitoring:9090")
	}
	return (&url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path}).String(), nil
}

func (s *server) vector(ctx context.Context, query string, at model.Time) (model.Vector, error) {
	value, err := s.ask(ctx, query, at)
	if err != nil {
		return nil, err
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("asking Prometheus at %s: the answer is a %s, not a vector", s.name, value.Type())
	}
	return vector, nil
}

func (s *server) matrix(ctx context.Context, query string, at model.Time) (model.Matrix, error) {
	value, err := s.ask(ctx, query, at)
	if err != nil {
		return nil, err
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("asking Prometheus at %s: the answer is a %s, not a matrix", s.name, value.Type())
	}
	return matrix, nil
}

func (s *server) ask(ctx context.Context, query string, at model.Time) (model.Value, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to ask Prometheus at %s: %w", s.name, ctx.Err())
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	start := s.clock.Now()
	value, warnings, err := s.api.Query(limited, query, at.Time())
	s.metrics.observe(s.clock.Since(start), err)
	if len(warnings) > 0 {
		s.log.V(1).Info("Prometheus warned", "query", query, "warnings", warnings)
	}
	switch {
	case err == nil && value == nil:
		return nil, fmt.Errorf("asking Prometheus at %s: the answer is empty", s.name)
	case err == nil:
		return value, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("asking Prometheus at %s: %w", s.name, ctx.Err())
	case limited.Err() != nil:
		return nil, fmt.Errorf("asking Prometheus at %s: no answer within %s", s.name, s.timeout)
	default:
		return nil, fmt.Errorf("asking Prometheus at %s: %w", s.name, plain(err))
	}
}

// plain leaves out addresses, which may hold credentials, and what an unknown server may have sent: anyone who can write a
// Rollout chooses whom we ask.
func plain(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	if errors.Is(err, errTooLarge) {
		return errTooLarge
	}
	answered, ok := errors.AsType[*promv1.Error](err)
	if !ok || answered.Type == promv1.ErrBadResponse {
		return errors.New("the answer is not that of a Prometheus")
	}
	text := answered.Error()
	if len(text) > longestReason {
		text = text[:longestReason] + "..."
	}
	return errors.New(text)
}

// boundedTransport refuses answers that would fill the memory, and to ask another server than the user
// wrote.
type boundedTransport struct {
	http.RoundTripper
	limit int64
}

// RoundTrip bounds the answer's body, and makes a redirect an error.
func (b boundedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 == 3 {
		return nil, errors.Join(errRedirected, response.Body.Close())
	}
	response.Body = &boundedBody{response.Body, b.limit}
	return response, nil
}

// CloseIdleConnections lets http.Client reach the transport underneath.
func (b boundedTransport) CloseIdleConnections() {
	if closer, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read fails beyond the limit.
func (b *boundedBody) Read(buffer []byte) (int, error) {
	n, err := b.ReadCloser.Read(buffer)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
