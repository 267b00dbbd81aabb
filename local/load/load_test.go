package load_test

import (
	"context"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/local/load"
)

func serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server.URL
}

func run(t *testing.T, o load.Options) load.Stats {
	t.Helper()
	g, err := load.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g.Stats()
}

func TestRun_SendsAtTheRateAndCountsByVersion(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) % 4 {
		case 0:
			w.Header().Set(load.VersionHeader, "v2")
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.Header().Set(load.VersionHeader, "v1")
		}
	})
	stats := run(t, load.Options{URL: url, Rate: 200, Duration: time.Second})
	want := []load.Total{
		{Outcome: load.Outcome{Status: 503}, Count: 50},
		{Outcome: load.Outcome{Version: "v1", Status: 200}, Count: 100},
		{Outcome: load.Outcome{Version: "v2", Status: 500}, Count: 50},
	}
	if diff := cmp.Diff(want, stats.Totals); diff != "" {
		t.Error(diff)
	}
	if stats.Sent != 200 || stats.FailedByVersion != 50 || stats.FailedOnTheWay != 50 || stats.Failed != 100 || !stats.Done {
		t.Errorf("%+v", stats)
	}
	if v2 := stats.Version("v2"); v2.FirstFailure == nil || v2.Failed != 50 || v2.RecentFailed != 50 {
		t.Errorf("version v2 is %+v", v2)
	}
	if v1 := stats.Version("v1"); v1.FirstFailure != nil || v1.Failed != 0 {
		t.Errorf("version v1 is %+v", v1)
	}
	var inSeries int64
	for _, s := range stats.Series {
		inSeries += s.Requests["v1"] + s.Requests["v2"] + s.Requests[""]
	}
	if inSeries != stats.Sent {
		t.Errorf("the series holds %d requests, want %d", inSeries, stats.Sent)
	}
}

func TestRequests_TellsWhoGotWhatAndWhen(t *testing.T) {
	t.Parallel()
	var turned atomic.Bool
	var numbers sync.Map
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		numbers.Store(r.Header.Get(load.RequestHeader), true)
		version := "v1"
		if turned.Load() {
			version = "v2"
		}
		w.Header().Set(load.VersionHeader, version)
	})
	g, err := load.New(load.Options{URL: url, Rate: 200, Duration: time.Second, Keep: true, Tenants: []load.Tenant{{Name: "acme", Share: 0.5}}})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	var before, after time.Time
	time.AfterFunc(500*time.Millisecond, func() {
		before = time.Now()
		turned.Store(true)
		after = time.Now()
	})
	if err := g.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := g.Requests()
	if len(all) != 200 {
		t.Errorf("%d requests were kept of 200", len(all))
	}
	for _, r := range all {
		if _, came := numbers.LoadAndDelete(strconv.FormatInt(r.Number, 10)); !came {
			t.Errorf("request %d was not told by its number, or another had it too", r.Number)
		}
	}
	tenants := map[string]int{}
	for version, requests := range map[string][]load.Request{"v1": load.Within(all, begun, before), "v2": load.Within(all, after, time.Now())} {
		if len(requests) < 50 {
			t.Errorf("%d requests are known to be of %s, want about 100", len(requests), version)
		}
		for _, r := range requests {
			tenants[r.Tenant]++
			if r.Version != version || r.Done.Before(r.Sent) {
				t.Fatalf("the request %+v is not of %s", r, version)
			}
		}
	}
	if tenants["acme"] < 50 || tenants[""] < 50 || len(tenants) != 2 {
		t.Errorf("the requests were of the tenants %v, want acme in half of them", tenants)
	}
}

func TestRun_MeasuresFromWhenARequestWasDue(t *testing.T) {
	t.Parallel()
	// The server stalls once, for 400 ms, for all.
	begun := time.Now()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(load.VersionHeader, "v1")
		if since := time.Since(begun); since > 300*time.Millisecond && since < 700*time.Millisecond {
			time.Sleep(700*time.Millisecond - since)
		}
	})
	stats := run(t, load.Options{URL: url, Rate: 100, Duration: time.Second})
	if v := stats.Version("v1"); v.P99 < 300 || v.P99 > 5000 || v.P50 > v.P99 || v.RecentP99 != v.P99 {
		t.Errorf("p50 %v, p99 %v, recent p99 %v ms; want the stall of 400 ms to be seen", v.P50, v.P99, v.RecentP99)
	}
	if stats.Sent != 100 {
		t.Errorf("sent %d, want 100: a slow server must not slow the load", stats.Sent)
	}
}

