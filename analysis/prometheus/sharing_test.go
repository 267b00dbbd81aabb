package prometheus_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/prometheus"
)

const (
	noVector = `{"status":"success","data":{"resultType":"vector","result":[]}}`
	noMatrix = `{"status":"success","data":{"resultType":"matrix","result":[]}}`
)

func nothing(tb testing.TB, writer http.ResponseWriter, request *http.Request) {
	tb.Helper()
	if strings.HasSuffix(request.FormValue("query"), "]") {
		answer(tb, writer, http.StatusOK, noMatrix)
		return
	}
	answer(tb, writer, http.StatusOK, noVector)
}

// Rollouts that ask the same at about the same time cost their server one question.
func TestProvider_AsksOnceWhatSeveralWant(t *testing.T) {
	var asked atomic.Int32
	url := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		time.Sleep(50 * time.Millisecond)
		nothing(t, w, r)
	})
	provider := newProvider(t, prometheus.Options{Address: url})
	query := lastMinute()
	until := query.Since.Add(time.Minute).Truncate(time.Second)
	var all sync.WaitGroup
	for i := range 6 {
		stream, err := provider.Open(query)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if _, err := stream.Next(t.Context(), until.Add(time.Duration(i)*50*time.Millisecond)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := asked.Load(); got != 3 {
		t.Errorf("asked %d times, want for both bases and the samples once", got)
	}
	evaluation := analysis.Evaluation{Expression: "1", Incumbent: incumbent, Candidate: candidate, From: query.Since, To: query.Since.Add(time.Second), Interval: time.Second}
	for range 2 {
		if _, err := provider.Evaluate(t.Context(), evaluation); err == nil {
			t.Error("took a vector for the values of a range")
		}
	}
	if got := asked.Load(); got != 5 {
		t.Errorf("asked %d times: an error is not to be kept", got-3)
	}
}

// A server that can't answer for a quarter of an hour at once is asked for less.
func TestProvider_AsksForLessWhenItIsTooMuch(t *testing.T) {
	for name, refuse := range map[string]http.HandlerFunc{
		"a large answer": func(w http.ResponseWriter, _ *http.Request) { answer(t, w, http.StatusOK, strings.Repeat(" ", 5000)) },
		"a limit of the server": func(w http.ResponseWriter, _ *http.Request) {
			answer(t, w, http.StatusUnprocessableEntity, `{"status":"error","errorType":"execution","error":"query processing would load too many samples"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var ranges []int
			url := answering(t, func(w http.ResponseWriter, r *http.Request) {
				query := r.FormValue("query")
				if !strings.HasSuffix(query, "ms]") {
					nothing(t, w, r)
					return
				}
				length, err := strconv.Atoi(query[strings.LastIndex(query, "[")+1 : len(query)-3])
				if err != nil {
					t.Error(err)
				}
				if ranges = append(ranges, length/1000); length > 240_000 {
					refuse(w, r)
					return
				}
				nothing(t, w, r)
			})
			query := lastMinute()
			query.Since = query.Since.Truncate(time.Second)
			step := open(t, newProvider(t, prometheus.Options{Address: url, MaxResponseBytes: 4096}), query)
			if _, err := step.stream.Next(t.Context(), query.Since.Add(20*time.Minute)); err != nil {
				t.Fatal(err)
			}
			if len(ranges) < 7 || ranges[0] != 900 || ranges[1] != 450 || ranges[2] != 225 || ranges[len(ranges)-1] > 240 {
				t.Errorf("asked for ranges of %v seconds", ranges)
			}
		})
	}
}

// A poll after five scrapes a second apart, of so many Envoys with 48 series each.
func BenchmarkStream(b *testing.B) {
	for _, envoys := range []int{1, 50} {
		b.Run(strconv.Itoa(envoys), func(b *testing.B) {
			w := newWorld(b)
			w.answers = map[string][]byte{}
			for i := range envoys {
				instance := strconv.Itoa(i)
				for at := range 60 {
					seconds := float64(at) + float64(i)/100
					for _, service := range []string{old, fresh} {
						for _, code := range []int{200, 404, 503} {
							w.show(rq(instance, service, code), seconds, float64(10*at))
						}
						for edge := range 20 {
							w.show(le(instance, service, strconv.Itoa(edge)), seconds, float64(edge*at))
						}
						w.show(le(instance, service, "+Inf"), seconds, float64(20*at))
					}
				}
			}
			for b.Loop() {
				b.StopTimer()
				stream := w.open(analysis.Query{Latency: true})
				w.poll(stream, 50)
				b.StartTimer()
				if len(w.poll(stream, 55)) == 0 {
					b.Fatal("no blocks")
				}
			}
		})
	}
}
