package prometheus_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/analysis"
)

// sumOf adds up what the incumbent did.
func sumOf(blocks []analysis.Block) analysis.Counts {
	var sum analysis.Counts
	for _, block := range blocks {
		sum = plus(sum, block.Incumbent)
	}
	return sum
}

var gap = math.NaN()

func TestStream_CountsEachRequestOnce(t *testing.T) {
	type shown map[int][]float64 // by code: before the stream, and then second by second
	for _, test := range []struct {
		name             string
		shown            shown
		requests, errors float64
	}{
		{"steady", shown{200: {1000, 1000, 1010, 1030}}, 30, 0},
		{"born in the stream", shown{200: {gap, gap, 7, 9}}, 9, 0},
		{"born with one sample", shown{200: {5, 5, 5, 5}, 503: {gap, gap, gap, 1}}, 1, 1},
		{"idle", shown{200: {1000, 1000, 1000}}, 0, 0},
		{"vanished within", shown{200: {1000, 1004}, 503: {1, 1, 1}}, 4, 0},
		{"a gap", shown{200: {1000, 1010, gap, gap, 1050}}, 50, 0},
		{"a restart", shown{200: {1000, 1010, 4, 6}}, 16, 0},
		{"a restart in a gap", shown{200: {1000, 1010, gap, 4}}, 14, 0},
		{"a restart to zero", shown{200: {1000, 0, 5}}, 5, 0},
		{"two restarts", shown{200: {10, 3, 5, 2, 2}}, 7, 0},
		{"a restart that only a sibling shows", shown{200: {1000, 1010, 40, 50}, 503: {5, 6, 7, 8}}, 60 + 1 + 7 + 1, 1 + 7 + 1},
		{"a sibling that was away during the restart", shown{200: {1000, 1010, 4, 6, 8}, 503: {1, 1, gap, gap, 1}}, 18 + 1, 1},
		{"a sibling that comes back after the restart", shown{200: {1000, 1010, 4, 6, 8, 9}, 503: {5, 5, gap, gap, 1, 2}}, 19 + 2, 2},
		{"a restart that nearly caught up in one counter", shown{200: {100, 100, 97, 100}, 503: {50, 50, 1, 1}}, 100 + 1, 1},
		{"an older view", shown{200: {1000, 1010, 1005, 1020}, 503: {6, 7, 6, 8}}, 20 + 2, 2},
		{"what is no count", shown{200: {gap, 3, math.Inf(1), -1, 5}}, 5, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			for code, values := range test.shown {
				for i, value := range values {
					if !math.IsNaN(value) {
						w.show(rq("a", old, code), float64(i)-0.5, value)
					}
				}
			}
			// Another series of the target tells of scrapes in which those above are missing.
			for i := range 8 {
				w.show(rq("a", fresh, 200), float64(i)-0.5, 1)
			}
			got := sumOf(w.poll(w.open(analysis.Query{}), 20))
			if got.Requests != test.requests || got.Errors != test.errors {
				t.Errorf("counted %g requests and %g errors, want %g and %g", got.Requests, got.Errors, test.requests, test.errors)
			}
		})
	}
}

func TestStream_KeepsARestartOfOneTargetFromAnother(t *testing.T) {
	w := newWorld(t)
	w.show(rq("a", old, 200), -1, 50, 1, 3)
	w.show(rq("b", old, 200), -1, 1000, 1, 1001)
	if got := sumOf(w.poll(w.open(analysis.Query{}), 20)); got.Requests != 4 {
		t.Errorf("counted %g requests, want 4", got.Requests)
	}
}

// A counter that ended while its process went on, such as that of a cluster that an Envoy had before, begins anew. One whose process could not be scraped goes on.
func TestStream_KnowsWhatEndedBeforeItBegan(t *testing.T) {
	w := newWorld(t)
	w.show(rq("a", old, 200), -1, 10, 1, 10, 2, 10)
	w.show(rq("a", old, 503), -900, 50, 2, 60)
	w.show(rq("b", old, 503), -900, 50, 2, 60)
	if got := sumOf(w.poll(w.open(analysis.Query{}), 30)); got.Errors != 60+10 {
		t.Errorf("counted %g errors, want 70", got.Errors)
	}
}