func TestRun_DropsWhatIsDueBeyondTheLimit(t *testing.T) {
	t.Parallel()
	url := serve(t, func(http.ResponseWriter, *http.Request) { time.Sleep(2 * time.Second) })
	stats := run(t, load.Options{URL: url, Rate: 100, Duration: 300 * time.Millisecond, MaxInFlight: 5})
	if stats.Sent != 5 || stats.Dropped != 25 || stats.Failed != 0 {
		t.Errorf("sent %d, dropped %d, failed %d; want 5, 25 and 0", stats.Sent, stats.Dropped, stats.Failed)
	}
}

func TestRun_SaysHowRequestsWithoutAReplyFailed(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(load.VersionHeader, "v1")
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	reset := func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_ = connection.(*net.TCPConn).SetLinger(0)
		_ = connection.Close()
	}
	for name, tc := range map[string]struct {
		url  string
		want load.Outcome
	}{
		"nobody listens":   {closed.URL, load.Outcome{Error: load.ErrorRefused}},
		"no reply in time": {serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), load.Outcome{Error: load.ErrorTimeout}},
		"a reply cut":      {serve(t, cut), load.Outcome{Version: "v1", Status: 200, Error: load.ErrorClosed}},
		"a reset":          {serve(t, reset), load.Outcome{Error: load.ErrorReset}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stats := run(t, load.Options{URL: tc.url, Rate: 10, Duration: 100 * time.Millisecond, Timeout: 200 * time.Millisecond})
			if diff := cmp.Diff([]load.Total{{Outcome: tc.want, Count: 1}}, stats.Totals); diff != "" {
				t.Error(diff)
			}
			if stats.FailedOnTheWay != 1 || len(stats.Failures) != 1 || stats.Failures[0].Detail == "" {
				t.Errorf("%d failed on the way, told are %+v", stats.FailedOnTheWay, stats.Failures)
			}
		})
	}
}

func TestRun_SendsTenantsTheirShare(t *testing.T) {
	t.Parallel()
	var acme, others atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(load.VersionHeader, "v1")
		if r.Header.Get(load.TenantHeader) == "acme" {
			acme.Add(1)
		} else {
			others.Add(1)
		}
	})
	stats := run(t, load.Options{URL: url, Rate: 1000, Duration: time.Second, Tenants: []load.Tenant{{Name: "acme", Share: 0.1}}})
	if off := math.Abs(float64(acme.Load()) - 100); off > 5*math.Sqrt(1000*0.1*0.9) {
		t.Errorf("%d of 1000 in acme's name, want about 100", acme.Load())
	}
	want := []load.Total{
		{Outcome: load.Outcome{Version: "v1", Status: 200}, Count: others.Load()},
		{Outcome: load.Outcome{Version: "v1", Status: 200, Tenant: "acme"}, Count: acme.Load()},
	}
	if diff := cmp.Diff(want, stats.Totals); diff != "" {
		t.Error(diff)
	}
}

func TestRun_WaitsForAnswersWhenItIsStopped(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 100)
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		time.Sleep(200 * time.Millisecond)
		w.Header().Set(load.VersionHeader, "v1")
	})
	g, err := load.New(load.Options{URL: url, Rate: 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	<-arrived
	if live := g.Stats(); live.Sent == 0 || live.InFlight == 0 || live.Done {
		t.Errorf("while running: sent %d, in flight %d, done %v", live.Sent, live.InFlight, live.Done)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := g.Stats(); s.Failed > 0 || s.InFlight > 0 || s.Version("v1").Requests != s.Sent || !s.Done {
		t.Errorf("at the end: %+v", s)
	}
}

func TestHandler_ServesTheCountsAsJSON(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(load.VersionHeader, "v1") })
	g, err := load.New(load.Options{URL: url, Rate: 100, Duration: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	g.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/stats", http.NoBody))
	var got load.Stats
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Sent != 10 || got.Version("v1").Requests != 10 {
		t.Errorf("served %s", recorder.Body)
	}
}

func TestNew_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]load.Options{
		"no URL":          {Rate: 1},
		"a relative URL":  {URL: "/x", Rate: 1},
		"no rate":         {URL: "http://x"},
		"a share above 1": {URL: "http://x", Rate: 1, Tenants: []load.Tenant{{Name: "a", Share: 0.6}, {Name: "b", Share: 0.6}}},
	} {
		if _, err := load.New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
