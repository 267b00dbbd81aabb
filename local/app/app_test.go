package app_test

import (
	"context"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weighlock/weighlock/local/app"
)

// start serves an instance; stop ends its context, done gives its end.
func start(t *testing.T, o app.Options) (url string, stop func(), done <-chan error) {
	t.Helper()
	instance, err := app.New(o)
	if err != nil {
		t.Fatal(err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- instance.Serve(ctx, listener) }()
	return "http://" + listener.Addr().String(), cancel, ended
}

func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestApp_NamesItsVersionAndTheTenant(t *testing.T) {
	t.Parallel()
	url, _, _ := start(t, app.Options{Version: "v7"})
	for accept, want := range map[string]string{
		"":                      "v7 ok\n",
		"application/json":      `"version":"v7"`,
		"text/html,*/*":         "<b>v7</b>",
		"application/xml;q=0.9": "v7 ok\n",
	} {
		response, body := get(t, url+"/cart", "Accept", accept, app.TenantHeader, "acme")
		if response.StatusCode != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("for Accept %q: %s %q, want %q", accept, response.Status, body, want)
		}
		if v, tenant := response.Header.Get(app.VersionHeader), response.Header.Get(app.TenantHeader); v != "v7" || tenant != "acme" {
			t.Errorf("version %q and tenant %q, want v7 and acme", v, tenant)
		}
	}
}

func TestApp_FailsAtItsErrorRate(t *testing.T) {
	t.Parallel()
	url, _, _ := start(t, app.Options{Version: "v3", ErrorRate: 0.3})
	const n = 1000
	failed := 0
	for range n {
		response, _ := get(t, url)
		if response.Header.Get(app.VersionHeader) != "v3" {
			t.Fatal("a reply without the version")
		}
		if response.StatusCode == http.StatusInternalServerError {
			failed++
		}
	}
	if off := math.Abs(float64(failed) - 0.3*n); off > 5*math.Sqrt(n*0.3*0.7) {
		t.Errorf("%d of %d failed, want about 300", failed, n)
	}
}

func TestApp_TakesItsTime(t *testing.T) {
	t.Parallel()
	url, _, _ := start(t, app.Options{Version: "v1", Latency: 40 * time.Millisecond})
	begun := time.Now()
	get(t, url)
	if took := time.Since(begun); took < 40*time.Millisecond {
		t.Errorf("took %v, want at least 40ms", took)
	}
}

func TestApp_TakesTimesOfItsMedianAndP99(t *testing.T) {
	t.Parallel()
	const median, p99 = 100 * time.Millisecond, 400 * time.Millisecond
	url, _, _ := start(t, app.Options{Version: "v1", Latency: median, LatencyP99: p99})
	const n, side = 1500, 50
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 5 * time.Second}
	var below, above atomic.Int64
	var all errgroup.Group
	for range side {
		all.Go(func() error {
			for range n / side {
				begun := time.Now()
				response, err := client.Do(request.Clone(t.Context()))
				if err != nil {
					return err
				}
				// A machine with other work adds to each, and takes nothing away.
				if took := time.Since(begun); took < median {
					below.Add(1)
				} else if took > p99 {
					above.Add(1)
				}
				if err := response.Body.Close(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := below.Load(); n < 300 || n > 850 {
		t.Errorf("%d of 1,500 took less than the median of %v, want half of them less what the machine adds", n, median)
	}
	if n := above.Load(); n < 3 || n > 300 {
		t.Errorf("%d of 1,500 took more than the p99 of %v, want about 15, and what the machine adds", n, p99)
	}
}

// lines are what is written, line by line.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

func TestApp_CountsCopiesApart(t *testing.T) {
	t.Parallel()
	copies := make(lines, 3)
	url, _, _ := start(t, app.Options{Version: "v1", Copies: log.New(copies, "", 0)})
	get(t, url, app.RequestHeader, "6")
	get(t, url)
	get(t, url, "X-Envoy-Internal", "true", app.RequestHeader, "7")
	if got := <-copies; got != "copy of \"7\"\n" || len(copies) > 0 {
		t.Errorf("the log of copies holds %q and %d more lines, want one of request 7", got, len(copies))
	}
	_, text := get(t, url+"/metrics")
	for _, want := range []string{
		`shop_requests_total{code="200",mirrored="false"} 2`,
		`shop_requests_total{code="200",mirrored="true"} 1`,
		`shop_request_duration_seconds_count 2`,
		`shop_info{version="v1"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %q", want)
		}
	}
}

func TestApp_KeepsAConnectionThatWaitsForItsFirstRequest(t *testing.T) {
	t.Parallel()
	url, _, _ := start(t, app.Options{Version: "v1"})
	var dialer net.Dialer
	connection, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	// Servers mostly wait 5 or 10 s for a header; a proxy keeps its spare
	// connections for longer.
	time.Sleep(11 * time.Second)
	if _, err := io.WriteString(connection, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(connection, reply); err != nil || string(reply) != "HTTP/1.1 200" {
		t.Errorf("the reply is %q, %v", reply, err)
	}
}

func TestApp_ServesWhileItDrainsAndLetsTheLastRequestEnd(t *testing.T) {
	t.Parallel()
	url, stop, done := start(t, app.Options{Version: "v1", Latency: 1500 * time.Millisecond, Drain: time.Second})
	if response, _ := get(t, url+"/healthz"); response.StatusCode != http.StatusOK {
		t.Fatalf("healthz says %s", response.Status)
	}
	stop()
	deadline := time.Now().Add(900 * time.Millisecond)
	for {
		response, _ := get(t, url+"/healthz")
		if response.StatusCode == http.StatusServiceUnavailable {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is never reported as not ready")
		}
	}
	// Ends after the drain has.
	response, _ := get(t, url)
	if response.StatusCode != http.StatusOK || !response.Close {
		t.Errorf("%s, closing %v; want 200 and the connection to be given up", response.Status, response.Close)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNew_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]app.Options{
		"no version":       {},
		"an error rate":    {Version: "v", ErrorRate: 1.1},
		"not a number":     {Version: "v", ErrorRate: math.NaN()},
		"negative latency": {Version: "v", Latency: -1},
		"a negative p99":   {Version: "v", LatencyP99: -1},
		"a p99 of nothing": {Version: "v", LatencyP99: time.Second},
		"a p99 too low":    {Version: "v", Latency: time.Second, LatencyP99: time.Millisecond},
	} {
		if _, err := app.New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
