package smi_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/router/smi"
)

// counted is the API server's configuration with a count of the requests that are made by it.
func counted() (*rest.Config, *atomic.Int64) {
	requests := &atomic.Int64{}
	out := rest.CopyConfig(config)
	out.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			requests.Add(1)
			return next.RoundTrip(req)
		})
	})
	return out, requests
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// waits does what a reconciliation of a Rollout that waits in a step does.
func (r *rig) waits(traffic router.Traffic) {
	r.Helper()
	observed, err := r.router.Observe(r.Context(), r.target)
	if err != nil || !observed.Matches(traffic) {
		r.Fatalf("it observes %+v, %v", observed, err)
	}
	if can := r.router.Capabilities(); can.Match != r.options.Match {
		r.Fatalf("its capabilities are %+v", can)
	}
	if _, err := r.router.Watched(); err != nil {
		r.Fatal(err)
	}
	if err := r.router.Apply(r.Context(), r.target, traffic); err != nil {
		r.Fatal(err)
	}
}

// countedRig is a rig whose requests to the API server are counted.
func countedRig(tb testing.TB, how smi.Options) (*rig, *atomic.Int64) {
	tb.Helper()
	r := newRig(tb, how)
	config, requests := counted()
	writer, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		tb.Fatal(err)
	}
	r.options.Writer = writer
	informers := startCache(tb, config)
	r.options.Reader, r.options.Index, r.options.Mapper = informers, smi.NewIndex(informers), newMapper(tb, config)
	r.router = smi.New(r.options)
	return r, requests
}

func TestRouter_AsksTheAPIServerForNothingWhileNothingChanges(t *testing.T) {
	installSMI(t)
	for name, tc := range map[string]struct {
		traffic router.Traffic
		match   bool
	}{
		"in a weight step":                          {step(5, "1"), false},
		"in a match step":                           {tenant("acme", "1"), true},
		"in a weight step with match steps to come": {step(5, "1"), true},
	} {
		t.Run(name, func(t *testing.T) {
			r, requests := countedRig(t, smi.Options{Match: tc.match})
			r.apply(tc.traffic)
			r.waits(tc.traffic)
			before := requests.Load()
			for range 100 {
				r.waits(tc.traffic)
			}
			if made := requests.Load() - before; made != 0 {
				t.Errorf("%d requests were made", made)
			}
		})
	}
}

func TestRouter_LooksForHTTPRouteGroupsOnlyWhereAStepMatches(t *testing.T) {
	installSMI(t)
	r, requests := countedRig(t, smi.Options{})
	r.apply(step(5, "1"))
	watched, err := r.router.Watched()
	if err != nil || len(watched) != 1 {
		t.Errorf("it watches %v, %v", watched, err)
	}
	before := requests.Load()
	r.waits(step(5, "1"))
	if made := requests.Load() - before; made != 0 {
		t.Errorf("%d requests were made", made)
	}
	r.options.Match = true
	if watched, err = smi.New(r.options).Watched(); err != nil || len(watched) != 2 {
		t.Errorf("with steps that match it watches %v, %v", watched, err)
	}
}

// BenchmarkRouter_Waits is what an idle Rollout's route costs in a reconciliation, by how many other routes there are in its namespace.
func BenchmarkRouter_Waits(b *testing.B) {
	installSMI(b)
	for _, others := range []int{0, 100, 1000} {
		for name, traffic := range map[string]router.Traffic{"weight": step(5, "1"), "match": tenant("acme", "1")} {
			b.Run(fmt.Sprintf("%s/others=%d", name, others), func(b *testing.B) {
				r := newRig(b, smi.Options{Match: name == "match"})
				for i := range others {
					r.somebodysSplit(fmt.Sprintf("other-%d", i), fmt.Sprintf("other-%d", i))
				}
				r.apply(traffic)
				r.waits(traffic)
				b.Run("Observe", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						observed, err := r.router.Observe(b.Context(), r.target)
						if err != nil || !observed.Matches(traffic) {
							b.Fatal(observed, err)
						}
					}
				})
				b.Run("Apply", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if err := r.router.Apply(b.Context(), r.target, traffic); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
}
