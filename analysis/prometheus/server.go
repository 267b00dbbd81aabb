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

// replica is one Prometheus.
type replica struct {
	// name is the address without credentials.
	name      string
	api       promv1.API
	transport *http.Transport
	timeout   time.Duration
	slots     chan struct{}
	clock     clock.PassiveClock
	metrics   *metrics
	log       logr.Logger
}

func newReplica(address string, options Options, metrics *metrics) (*replica, error) {
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
	return &replica{
		name: name, api: promv1.NewAPI(client), transport: transport, timeout: options.Timeout,
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

// ask sends a question once there is room for it.
func (r *replica) ask(ctx context.Context, question question) (model.Value, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to ask: %w", ctx.Err())
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	start := r.clock.Now()
	value, warnings, err := question.send(limited, r.api)
	r.metrics.observe(r.clock.Since(start), err)
	if len(warnings) > 0 {
		r.log.V(1).Info("Prometheus warned", "query", question.query, "warnings", warnings)
	}
	switch {
	case err == nil && value == nil:
		return nil, errors.New("the answer is empty")
	case err == nil && value.Type() != question.wants():
		return nil, fmt.Errorf("the answer is a %s, not a %s", value.Type(), question.wants())
	case err == nil:
		return value, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, &refusal{reason: fmt.Sprintf("no answer within %s", r.timeout), tooMuch: true, slow: true}
	default:
		return nil, plain(err)
	}
}

// question is what is asked: an instant query, or one at several moments.
type question struct {
	query string
	// vector says that an instant query yields one value for each series, and not all samples of a range.
	vector bool
	at     model.Time
	// moments are those of a range query; nil for an instant one.
	moments *promv1.Range
}

// key is the same for questions that are.
func (q question) key() string {
	if q.moments != nil {
		return fmt.Sprintf("%d %d %d %s", q.moments.Start.UnixMilli(), q.moments.End.UnixMilli(), q.moments.Step, q.query)
	}
	return fmt.Sprintf("%d %s", q.at, q.query)
}

func (q question) wants() model.ValueType {
	if q.vector {
		return model.ValVector
	}
	return model.ValMatrix
}

func (q question) send(ctx context.Context, api promv1.API) (model.Value, promv1.Warnings, error) {
	if q.moments != nil {
		return api.QueryRange(ctx, q.query, *q.moments)
	}
	return api.Query(ctx, q.query, q.at.Time())
}

// refusal is why there is no answer.
type refusal struct {
	reason string
	// tooMuch says that less may be answered, slow that it should be asked for later.
	tooMuch, slow bool
	// wrong says that the question itself can't be answered, here or elsewhere.
	wrong bool
}

// Error returns the reason.
func (r *refusal) Error() string { return r.reason }

// plain leaves out addresses, which may hold credentials, and what an unknown server may have sent: anyone who can write a
// Rollout chooses whom we ask.
func plain(err error) error {
	if errors.Is(err, errTooLarge) {
		return &refusal{reason: errTooLarge.Error(), tooMuch: true}
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	answered, ok := errors.AsType[*promv1.Error](err)
	if !ok || answered.Type == promv1.ErrBadResponse {
		return errors.New("the answer is not that of a Prometheus")
	}
	text := answered.Error()
	if len(text) > longestReason {
		text = text[:longestReason] + "..."
	}
	return &refusal{reason: text, tooMuch: answered.Type == promv1.ErrExec, wrong: answered.Type == promv1.ErrBadData}
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
