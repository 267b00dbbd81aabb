package prometheus

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/common/model"
)

const since = model.Time(1_000_000)

// stream has samples a second apart, from one second after the beginning of the window. NaN leaves a gap.
func stream(labels model.Metric, values ...float64) *model.SampleStream {
	result := &model.SampleStream{Metric: labels}
	for i, value := range values {
		if !math.IsNaN(value) {
			result.Values = append(result.Values, model.SamplePair{Timestamp: since + model.Time(1000*(i+1)), Value: model.SampleValue(value)})
		}
	}
	return result
}

func labels(code string) model.Metric {
	return model.Metric{"__name__": "rq", "instance": "a", "code": model.LabelValue(code)}
}

var gap = math.NaN()

func TestGrowth_CountsEachRequestOnce(t *testing.T) {
	sample := func(code string, value float64) *model.Sample {
		return &model.Sample{Metric: labels(code), Value: model.SampleValue(value), Timestamp: since}
	}
	for _, test := range []struct {
		name   string
		base   model.Vector
		matrix model.Matrix
		want   map[string]float64
	}{
		{"steady", model.Vector{sample("200", 1000)}, model.Matrix{stream(labels("200"), 1000, 1010, 1030)}, map[string]float64{"200": 30}},
		{"born in the window", nil, model.Matrix{stream(labels("200"), gap, 7, 9)}, map[string]float64{"200": 9}},
		{"born with one sample", nil, model.Matrix{stream(labels("503"), gap, gap, 1)}, map[string]float64{"503": 1}},
		{"idle", model.Vector{sample("200", 1000)}, model.Matrix{stream(labels("200"), 1000, 1000)}, map[string]float64{"200": 0}},
		{"vanished before", model.Vector{sample("200", 1000)}, nil, map[string]float64{"200": 0}},
		{"vanished within", model.Vector{sample("200", 1000)}, model.Matrix{stream(labels("200"), 1004)}, map[string]float64{"200": 4}},
		{"a gap", model.Vector{sample("200", 1000)}, model.Matrix{stream(labels("200"), 1010, gap, gap, 1050)}, map[string]float64{"200": 50}},
		{"a restart", model.Vector{sample("200", 1000)}, model.Matrix{stream(labels("200"), 1010, 4, 6)}, map[string]float64{"200": 16}},
		{"a restart in a gap", model.Vector{sample("200", 1000)}, model.Matrix{stream(labels("200"), 1010, gap, 4)}, map[string]float64{"200": 14}},
		{"a restart to zero", model.Vector{sample("200", 1000)}, model.Matrix{stream(labels("200"), 0, 5)}, map[string]float64{"200": 5}},
		{"two restarts", model.Vector{sample("200", 10)}, model.Matrix{stream(labels("200"), 3, 5, 2, 2)}, map[string]float64{"200": 7}},
		{
			"a restart that only a sibling shows",
			model.Vector{sample("200", 1000), sample("503", 5)},
			model.Matrix{stream(labels("503"), 6, 7, 8), stream(labels("200"), 1010, 40, 50)},
			map[string]float64{"200": 60, "503": 1 + 7 + 1},
		},
		{
			"a sibling that was away during the restart",
			model.Vector{sample("200", 1000), sample("503", 1)},
			model.Matrix{stream(labels("200"), 1010, 4, 6, 8), stream(labels("503"), 1, gap, gap, 1)},
			map[string]float64{"200": 18, "503": 1},
		},
		{"what is no count", nil, model.Matrix{stream(labels("200"), 3, math.Inf(1), -1, 5)}, map[string]float64{"200": 5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			growth := newGrowth(since, []model.LabelName{"code"})
			growth.base(test.base)
			growth.add(test.matrix)
			growth.add(test.matrix)
			checkGrown(t, growth, test.want)
		})
	}
}

func checkGrown(t *testing.T, growth *growth, want map[string]float64) {
	t.Helper()
	got := map[string]float64{}
	for _, series := range growth.seen().series {
		got[string(series.labels["code"])] += series.grown
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("grown by %v, want %v", got, want)
	}
}

