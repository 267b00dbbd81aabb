package prometheus_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/prometheus"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/prometheus"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

func lastMinute() analysis.Query {
	return analysis.Query{Incumbent: incumbent, Candidate: candidate, Since: time.Now().Add(-time.Minute)}
}

func answering(tb testing.TB, handler http.HandlerFunc) string {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return server.URL
}

func answer(tb testing.TB, writer http.ResponseWriter, code int, body string) {
	tb.Helper()
	writer.WriteHeader(code)
	if _, err := writer.Write([]byte(body)); err != nil {
		tb.Log(err)
	}
}

func TestProvider_SaysPlainlyWhatWentWrong(t *testing.T) {
	const vector = `{"status":"success","data":{"resultType":"vector","result":[]}}`
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"an error of its own": {func(w http.ResponseWriter, _ *http.Request) {
			answer(t, w, http.StatusUnprocessableEntity, `{"status":"error","errorType":"execution","error":"query processing would load too many samples"}`)
		}, "execution: query processing would load too many samples"},
		"a broken server": {func(w http.ResponseWriter, _ *http.Request) {
			answer(t, w, http.StatusBadGateway, "inside of the company")
		}, "server_error: server error: 502"},
		"another server": {func(w http.ResponseWriter, _ *http.Request) {
			answer(t, w, http.StatusOK, "<html>inside of the company</html>")
		}, "the answer is not that of a Prometheus"},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			answer(t, w, http.StatusOK, vector[:40])
		}, "the answer is not that of a Prometheus"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		}, "it sends us elsewhere"},
		"a vector for a range": {func(w http.ResponseWriter, _ *http.Request) {
			answer(t, w, http.StatusOK, vector)
		}, "the answer is a vector, not a matrix"},
		"a scalar": {func(w http.ResponseWriter, _ *http.Request) {
			answer(t, w, http.StatusOK, `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`)
		}, "the answer is a scalar, not a vector"},
		"an endless answer": {func(w http.ResponseWriter, _ *http.Request) {
			answer(t, w, http.StatusOK, strings.Repeat(" ", 5000)+vector)
		}, "the answer is too large"},
		"no answer": {func(_ http.ResponseWriter, r *http.Request) {
			_ = r.FormValue("query") // a server sees that its client has gone only once it has read the question
			<-r.Context().Done()
		}, "no answer within 300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			url := answering(t, test.handler)
			provider := newProvider(t, prometheus.Options{
				Address: strings.Replace(url, "http://", "http://user:secret@", 1), Timeout: 300 * time.Millisecond, MaxResponseBytes: 4096,
			})
			err := open(t, provider, lastMinute()).add(t.Context())
			if err == nil {
				t.Fatal("measured")
			}
			if text := err.Error(); !strings.Contains(text, test.want) || !strings.Contains(text, "asking Prometheus at "+url+":") {
				t.Errorf("error is %q, want one with %q", text, test.want)
			}
			if text := err.Error(); strings.Contains(text, "secret") || strings.Contains(text, "user") || strings.Contains(text, "company") {
				t.Errorf("error %q tells too much", text)
			}
		})
	}
}

func TestProvider_SaysThatPrometheusIsAway(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	provider := newProvider(t, prometheus.Options{Address: server.URL})
	err := open(t, provider, lastMinute()).add(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "asking Prometheus at "+server.URL+": ") || !strings.HasSuffix(err.Error(), "connection refused") {
		t.Errorf("error is %v", err)
	}
}

func TestProvider_UsesTheCredentialsOfTheAddress(t *testing.T) {
	var user, password atomic.Value
	url := answering(t, func(w http.ResponseWriter, r *http.Request) {
		name, secret, _ := r.BasicAuth()
		user.Store(name)
		password.Store(secret)
		answer(t, w, http.StatusOK, `{"status":"error","errorType":"x","error":"y"}`)
	})
	provider := newProvider(t, prometheus.Options{Address: strings.Replace(url, "http://", "http://user:secret@", 1)})
	if err := open(t, provider, lastMinute()).add(t.Context()); err == nil {
		t.Error("measured an error")
	}
	if user.Load() != "user" || password.Load() != "secret" {
		t.Errorf("came as %v with %v", user.Load(), password.Load())
	}
}