// A slow answer to a scrape is stored long after that of another target that was scraped later.
func TestStream_LosesNothingThatIsSeenLate(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		at := float64(i) - 1
		w.show(rq("a", old, 200), at, float64(10*i))
		series := w.show(rq("b", old, 200), at+0.5, float64(1000*i))
		if i%3 == 0 {
			series.samples[i].seen += 20_000
		}
	}
	stream := w.open(analysis.Query{})
	var blocks []analysis.Block
	for at := 1.0; at < 80; at++ {
		blocks = append(blocks, w.poll(stream, at)...)
	}
	if got := sumOf(blocks); got.Requests != 10*38+1000*39 {
		t.Errorf("counted %g requests, want %d", got.Requests, 10*38+1000*39)
	}
}

func TestStream_SaysWhichBlocksAreOfTheSameScrapes(t *testing.T) {
	w := newWorld(t)
	// Destination side: each track's own processes count.
	w.show(rq("incumbent", old, 200), -1, 0, 1, 1, 2, 2, 3, 3)
	w.show(rq("candidate", fresh, 200), -0.5, 0, 1.5, 1, 2.5, 2)
	got := tell(w.poll(w.open(analysis.Query{}), 3))
	if diff := cmp.Diff([]string{"-1-1.5: 0/1 0/1 straddles unpaired", "1-2.5: 0/1 0/1 unpaired"}, got); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}

func TestStream_CountsFurtherMetricsInTheSameBlocks(t *testing.T) {
	w := newWorld(t)
	paid := func(instance, service, result string) string {
		return fmt.Sprintf(`paid{job="app",instance="%s",service="%s",result="%s"}`, instance, service, result)
	}
	w.show(rq("a", old, 200), -1, 0, 1, 1, 2, 2, 3, 3)
	w.show(rq("a", fresh, 200), -1, 0, 1, 1, 2, 2, 3, 3)
	w.show(paid("x", old, "ok"), -0.5, 0, 1.5, 8, 2.5, 20)
	w.show(paid("x", old, "bad"), -0.5, 0, 1.5, 0, 2.5, 2)
	w.show(paid("y", fresh, "ok"), -0.4, 0, 1.6, 5, 2.6, 8)
	w.show(paid("y", fresh, "bad"), 2.6, 3)
	blocks := w.poll(w.open(analysis.Query{Ratios: []analysis.Ratio{{Field: "f", Bad: `paid{service="{service}",result="bad"}`, Total: `paid{service="{service}"}`}}}), 3)
	if len(blocks) != 2 || !blocks[1].Paired {
		t.Fatalf("blocks are %v", tell(blocks))
	}
	want := []analysis.RatioCounts{{Incumbent: analysis.Tally{Total: 14, Bad: 2}, Candidate: analysis.Tally{Total: 6, Bad: 3}}}
	if diff := cmp.Diff(want, blocks[1].Ratios); diff != "" {
		t.Errorf("ratio (-want +got):\n%s", diff)
	}
}

// Requests and their buckets are asked for one after the other, and a scrape may be stored in between.
func TestStream_HoldsAScrapeBackThatCameBetweenItsQuestions(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		for _, name := range []string{rq("a", old, 200), le("a", old, "+Inf")} {
			series := w.show(name, float64(i)-0.5, float64(10*i))
			if i == 3 {
				series.samples[i].seen = began + 3_001
			}
		}
	}
	stream := w.open(analysis.Query{Latency: true})
	w.before = func(query string) string {
		if strings.Contains(query, "time_bucket") && strings.HasSuffix(query, "ms]") {
			w.now += 2
		}
		return ""
	}
	for _, blocks := range [][]analysis.Block{w.poll(stream, 3), w.poll(stream, 5)} {
		if len(blocks) == 0 {
			t.Error("there are no blocks")
		}
		for _, block := range blocks {
			if n := len(block.Incumbent.Buckets); n == 0 || block.Incumbent.Requests != 10 || block.Incumbent.Buckets[n-1].Count != 10 {
				t.Errorf("block %v has the buckets %v", tell([]analysis.Block{block}), block.Incumbent.Buckets)
			}
		}
	}
}

