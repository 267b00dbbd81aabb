package prometheus_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
)

func rq(instance, service string, code int) string {
	return fmt.Sprintf(`envoy_cluster_external_upstream_rq{job="envoy",instance="%s",envoy_cluster_name="shop/%s/8080",envoy_response_code="%d"}`, instance, service, code)
}

func le(instance, service, edge string) string {
	return fmt.Sprintf(`envoy_cluster_external_upstream_rq_time_bucket{job="envoy",instance="%s",envoy_cluster_name="shop/%s/8080",le="%s"}`, instance, service, edge)
}

const old, fresh = "checkout-workload", "checkout-abc"

func TestStream_MakesABlockOfEachScrapeOfOneEnvoy(t *testing.T) {
	w := newWorld(t)
	w.show(rq("a", old, 200), -3, 100, -1, 110, 1, 130, 3, 160, 5, 200)
	w.show(rq("a", fresh, 200), 3, 2, 5, 4)
	w.show(rq("a", fresh, 503), 5, 1)
	want := []string{"-1-1: 0/20 0/0 straddles", "1-3: 0/30 0/2", "3-5: 0/40 1/3"}
	if diff := cmp.Diff(want, tell(w.poll(w.open(analysis.Query{}), 6))); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}

// Both tracks of a block must be of the same scrapes, and each target's scrapes are at moments of their own.
func TestStream_WaitsForEveryTarget(t *testing.T) {
	type target struct {
		at       []float64
		from, to float64
		every    float64
	}
	for _, test := range []struct {
		name    string
		targets []target
		polls   []float64
		want    []string
	}{
		{
			"three of them",
			[]target{{from: -1, to: 3, every: 1}, {from: -.6, to: 3, every: 1}, {from: -.2, to: 3, every: 1}},
			[]float64{3.5},
			[]string{"-0.6-1: 0/3 0/3 straddles", "0.4-2: 0/3 0/3", "1.4-3: 0/3 0/3"},
		},
		{
			"one that vanishes",
			[]target{{from: -1, to: 30, every: 1}, {from: -.5, to: 1, every: 1}},
			[]float64{4.5, 5.5, 6.5},
			[]string{"-0.5-1: 0/2 0/2 straddles", "1-2: 0/1 0/1", "2-3: 0/1 0/1", "3-4: 0/1 0/1", "4-5: 0/1 0/1", "5-6: 0/1 0/1"},
		},
		{
			"one that comes",
			[]target{{from: -1, to: 3, every: 1}, {from: 1.5, to: 4, every: 1}},
			[]float64{4.5},
			[]string{"0-1: 0/1 0/1 straddles", "1-2: 0/2 0/2", "1.5-3: 0/2 0/2"},
		},
		{
			"one that is away for a scrape",
			[]target{{from: -1, to: 5, every: 1}, {at: []float64{-.5, .5, 3.5, 4.5}}},
			[]float64{5.5},
			[]string{"-0.5-1: 0/2 0/2 straddles", "1-2: 0/1 0/1", "0.5-3.5: 0/2 0/2", "3-4.5: 0/2 0/2"},
		},
		{
			"one that is scraped more seldom",
			[]target{{from: -1, to: 9, every: 1}, {from: -4.5, to: 9, every: 4}},
			[]float64{9.5},
			[]string{
				"0-1: 0/1 0/1 straddles", "1-2: 0/1 0/1", "2-3: 0/1 0/1", "-0.5-4: 0/2 0/2 straddles", "4-5: 0/1 0/1", "5-6: 0/1 0/1",
				"3.5-7.5: 0/2 0/2", "7-8: 0/1 0/1",
			},
		},
		{"none that was there before", []target{{from: 1, to: 3, every: 1}}, []float64{3.5}, []string{"0-1: 0/1 0/1 straddles", "1-2: 0/1 0/1", "2-3: 0/1 0/1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			for i, target := range test.targets {
				for at := target.from; target.every > 0 && at <= target.to; at += target.every {
					target.at = append(target.at, math.Round(at*10)/10)
				}
				for j, at := range target.at {
					for _, service := range []string{old, fresh} {
						w.show(rq(fmt.Sprint("t", i), service, 200), at, float64(j+1))
					}
				}
			}
			stream := w.open(analysis.Query{})
			var got []string
			for _, poll := range test.polls {
				got = append(got, tell(w.poll(stream, poll))...)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("blocks (-want +got):\n%s", diff)
			}
			again := tell(w.poll(w.open(analysis.Query{}), 60))
			if diff := cmp.Diff(test.want, again[:min(len(again), len(test.want))]); diff != "" {
				t.Errorf("blocks when asked at once (-want +got):\n%s", diff)
			}
		})
	}
}

// busy is a world of several Envoys, with all that happens to them.
func busy(t *testing.T, random *rand.Rand, until float64) *world {
	t.Helper()
	w := newWorld(t)
	for i := range 1 + random.IntN(4) {
		instance, every, begins := fmt.Sprint("envoy-", i), 1+float64(random.IntN(2)), -20+10*random.Float64()
		slow := random.Float64() / 2
		if i > 0 && random.IntN(3) == 0 {
			begins = 20 * random.Float64()
		}
		ends := until
		if i > 0 && random.IntN(3) == 0 {
			ends = until / 2
		}
		counters, failed := map[string]float64{}, false
		for at := begins; at < ends; at += every {
			if random.IntN(40) == 0 {
				clear(counters) // a restart
			}
			if failed = !failed && random.IntN(30) == 0; failed {
				continue // a scrape that failed
			}
			grow := func(name string, by int) {
				counters[name] += float64(by)
			}
			for _, service := range []string{old, fresh} {
				fast := random.IntN(20)
				grow(rq(instance, service, 200), fast+3)
				grow(le(instance, service, "10"), fast)
				grow(le(instance, service, "+Inf"), fast+3)
				if random.IntN(8) == 0 {
					grow(rq(instance, service, 503), 1)
				}
			}
			for name, value := range counters {
				series := w.show(name, math.Round(at*1000)/1000, value)
				if at > begins { // that there is a new target is known when it is seen
					series.samples[len(series.samples)-1].seen += model.Time(slow * every * 1000)
				}
			}
		}
	}
	return w
}

