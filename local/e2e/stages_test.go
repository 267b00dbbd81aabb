package e2e_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/mesh/xds"
	"github.com/weighlock/weighlock/local/observe"
)

// lag is how long Envoy's workers may go on as before after it has
// acknowledged a route: they are told after its main thread.
const lag = 500 * time.Millisecond

// newVersion is the one that the examples' runs take live.
const newVersion = "2"

// fewest is how many requests a stage must have had for its share to be told.
const fewest = 50

// state is what Envoy does with users' requests.
type state struct {
	// Share of the candidate, 0 to 1, of all requests or of those that match.
	Share float64
	// Matches are the conditions, in the mesh's words.
	Matches string
	// Copies is the percentage of which the candidate gets a copy.
	Copies float64
}

func (s state) String() string {
	text := fmt.Sprintf("%g%%", 100*s.Share)
	if s.Matches != "" {
		text += " of " + s.Matches
	}
	if s.Copies > 0 {
		text += fmt.Sprintf(" and copies of %g%%", s.Copies)
	}
	return text
}

// stage is a time in which Envoy was in one state.
type stage struct {
	state
	// sent is when Envoy was told of it, and left when of something else;
	// from is when it had surely taken it.
	sent, from, left time.Time
}

// stages are what Envoy did between two times, as the mesh has reported it.
func stages(history []xds.Traffic, candidate string, begin, end time.Time) []stage {
	var out []stage
	for _, traffic := range history {
		s := state{Share: observe.Share(traffic, candidate), Matches: fmt.Sprint(traffic.Matches)}
		if len(traffic.Matches) == 0 {
			s.Matches = ""
		}
		if traffic.Mirror == candidate {
			s.Copies = traffic.MirrorPercent
		}
		if last := len(out) - 1; last >= 0 {
			if out[last].state == s {
				continue
			}
			out[last].left = traffic.SentAt
		}
		out = append(out, stage{state: s, sent: traffic.SentAt, from: traffic.AcknowledgedAt.Add(lag), left: end})
	}
	out = slices.DeleteFunc(out, func(s stage) bool { return !s.left.After(begin) })
	if len(out) > 0 && out[0].from.Before(begin) {
		out[0].from = begin
	}
	return out
}

// wantStages fails the test unless Envoy was in these states, in this order.
func wantStages(t *testing.T, got []stage, want ...state) {
	t.Helper()
	var states []state
	for _, s := range got {
		states = append(states, s.state)
	}
	if diff := gocmp.Diff(want, states); diff != "" {
		t.Fatalf("Envoy was in other states (-want +got):\n%s", diff)
	}
}

// requests are those that Envoy surely treated as the stage says.
func (s stage) requests(all []load.Request) []load.Request {
	return load.Within(all, s.from, s.left)
}

// shared fails the test unless the new version answered the stage's requests as often
// as it should have, give or take what chance allows.
func (s stage) shared(t *testing.T, all []load.Request, share float64) {
	t.Helper()
	requests := s.requests(all)
	got := count(requests, func(r load.Request) bool { return r.Version == newVersion })
	t.Logf("%v: version %s answered %d of %d requests, %.2f%%", s.state, newVersion, got, len(requests), 100*float64(got)/float64(max(1, len(requests))))
	if len(requests) < fewest {
		t.Errorf("%v: only %d requests were surely of it", s.state, len(requests))
	}
	if !chance(got, len(requests), share) {
		t.Errorf("%v: version %s answered %d of %d requests, which can't be chance at %.2f%%", s.state, newVersion, got, len(requests), 100*share)
	}
}

// chosen fails the test unless the new version answered all requests of the tenants,
// and nobody else's.
func (s stage) chosen(t *testing.T, all []load.Request, tenants ...string) {
	t.Helper()
	theirs, others := 0, 0
	for _, r := range s.requests(all) {
		is := slices.Contains(tenants, r.Tenant)
		if is {
			theirs++
		} else {
			others++
		}
		if is != (r.Version == newVersion) {
			t.Errorf("%v: version %q answered tenant %q", s.state, r.Version, r.Tenant)
			return
		}
	}
	t.Logf("%v: version %s answered all %d requests of %v, and none of %d others", s.state, newVersion, theirs, tenants, others)
	if theirs < fewest || others < fewest {
		t.Errorf("%v: only %d requests of the tenants and %d of others were surely of it", s.state, theirs, others)
	}
}

// atOnce fails the test if a request that was sent after the new version had
// answered was still answered by another.
func atOnce(t *testing.T, all []load.Request) {
	t.Helper()
	news := slices.DeleteFunc(slices.Clone(all), func(r load.Request) bool { return r.Version != newVersion })
	if len(news) == 0 {
		t.Fatalf("version %s answered nothing", newVersion)
	}
	first := slices.MinFunc(news, func(a, b load.Request) int { return cmp.Compare(a.Done.UnixNano(), b.Done.UnixNano()) })
	late := count(all, func(r load.Request) bool { return r.Sent.After(first.Done) && r.Version != newVersion })
	if late > 0 {
		t.Errorf("%d requests that were sent after version %s had answered went elsewhere", late, newVersion)
	}
}

func count(requests []load.Request, is func(load.Request) bool) int {
	n := 0
	for _, r := range requests {
		if is(r) {
			n++
		}
	}
	return n
}
