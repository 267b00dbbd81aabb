package prometheus

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
)

// histogram adds up the buckets of several processes.
type histogram struct {
	unit      time.Duration
	instances map[model.Fingerprint]map[time.Duration]float64
}

func newHistogram(unit time.Duration) *histogram {
	return &histogram{unit: unit, instances: map[model.Fingerprint]map[time.Duration]float64{}}
}

func (h *histogram) add(series *counter) {
	edge, ok := edgeOf(string(series.labels[model.BucketLabel]), h.unit)
	if !ok {
		return
	}
	key := without(series.labels, model.BucketLabel).Fingerprint()
	if h.instances[key] == nil {
		h.instances[key] = map[time.Duration]float64{}
	}
	h.instances[key][edge] += series.grown
}

// buckets keeps the edges that every process with requests has: counts at the others can't be added up.
func (h *histogram) buckets() []analysis.Bucket {
	sums, holders := map[time.Duration]float64{}, map[time.Duration]int{}
	active := 0
	for _, counts := range h.instances {
		if counts[analysis.Unbounded] <= 0 {
			continue
		}
		active++
		for edge, count := range counts {
			sums[edge] += count
			holders[edge]++
		}
	}
	var buckets []analysis.Bucket
	for edge, sum := range sums {
		if holders[edge] == active {
			buckets = append(buckets, analysis.Bucket{UpperEdge: edge, Count: sum})
		}
	}
	slices.SortFunc(buckets, func(a, b analysis.Bucket) int { return cmp.Compare(a.UpperEdge, b.UpperEdge) })
	// A bucket that was scraped before its neighbour grew may be a hair ahead of it.
	for i := len(buckets) - 2; i >= 0; i-- {
		buckets[i].Count = min(buckets[i].Count, buckets[i+1].Count)
	}
	return buckets
}

func edgeOf(text string, unit time.Duration) (time.Duration, bool) {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(value) || value < 0 {
		return 0, false
	}
	nanoseconds := math.Round(value * float64(unit))
	if nanoseconds >= float64(analysis.Unbounded) {
		return analysis.Unbounded, math.IsInf(value, 1)
	}
	return time.Duration(nanoseconds), true
}