func TestGrowth_LeavesOutWhatCameBeforeTheWindow(t *testing.T) {
	growth := newGrowth(since, nil)
	growth.base(model.Vector{{Metric: labels("200"), Value: 1000}})
	early := stream(labels("200"), 1000)
	early.Values = append([]model.SamplePair{{Timestamp: since - 1000, Value: 400}, {Timestamp: since, Value: 1000}}, early.Values...)
	growth.add(model.Matrix{early})
	checkGrown(t, growth, map[string]float64{"200": 0})
}

func TestGrowth_KeepsARestartOfOneTargetFromAnother(t *testing.T) {
	other := labels("200")
	other["instance"] = "b"
	growth := newGrowth(since, []model.LabelName{"code"})
	growth.base(model.Vector{{Metric: labels("200"), Value: 50}, {Metric: other, Value: 1000}})
	growth.add(model.Matrix{stream(labels("200"), 2), stream(other, 1001)})
	checkGrown(t, growth, map[string]float64{"200": 3})
}

// FuzzGrowth says that what is counted depends neither on the portions in which samples come nor on their
// overlap, and is always a count.
func FuzzGrowth(f *testing.F) {
	f.Add([]byte{10, 0, 20, 0, 5, 0, 9, 0, 30, 1}, uint8(2), uint8(1), true)
	f.Add([]byte{}, uint8(0), uint8(0), false)
	f.Fuzz(func(t *testing.T, raw []byte, cut, overlap uint8, based bool) {
		var streams [3]*model.SampleStream
		for i := range streams {
			streams[i] = &model.SampleStream{Metric: labels(fmt.Sprint(200 + i))}
		}
		for i := 0; i+1 < len(raw); i += 2 {
			value := float64(binary.LittleEndian.Uint16(raw[i:]))
			if value == 65535 {
				value = math.Inf(-1)
			}
			// All series of a scrape have its time; a series may be missing from it.
			at := since + model.Time(1000*(i/6+1))
			series := streams[i/2%3]
			if value != 65534 {
				series.Values = append(series.Values, model.SamplePair{Timestamp: at, Value: model.SampleValue(value)})
			}
		}
		whole := newGrowth(since, []model.LabelName{"code"})
		parts := newGrowth(since, []model.LabelName{"code"})
		if based {
			base := model.Vector{{Metric: labels("200"), Value: 100}}
			whole.base(base)
			parts.base(base)
		}
		whole.add(model.Matrix(streams[:]))
		middle := since + model.Time(1000*int(cut))
		parts.add(between(streams, 0, middle))
		parts.add(between(streams, middle-model.Time(1000*int(overlap)), math.MaxInt64))
		sum := whole.seen().sum()
		if !isCount(sum) {
			t.Fatalf("sum is %g", sum)
		}
		if other := parts.seen().sum(); other != sum {
			t.Fatalf("in portions %g, at once %g", other, sum)
		}
	})
}

func between(streams [3]*model.SampleStream, after, until model.Time) model.Matrix {
	var matrix model.Matrix
	for _, whole := range streams {
		part := &model.SampleStream{Metric: whole.Metric}
		for _, sample := range whole.Values {
			if sample.Timestamp > after && sample.Timestamp <= until {
				part.Values = append(part.Values, sample)
			}
		}
		if len(part.Values) > 0 {
			matrix = append(matrix, part)
		}
	}
	return matrix
}

func BenchmarkGrowth(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	matrix := make(model.Matrix, 1000)
	for i := range matrix {
		values := make([]float64, 300)
		for j := range values {
			if j > 0 && random.IntN(100) > 0 {
				values[j] = values[j-1]
			}
			values[j] += float64(random.IntN(50))
		}
		matrix[i] = stream(model.Metric{
			"__name__": "envoy_cluster_external_upstream_rq", "envoy_cluster_name": "shop/checkout-workload/8080",
			"instance": model.LabelValue(fmt.Sprintf("10.244.0.%d:9901", i/4)), "envoy_response_code": model.LabelValue(fmt.Sprint(200 + i%4)),
		}, values...)
	}
	for b.Loop() {
		growth := newGrowth(since, []model.LabelName{"envoy_response_code"})
		growth.add(matrix)
		if !isCount(growth.seen().sum()) {
			b.Fatal("no count")
		}
	}
}