// weighed leaves out what is not: what was counted in blocks that began before the stream, which a scrape from then may change that is seen late.
func weighed(blocks []analysis.Block) []analysis.Block {
	for i, block := range blocks {
		if block.Straddles {
			blocks[i] = analysis.Block{At: block.At, Straddles: true}
		}
	}
	return blocks
}

// A controller that was restarted must come to the same verdict at the same block.
func TestStream_RepeatsItselfHoweverItIsAsked(t *testing.T) {
	const until = 90
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := busy(t, random, until)
		query := analysis.Query{Latency: true}
		whole := weighed(w.poll(w.open(query), until+30))
		stream := w.open(query)
		var parts []analysis.Block
		for at := 0.0; at < until+30; at += 5 * random.Float64() {
			parts = append(parts, w.poll(stream, at)...)
		}
		parts = weighed(append(parts, w.poll(stream, until+30)...))
		if diff := cmp.Diff(whole, parts); diff != "" {
			t.Fatalf("seed %d: blocks (-at once +in portions):\n%s", seed, diff)
		}
		for _, block := range whole {
			for _, counts := range []analysis.Counts{block.Incumbent, block.Candidate} {
				if n := len(counts.Buckets); n > 0 && counts.Requests != counts.Errors+counts.Buckets[n-1].Count {
					t.Fatalf("seed %d: requests that were good and those that were timed are not the same: %v", seed, tell([]analysis.Block{block}))
				}
			}
		}
		if len(whole) < until/4 {
			t.Fatalf("seed %d: there are %d blocks", seed, len(whole))
		}
	}
}

func TestStream_GivesALongReplayInPortions(t *testing.T) {
	w := newWorld(t)
	for at := 0.0; at < 4000; at++ {
		w.show(rq("a", old, 200), at-0.5, at)
	}
	stream := w.open(analysis.Query{})
	all := 0
	for {
		blocks, err := stream.Next(t.Context(), began.Time().Add(4000e9))
		if err != nil {
			t.Fatal(err)
		}
		if len(blocks) == 0 {
			break
		}
		if len(blocks) > 900 {
			t.Errorf("there are %d blocks at once", len(blocks))
		}
		all += len(blocks)
	}
	if all != 3999 {
		t.Errorf("there are %d blocks", all)
	}
}

// FuzzStream says that whatever a server answers, what comes of it are counts, and the same ones however it is asked.
func FuzzStream(f *testing.F) {
	f.Add([]byte{10, 0, 20, 0, 5, 0, 9, 0, 30, 1}, uint8(2))
	f.Add([]byte{}, uint8(0))
	f.Add([]byte("\x04 a\x04 b\x05 c\x03 d not in the order of time: \x02\x01\x00 and so on, and so on"), uint8(3))
	f.Fuzz(func(t *testing.T, raw []byte, cut uint8) {
		w := newWorld(t)
		names := []string{rq("a", old, 200), rq("a", old, 503), rq("b", fresh, 200), le("a", old, "5"), le("a", old, "+Inf"), le("b", fresh, "7"), le("b", fresh, "+Inf")}
		for i := 0; i+2 < len(raw) && i < 900; i += 3 {
			value := float64(binary.LittleEndian.Uint16(raw[i+1:]))
			switch value {
			case 65535:
				value = math.Inf(-1)
			case 65534:
				value = math.NaN()
			case 65533:
				continue
			}
			w.show(names[int(raw[i])%len(names)], float64(i/21)-3+float64(raw[i]%3)/4, value)
		}
		ordered := len(raw) > 0 && raw[0]%4 > 0
		for _, series := range w.series {
			if ordered {
				slices.SortFunc(series.samples, func(a, b worldSample) int { return int(a.at - b.at) })
			}
		}
		end := float64(len(raw))/21 + 30
		query := analysis.Query{Latency: true}
		whole := w.poll(w.open(query), end)
		stream := w.open(query)
		parts := append(w.poll(stream, min(float64(cut), end)), w.poll(stream, end)...)
		if diff := cmp.Diff(whole, parts); diff != "" && ordered {
			t.Fatalf("blocks (-at once +in portions):\n%s", diff)
		}
		for _, block := range append(whole, parts...) {
			for _, counts := range []analysis.Counts{block.Incumbent, block.Candidate} {
				last := 0.0
				for _, bucket := range counts.Buckets {
					if !(bucket.Count >= last) || math.IsInf(bucket.Count, 0) {
						t.Fatalf("buckets are %v", counts.Buckets)
					}
					last = bucket.Count
				}
				if !(counts.Errors >= 0 && counts.Requests >= counts.Errors) || math.IsInf(counts.Requests, 0) {
					t.Fatalf("counts are %v", counts)
				}
			}
		}
	})
}
