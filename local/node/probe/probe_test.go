package probe_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weighlock/weighlock/local/node/probe"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// drive records one outcome after another, each when it is due, and returns
// when they were made, since start.
func drive(s *probe.State, outcomes string) (times []string) {
	for _, o := range outcomes {
		now := s.Next()
		times = append(times, now.Sub(start).String())
		s.Record(o == '+', now)
	}
	return times
}

func TestState_LooksOftenUntilTheFirstSuccessAndThenAtThePeriod(t *testing.T) {
	s := probe.New(probe.Readiness, corev1.Probe{PeriodSeconds: 5}, start, start)
	got := drive(s, "--+++")
	if diff := cmp.Diff([]string{"0s", "50ms", "100ms", "5.1s", "10.1s"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestState_HonoursTheInitialDelay(t *testing.T) {
	for _, kind := range []probe.Kind{probe.Startup, probe.Readiness, probe.Liveness} {
		s := probe.New(kind, corev1.Probe{InitialDelaySeconds: 7}, start, start.Add(time.Second))
		if got := s.Next().Sub(start); got != 7*time.Second {
			t.Errorf("%s: first probe after %s, want 7s", kind, got)
		}
	}
}

func TestState_KeepsLivenessToItsPeriod(t *testing.T) {
	s := probe.New(probe.Liveness, corev1.Probe{PeriodSeconds: 2}, start, start.Add(time.Second))
	if diff := cmp.Diff([]string{"3s", "5s", "7s"}, drive(s, "--+")); diff != "" {
		t.Error(diff)
	}
}

func TestState_FollowsItsThresholds(t *testing.T) {
	for _, c := range []struct {
		name     string
		kind     probe.Kind
		spec     corev1.Probe
		outcomes string
		want     probe.Result
	}{
		{"nothing seen", probe.Readiness, corev1.Probe{}, "", probe.Unknown},
		{"one success makes ready", probe.Readiness, corev1.Probe{}, "+", probe.Success},
		{"two failures are forgiven", probe.Readiness, corev1.Probe{}, "+--", probe.Success},
		{"the third failure is not", probe.Readiness, corev1.Probe{}, "+---", probe.Failure},
		{"a success between starts the count anew", probe.Liveness, corev1.Probe{}, "--+--", probe.Success},
		{"ready again", probe.Readiness, corev1.Probe{}, "+---+", probe.Success},
		{"a success too few", probe.Readiness, corev1.Probe{SuccessThreshold: 3}, "++", probe.Unknown},
		{"successes must be in a row", probe.Readiness, corev1.Probe{SuccessThreshold: 3}, "++-++", probe.Unknown},
		{"enough successes", probe.Readiness, corev1.Probe{SuccessThreshold: 3}, "+++", probe.Success},
		{"threshold of one failure", probe.Liveness, corev1.Probe{FailureThreshold: 1}, "-", probe.Failure},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := probe.New(c.kind, c.spec, start, start)
			drive(s, c.outcomes)
			if s.Result() != c.want {
				t.Errorf("got %s, want %s", s.Result(), c.want)
			}
		})
	}
}

func TestState_AllowsASlowStarterAllItsPeriodsHoweverOftenItLooks(t *testing.T) {
	s := probe.New(probe.Startup, corev1.Probe{PeriodSeconds: 10, FailureThreshold: 3}, start, start)
	for s.Next().Before(start.Add(20 * time.Second)) {
		s.Record(false, s.Next())
		if s.Result() == probe.Failure {
			t.Fatalf("failed after %s, want 20s", s.Next().Sub(start))
		}
	}
	s.Record(false, s.Next())
	if s.Result() != probe.Failure {
		t.Errorf("got %s after the third period has begun, want Failure", s.Result())
	}
}

func TestRecord_SaysOnlyChanges(t *testing.T) {
	s := probe.New(probe.Readiness, corev1.Probe{FailureThreshold: 1}, start, start)
	var got []bool
	for _, ok := range []bool{true, true, false, false, true} {
		got = append(got, s.Record(ok, s.Next()))
	}
	if diff := cmp.Diff([]bool{true, false, true, false, true}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCheck_JudgesWhatAServerReplies(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/away":
			http.Redirect(w, r, "/broken", http.StatusFound)
		case r.URL.Path == "/query" && r.URL.RawQuery != "a=1":
			w.WriteHeader(http.StatusBadRequest)
		case r.URL.Path == "/named" && (r.Host != "shop" || r.Header.Get("X-A") != "b"):
			w.WriteHeader(http.StatusBadRequest)
		case r.URL.Path == "/broken":
			http.Error(w, "out of order", http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(address.Port(), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	container := corev1.Container{Name: "app", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: int32(port)}}}
	number, name, unknown := intstr.FromInt32(int32(port)), intstr.FromString("http"), intstr.FromString("grpc")
	get := func(a corev1.HTTPGetAction) corev1.ProbeHandler { return corev1.ProbeHandler{HTTPGet: &a} }
	for _, c := range []struct {
		name    string
		handler corev1.ProbeHandler
		want    string
	}{
		{"by number", get(corev1.HTTPGetAction{Path: "/", Port: number}), ""},
		{"by name", get(corev1.HTTPGetAction{Path: "healthz", Port: name}), ""},
		{"with a query", get(corev1.HTTPGetAction{Path: "/query?a=1", Port: name}), ""},
		{"with headers", get(corev1.HTTPGetAction{Path: "/named", Port: name, HTTPHeaders: []corev1.HTTPHeader{{Name: "Host", Value: "shop"}, {Name: "X-A", Value: "b"}}}), ""},
		{"a redirect is a success", get(corev1.HTTPGetAction{Path: "/away", Port: number}), ""},
		{"an error is not", get(corev1.HTTPGetAction{Path: "/broken", Port: number}), "500: out of order"},
		{"unknown port", get(corev1.HTTPGetAction{Path: "/", Port: unknown}), `no port named "grpc"`},
		{"not TLS", get(corev1.HTTPGetAction{Path: "/", Port: number, Scheme: corev1.URISchemeHTTPS}), "HTTP response to HTTPS"},
		{"tcp", corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: name}}, ""},
		{"tcp to nobody", corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}}, "refused"},
		{"exec", corev1.ProbeHandler{Exec: &corev1.ExecAction{}}, "httpGet and tcpSocket only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := probe.Check(t.Context(), c.handler, container, "127.0.0.1")
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}