func TestProvider_AsksOnlySoMuchAtATime(t *testing.T) {
	var now, most atomic.Int32
	url := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		time.Sleep(30 * time.Millisecond)
		answer(t, w, http.StatusOK, `{"status":"error","errorType":"x","error":"y"}`)
	})
	provider := newProvider(t, prometheus.Options{Address: url, MaxInFlight: 2})
	done := make(chan error)
	for i := range 10 {
		query := lastMinute()
		query.Since = query.Since.Add(time.Duration(i) * time.Second)
		go func() {
			stream, err := provider.Open(query)
			if err == nil {
				_, err = stream.Next(t.Context(), time.Now())
			}
			done <- err
		}()
	}
	for range 10 {
		if err := <-done; err == nil || !strings.Contains(err.Error(), "x: y") {
			t.Error(err)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d at a time, want 2", most.Load())
	}
}

func TestProvider_NamesTheFieldThatItCantUse(t *testing.T) {
	const address = "http://127.0.0.1:1"
	counters := func(requests, errors string) *v1alpha1.MetricSource {
		return &v1alpha1.MetricSource{Address: address, Counters: &v1alpha1.CounterMetrics{Requests: requests, Errors: errors}}
	}
	const good = `rq{service="{service}"}`
	for want, source := range map[string]*v1alpha1.MetricSource{
		"spec.analysis.source.address: is not set":                       nil,
		"spec.analysis.source.address: must be an http":                  {Address: "prometheus:9090"},
		"spec.analysis.source.address: must not hold credentials":        {Address: address + ",http://user:secret@127.0.0.1:2"},
		"spec.analysis.source.envoy.cluster: has an unknown placeholder": {Address: address, Envoy: &v1alpha1.EnvoyMetrics{Cluster: "{service}/{pod}"}},
		"spec.analysis.source.envoy.cluster: names both tracks":          {Address: address, Envoy: &v1alpha1.EnvoyMetrics{Cluster: "shop"}},
		"spec.analysis.source.counters.requests: must be a series":       counters(`rate(`+good+`[1m])`, good),
		"spec.analysis.source.counters.requests: selects the same":       counters(`rq`, good),
		"spec.analysis.source.counters.errors: must be a series":         counters(good, `rq{service="{service}"} or vector(1)`),
		"spec.analysis.source.counters.errors: has an unknown":           counters(good, `rq{service="{svc}"}`),
	} {
		query := lastMinute()
		query.Source = source
		_, err := newProvider(t, prometheus.Options{}).Open(query)
		if fault, ok := errors.AsType[*analysis.FieldError](err); !ok || !strings.HasPrefix(fault.Error(), want) || strings.Contains(fault.Error(), "secret") {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
	query := lastMinute()
	query.Ratios = []analysis.Ratio{{Field: "spec.analysis.metrics[2].ratio", Total: good, Bad: `sum(` + good + `)`}}
	_, err := newProvider(t, prometheus.Options{Address: address}).Open(query)
	if err == nil || !strings.HasPrefix(err.Error(), "spec.analysis.metrics[2].ratio.bad: must be a series") {
		t.Errorf("error is %v", err)
	}
}

func TestProvider_TellsHowItDoes(t *testing.T) {
	registry := client.NewPedanticRegistry()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	provider := newProvider(t, prometheus.Options{Address: server.URL, Registerer: registry})
	if err := open(t, provider, lastMinute()).add(t.Context()); err == nil {
		t.Error("measured a server that knows nothing")
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, family := range families {
		metric := family.GetMetric()[0]
		got[family.GetName()] = metric.GetCounter().GetValue() == 1 || metric.GetHistogram().GetSampleCount() == 1
	}
	if !got["weighlock_prometheus_query_failures_total"] || !got["weighlock_prometheus_query_duration_seconds"] {
		t.Errorf("got %v", got)
	}
	if _, err := prometheus.New(prometheus.Options{Registerer: registry}); err == nil {
		t.Error("registered the same metrics twice")
	}
	if _, err := prometheus.New(prometheus.Options{Address: "prometheus"}); err == nil {
		t.Error("took an address without a scheme")
	}
}
