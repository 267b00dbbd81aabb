// Package load sends requests at a constant rate and counts every reply by who
// made it. It is an open loop: requests start when they are due, however slow
// the answers are, and latency counts from when a request was due, so that a
// stall is seen by all the requests that it would have hit.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// VersionHeader is the header of replies that the application made;
	// replies without it were made by a proxy on the way.
	VersionHeader = "X-Version"
	// TenantHeader is the header of requests that names the tenant.
	TenantHeader = "X-Tenant"
	// RequestHeader is the header of requests that tells them apart, if they
	// are kept.
	RequestHeader = "X-Load-Request"

	defaultTimeout     = 10 * time.Second
	defaultMaxInFlight = 2000
	maxBody            = 1 << 20
)

// Kinds of failed requests that got no complete reply.
const (
	ErrorTimeout = "timeout"
	ErrorRefused = "connection refused"
	ErrorReset   = "connection reset"
	ErrorClosed  = "connection closed"
	ErrorOther   = "other"
)

// Tenant is a part of the requests that is sent in a tenant's name.
type Tenant struct {
	Name string
	// Share of all requests, 0 to 1.
	Share float64
}

// Options say what to send.
type Options struct {
	URL string
	// Rate is requests per second.
	Rate float64
	// Duration is how long to send; zero is until the context ends.
	Duration time.Duration
	// Header is sent with every request. A Host in it is the request's host.
	Header http.Header
	// Tenants get their shares of the requests; the rest names no tenant.
	Tenants []Tenant
	// MaxInFlight is how many requests may be under way; those due beyond it
	// are dropped, and counted. Default 2000.
	MaxInFlight int
	// Timeout of each request. Default 10 s.
	Timeout time.Duration
	// Keep keeps every request for Generator.Requests: about 100 bytes each.
	Keep bool
}

func (o Options) validate() error {
	target, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return fmt.Errorf("read the URL: %w", err)
	case target.Scheme != "http" && target.Scheme != "https" || target.Host == "":
		return fmt.Errorf("the URL %q is not an absolute http or https one", o.URL)
	case !(o.Rate > 0 && o.Rate <= 1e6):
		return fmt.Errorf("the rate %v is not between 0 and 1,000,000 per second", o.Rate)
	}
	sum := 0.0
	for _, t := range o.Tenants {
		if !(t.Share >= 0) {
			return fmt.Errorf("the share %v of tenant %q is not between 0 and 1", t.Share, t.Name)
		}
		sum += t.Share
	}
	if sum > 1+1e-9 {
		return fmt.Errorf("the shares of the tenants sum up to %v, which is more than 1", sum)
	}
	return nil
}

// Generator sends the requests of one run.
type Generator struct {
	options  Options
	client   *http.Client
	record   *recorder
	inFlight atomic.Int64
}

// New makes a generator; Run starts it.
func New(o Options) (*Generator, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("check the load's options: %w", err)
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = defaultMaxInFlight
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return &Generator{
		options: o,
		client: &http.Client{
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: o.Timeout}).DialContext,
				MaxIdleConnsPerHost: o.MaxInFlight,
				IdleConnTimeout:     30 * time.Second,
				DisableCompression:  true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		record: newRecorder(o.Keep),
	}, nil
}

// Run sends requests until the duration or the context ends, waits for the
// answers that are due, and returns. It may be called once.
func (g *Generator) Run(ctx context.Context) error {
	defer g.client.CloseIdleConnections()
	var running sync.WaitGroup
	start := time.Now()
	g.record.start(start)
	// Answers are waited for after the end, so that none is counted as
	// failed only because the run was over.
	sending := context.WithoutCancel(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := int64(0); ; i++ {
		offset := time.Duration(float64(i) / g.options.Rate * float64(time.Second))
		if g.options.Duration > 0 && offset >= g.options.Duration {
			break
		}
		due := start.Add(offset)
		if d := time.Until(due); d > 0 {
			timer.Reset(d)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		if g.inFlight.Load() >= int64(g.options.MaxInFlight) {
			g.record.dropped(due)
			continue
		}
		g.inFlight.Add(1)
		running.Go(func() {
			defer g.inFlight.Add(-1)
			g.send(sending, due, i)
		})
	}
	running.Wait()
	g.record.end(time.Now())
	return nil
}

func (g *Generator) send(ctx context.Context, due time.Time, number int64) {
	ctx, cancel := context.WithTimeout(ctx, g.options.Timeout)
	defer cancel()
	outcome := Outcome{Tenant: g.tenant()}
	connections := 0
	// The transport sends a request again when a connection that it kept
	// turns out to be closed; that is not to go unseen.
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }})
	sent := time.Now()
	status, version, err := g.exchange(ctx, outcome.Tenant, number)
	outcome.Status, outcome.Version = status, version
	if err != nil {
		outcome.Error = errorKind(err)
	}
	g.record.done(due, Request{Outcome: outcome, Number: number, Sent: sent, Done: time.Now()}, connections > 1, err)
}

func (g *Generator) exchange(ctx context.Context, tenant string, number int64) (status int, version string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.options.URL, http.NoBody)
	if err != nil {
		return 0, "", fmt.Errorf("make a request: %w", err)
	}
	maps.Copy(request.Header, g.options.Header)
	if host := g.options.Header.Get("Host"); host != "" {
		request.Host = host
	}
	if tenant != "" {
		request.Header.Set(TenantHeader, tenant)
	}
	if g.options.Keep {
		request.Header.Set(RequestHeader, strconv.FormatInt(number, 10))
	}
	response, err := g.client.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("send a request: %w", err)
	}
	defer response.Body.Close()
	status, version = response.StatusCode, response.Header.Get(VersionHeader)
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxBody)); err != nil {
		return status, version, fmt.Errorf("read a reply: %w", err)
	}
	return status, version, nil
}

func (g *Generator) tenant() string {
	if len(g.options.Tenants) == 0 {
		return ""
	}
	x := rand.Float64() //nolint:gosec // Nothing is guarded by it.
	for _, t := range g.options.Tenants {
		if x < t.Share {
			return t.Name
		}
		x -= t.Share
	}
	return ""
}

func errorKind(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return ErrorTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrorRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ErrorReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrorClosed
	default:
		return ErrorOther
	}
}
