package prometheus

import (
	"math"
	"slices"

	"github.com/prometheus/common/model"
)

// rememberedResets bounds how many restarts of a group are remembered. For a series that comes back, the last one
// would do; the others are for samples that come late.
const rememberedResets = 64

// growth adds up by how much counters grew after a moment. Samples may be given in any portions, overlapping or not, as
// long as those of a series come in the order of time.
type growth struct {
	since model.Time
	// apart are the labels by which series of one group differ. All of a group are reset together: a proxy that restarted
	// sets back its counters of every response code, and not each of them can be seen to drop.
	apart  []model.LabelName
	series map[model.Fingerprint]*counter
	groups map[model.Fingerprint]*group
	latest model.Time
}

type counter struct {
	labels model.Metric
	group  *group
	seen   bool
	at     model.Time
	value  float64
	grown  float64
}

// group holds the times of the first samples after restarts.
type group struct {
	resets []model.Time
}

func newGrowth(since model.Time, apart []model.LabelName) *growth {
	return &growth{
		since:  since,
		apart:  apart,
		series: map[model.Fingerprint]*counter{},
		groups: map[model.Fingerprint]*group{},
	}
}

// base says what the counters showed when the window began.
func (g *growth) base(vector model.Vector) {
	for _, sample := range vector {
		value := float64(sample.Value)
		if !isCount(value) {
			continue
		}
		series := g.counter(sample.Metric)
		series.seen, series.at, series.value = true, g.since, value
	}
}

// add takes the samples that are new.
func (g *growth) add(matrix model.Matrix) {
	fresh := make([][]model.SamplePair, len(matrix))
	counters := make([]*counter, len(matrix))
	for i, stream := range matrix {
		counters[i] = g.counter(stream.Metric)
		fresh[i] = g.fresh(counters[i], stream.Values)
		counters[i].noteResets(fresh[i])
	}
	for i, samples := range fresh {
		for _, sample := range samples {
			counters[i].count(sample)
		}
		if n := len(samples); n > 0 {
			g.latest = max(g.latest, samples[n-1].Timestamp)
		}
	}
	for _, group := range g.groups {
		if extra := len(group.resets) - rememberedResets; extra > 0 {
			group.resets = slices.Delete(group.resets, 0, extra)
		}
	}
}

// fresh leaves out what was counted already, and what is no count.
func (g *growth) fresh(series *counter, samples []model.SamplePair) []model.SamplePair {
	after := g.since
	if series.seen {
		after = max(after, series.at)
	}
	start, _ := slices.BinarySearchFunc(samples, after+1, func(sample model.SamplePair, at model.Time) int {
		return int(sample.Timestamp - at)
	})
	samples = samples[start:]
	if slices.ContainsFunc(samples, func(sample model.SamplePair) bool { return !isCount(float64(sample.Value)) }) {
		samples = slices.DeleteFunc(slices.Clone(samples), func(sample model.SamplePair) bool {
			return !isCount(float64(sample.Value))
		})
	}
	return samples
}

func (g *growth) counter(labels model.Metric) *counter {
	key := without(labels, model.MetricNameLabel).Fingerprint()
	if series, known := g.series[key]; known {
		return series
	}
	groupKey := without(labels, append(g.apart, model.MetricNameLabel)...).Fingerprint()
	if g.groups[groupKey] == nil {
		g.groups[groupKey] = &group{}
	}
	series := &counter{labels: labels, group: g.groups[groupKey]}
	g.series[key] = series
	return series
}

func (c *counter) noteResets(samples []model.SamplePair) {
	seen, last := c.seen, c.value
	for _, sample := range samples {
		value := float64(sample.Value)
		if seen && value < last {
			c.group.reset(sample.Timestamp)
		}
		seen, last = true, value
	}
}

func (c *counter) count(sample model.SamplePair) {
	value := float64(sample.Value)
	if !c.seen || c.group.resetWithin(c.at, sample.Timestamp) {
		c.grown += value
	} else {
		c.grown += value - c.value
	}
	c.seen, c.at, c.value = true, sample.Timestamp, value
}

func (g *group) reset(at model.Time) {
	if index, known := slices.BinarySearch(g.resets, at); !known {
		g.resets = slices.Insert(g.resets, index, at)
	}
}

// resetWithin says whether the group restarted after one moment and not after the other.
func (g *group) resetWithin(after, until model.Time) bool {
	index, _ := slices.BinarySearch(g.resets, after+1)
	return index < len(g.resets) && g.resets[index] <= until
}

func without(labels model.Metric, names ...model.LabelName) model.Metric {
	rest := make(model.Metric, len(labels))
	for name, value := range labels {
		if !slices.Contains(names, name) {
			rest[name] = value
		}
	}
	return rest
}

func isCount(value float64) bool {
	return value >= 0 && !math.IsInf(value, 0)
}
