package prometheus_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/prometheus"
)

// began is when the streams of a world begin.
const began = model.Time(1_800_000_000_000)

// world answers as a server does that has scraped just so. It knows the questions that a stream asks, and no others.
type world struct {
	t       testing.TB
	mutex   sync.Mutex
	series  []*worldSeries
	now     model.Time
	queries []string
	url     string
	byText  map[string]*worldSeries
	// before is called before each answer; what it returns is answered instead, if it isn't empty.
	before func(query string) string
	// answers are kept where only our own side is to be measured; nil elsewhere.
	answers map[string][]byte
}

type worldSeries struct {
	labels  model.Metric
	samples []worldSample
}

type worldSample struct {
	at model.Time
	// seen is when the server can show it.
	seen      model.Time
	value     float64
	histogram *model.SampleHistogram
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	made := &world{t: tb, now: began + 365*24*3600*1000, byText: map[string]*worldSeries{}}
	made.url = answering(tb, made.answer)
	return made
}

// show has a series shown at moments in seconds since the streams begin.
func (w *world) show(labels string, samples ...float64) *worldSeries {
	w.t.Helper()
	added := w.of(labels)
	for i := 0; i+1 < len(samples); i += 2 {
		at := began + model.Time(math.Round(samples[i]*1000))
		added.samples = append(added.samples, worldSample{at: at, seen: at, value: samples[i+1]})
	}
	return added
}

// of returns the series of some labels, such as rq{instance="a"}.
func (w *world) of(text string) *worldSeries {
	if known := w.byText[text]; known != nil {
		return known
	}
	labels := model.Metric{}
	name, rest, _ := strings.Cut(text, "{")
	labels[model.MetricNameLabel] = model.LabelValue(name)
	for _, found := range matchers.FindAllStringSubmatch(rest, -1) {
		labels[model.LabelName(found[1])] = model.LabelValue(found[3])
	}
	added := &worldSeries{labels: labels}
	w.byText[text] = added
	w.series = append(w.series, added)
	return added
}

var (
	matchers = regexp.MustCompile(`([a-z_]+)(=~|=)"((?:[^"\\]|\\.)*)"`)
	forms    = regexp.MustCompile(`^(timestamp\(|last_over_time\(|)(.*?)(?:\[([0-9]+)ms\])?\)?$`)
)

func (w *world) answer(writer http.ResponseWriter, request *http.Request) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	query := request.FormValue("query")
	w.queries = append(w.queries, query)
	if w.before != nil {
		if body := w.before(query); body != "" {
			writer.WriteHeader(http.StatusServiceUnavailable)
			w.write(writer, []byte(body))
			return
		}
	}
	key := query + request.FormValue("time")
	if body, known := w.answers[key]; known {
		w.write(writer, body)
		return
	}
	seconds, err := strconv.ParseFloat(request.FormValue("time"), 64)
	form := forms.FindStringSubmatch(query)
	if err != nil || form == nil {
		w.t.Errorf("asked %s at %s", query, request.FormValue("time"))
		return
	}
	at := model.Time(math.Round(seconds * 1000))
	back := model.Time(5 * 60 * 1000)
	if form[3] != "" {
		length, err := strconv.ParseInt(form[3], 10, 64)
		if err != nil {
			w.t.Error(err)
		}
		back = model.Time(length)
	}
	vector, matrix := model.Vector{}, model.Matrix{}
	for _, series := range w.series {
		if !selects(form[2], series.labels) {
			continue
		}
		answer := &model.SampleStream{Metric: series.labels}
		for _, sample := range series.samples {
			if sample.at <= at-back || sample.at > at || sample.seen > w.now {
				continue
			}
			if sample.histogram != nil {
				answer.Histograms = append(answer.Histograms, model.SampleHistogramPair{Timestamp: sample.at, Histogram: sample.histogram})
			} else {
				answer.Values = append(answer.Values, model.SamplePair{Timestamp: sample.at, Value: model.SampleValue(sample.value)})
			}
		}
		matrix, vector = append(matrix, answer), appendLast(vector, answer, form[1] == "timestamp(", at)
	}
	kind, result := "matrix", any(slices.DeleteFunc(matrix, func(s *model.SampleStream) bool { return len(s.Values)+len(s.Histograms) == 0 }))
	if form[1] != "" {
		kind, result = "vector", vector
	}
	body, err := json.Marshal(map[string]any{"status": "success", "data": map[string]any{"resultType": kind, "result": result}})
	if err != nil {
		w.t.Error(err)
	}
	if w.answers != nil {
		w.answers[key] = body
	}
	w.write(writer, body)
}