// An outage in the middle of a poll costs nothing but time.
func TestStream_LosesNothingInAnOutage(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.show(rq("a", old, 200), float64(i)-0.5, float64(10*i))
		w.show(le("a", old, "+Inf"), float64(i)-0.5, float64(10*i))
	}
	query := analysis.Query{Latency: true}
	want := w.poll(w.open(query), 20)
	stream := w.open(query)
	asked := 0
	w.before = func(string) string {
		if asked++; asked%3 > 0 {
			return "away"
		}
		return ""
	}
	var got []analysis.Block
	failed := 0
	for at := 1; at <= 200; at++ {
		blocks, err := stream.Next(t.Context(), began.Time().Add(timeOf(min(20, float64(at)/10))))
		if err != nil {
			failed++
		}
		for _, block := range blocks {
			block.Incumbent.Buckets = slices.Clone(block.Incumbent.Buckets)
			got = append(got, block)
		}
	}
	if failed == 0 {
		t.Error("no poll failed")
	}
	w.before = nil
	got = append(got, w.poll(stream, 20)...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("blocks (-without an outage +with it):\n%s", diff)
	}
}

func TestStream_AsksOnceForBothTracks(t *testing.T) {
	w := newWorld(t)
	stream := w.open(analysis.Query{Latency: true, Ratios: []analysis.Ratio{{Bad: `paid{service=~"{service}",result="bad"}`, Total: `paid{service=~"{service}"}`}}})
	w.poll(stream, 5)
	w.queries = nil
	w.poll(stream, 10)
	if len(w.queries) != 4 {
		t.Errorf("a poll asked %d questions, want one for requests, latency, and each selector of the ratio: %q", len(w.queries), w.queries)
	}
	w.queries = nil
	if w.poll(stream, 10); len(w.queries) != 0 {
		t.Errorf("asked again without anything new: %q", w.queries)
	}
}

// Selectors that have no part of what they should be a part of are an error that only an edit helps against.
func TestStream_NamesSelectorsThatDontFit(t *testing.T) {
	for _, test := range []struct{ bad, want string }{
		{`other{service="{service}"}`, "m.ratio.bad: selects 12 more than there are of checkout-workload"},
		{`both{pod=~"{workload}-.*"}`, "m.ratio.bad: selects the same series for both tracks"},
	} {
		w := newWorld(t)
		for i := range 6 {
			w.show(`all{service="checkout-workload"}`, float64(i)-0.5, float64(i))
			w.show(`other{service="checkout-workload"}`, float64(i)-0.5, float64(5*i))
			w.show(`both{pod="checkout-abc-1"}`, float64(i)-0.5, float64(i))
		}
		stream := w.open(analysis.Query{Ratios: []analysis.Ratio{{Field: "m.ratio", Bad: test.bad, Total: `all{service="{service}"}`}}})
		var err error
		for at := 1; at <= 6 && err == nil; at++ {
			_, err = stream.Next(t.Context(), began.Time().Add(timeOf(float64(at))))
		}
		if err == nil || len(err.Error()) < len(test.want) || err.Error()[:len(test.want)] != test.want {
			t.Errorf("error is %v, want %s", err, test.want)
		}
	}
}

// Servers that scrape the same and write to one store must not double the requests, nor lose some when one of them ends.
func TestStream_CountsOnceWhatSeveralServersScraped(t *testing.T) {
	const seconds = 200
	w := newWorld(t)
	by := func(replica, service string) string {
		return fmt.Sprintf(`envoy_cluster_external_upstream_rq{prometheus_replica="%s",job="envoy",instance="a",envoy_cluster_name="shop/%s/8080",envoy_response_code="200"}`, replica, service)
	}
	for i := range seconds {
		at := float64(i)
		for _, service := range []string{old, fresh} {
			if i < 90 || i > 150 {
				w.show(by("p1", service), at-0.5, 10*(at-0.5)+100)
			}
			if i < 140 || i > 180 {
				w.show(by("p2", service), at-0.2, 10*(at-0.2)+100)
			}
		}
	}
	whole := w.poll(w.open(analysis.Query{}), seconds+30)
	// From the highest value before to the last of the one that is believed at the end.
	if got := sumOf(whole); math.Abs(got.Requests-10*(198.5+0.2)) > 1e-6 {
		t.Errorf("counted %g requests, want 1987", got.Requests)
	}
	stream := w.open(analysis.Query{})
	var parts []analysis.Block
	for at := 0.0; at < seconds+30; at += 1.7 {
		parts = append(parts, w.poll(stream, at)...)
	}
	parts = append(parts, w.poll(stream, seconds+30)...)
	if diff := cmp.Diff(whole, parts); diff != "" {
		t.Errorf("blocks (-at once +in portions):\n%s", diff)
	}
}