func (w *world) write(writer http.ResponseWriter, body []byte) {
	if _, err := writer.Write(body); err != nil {
		w.t.Log(err)
	}
}

func appendLast(vector model.Vector, series *model.SampleStream, moment bool, at model.Time) model.Vector {
	sample := &model.Sample{Metric: series.Metric, Timestamp: at}
	var last model.Time
	if n := len(series.Values); n > 0 {
		last, sample.Value = series.Values[n-1].Timestamp, series.Values[n-1].Value
	}
	if n := len(series.Histograms); n > 0 {
		last, sample.Histogram = series.Histograms[n-1].Timestamp, series.Histograms[n-1].Histogram
	}
	if last == 0 {
		return vector
	}
	if moment {
		sample.Value, sample.Histogram = model.SampleValue(float64(last)/1000), nil
	}
	return append(vector, sample)
}

func selects(selector string, labels model.Metric) bool {
	name, rest, _ := strings.Cut(selector, "{")
	if name != "" && string(labels[model.MetricNameLabel]) != name {
		return false
	}
	for _, found := range matchers.FindAllStringSubmatch(rest, -1) {
		value, err := strconv.Unquote(`"` + found[3] + `"`)
		if err != nil {
			return false
		}
		got := string(labels[model.LabelName(found[1])])
		if found[2] == "=" && got != value || found[2] == "=~" && !regexp.MustCompile("^(?:"+value+")$").MatchString(got) {
			return false
		}
	}
	return true
}

// open begins a stream at the moment that the world's times are relative to.
func (w *world) open(query analysis.Query) analysis.Stream {
	w.t.Helper()
	provider, err := prometheus.New(prometheus.Options{Address: w.url})
	if err != nil {
		w.t.Fatal(err)
	}
	query.Since = began.Time()
	if query.Incumbent.Service == "" {
		query.Incumbent, query.Candidate = incumbent, candidate
	}
	stream, err := provider.Open(query)
	if err != nil {
		w.t.Fatal(err)
	}
	return stream
}

// poll asks a stream at a moment, in seconds. What is not shown by then can't be seen.
func (w *world) poll(stream analysis.Stream, seconds float64) []analysis.Block {
	w.t.Helper()
	until := began + model.Time(math.Round(seconds*1000))
	w.mutex.Lock()
	w.now = until
	w.mutex.Unlock()
	var all []analysis.Block
	for {
		blocks, err := stream.Next(w.t.Context(), until.Time())
		if err != nil {
			w.t.Fatal(err)
		}
		if len(blocks) == 0 {
			return all
		}
		for _, block := range blocks {
			block.Incumbent.Buckets, block.Candidate.Buckets = slices.Clone(block.Incumbent.Buckets), slices.Clone(block.Candidate.Buckets)
			all = append(all, block)
		}
	}
}

// tell writes blocks in short: when they ended, both tracks' requests and errors, and what is special about them.
func tell(blocks []analysis.Block) []string {
	var lines []string
	for _, block := range blocks {
		line := fmt.Sprintf("%g-%g: %g/%g %g/%g", secondsOf(block.From), secondsOf(block.At),
			block.Incumbent.Errors, block.Incumbent.Requests, block.Candidate.Errors, block.Candidate.Requests)
		if block.Straddles {
			line += " straddles"
		}
		if !block.Paired {
			line += " unpaired"
		}
		lines = append(lines, line)
	}
	return lines
}

func secondsOf(at time.Time) float64 { return at.Sub(began.Time()).Seconds() }

func timeOf(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
