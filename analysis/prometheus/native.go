package prometheus

import (
	"math"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
)

// Exponential histograms are brought to edges at half powers of two, from half a millisecond to a minute: finer than classic histograms mostly are,
// and fixed, whatever resolution a process has. A process with a coarser one takes out the edges that lie within its buckets.
const (
	edgesPerDoubling = 2
	lowestEdge       = 500 * time.Microsecond
	highestEdge      = 64 * time.Second
)

// nativeState is what a native histogram showed last.
type nativeState struct {
	layout *layout
	count  float64
	parts  map[*cell]float64
	now    map[*cell]float64
	// custom says that its edges are its own, and not powers of two. active says that it had requests.
	custom, active bool
}

func (n *nativeState) base(histogram *model.SampleHistogram) {
	if !soundHistogram(histogram) || float64(histogram.Count) < n.count {
		return
	}
	n.read(histogram)
	n.keep(histogram)
}

// grow counts what is new in a sample. Seen says that there was one before, and aside that classic buckets tell of the same
// requests, so that it is only kept.
func (n *nativeState) grow(histogram *model.SampleHistogram, seen, aside bool) {
	if !soundHistogram(histogram) {
		return
	}
	n.read(histogram)
	count := float64(histogram.Count)
	fell, rose := count < n.count, count > n.count
	for cell, before := range n.parts {
		fell = fell || n.now[cell] < before
		rose = rose || n.now[cell] > before
	}
	fresh := !seen || restarted(fell, rose, n.count, count)
	if fell && !fresh {
		return // an older view
	}
	if aside {
		n.keep(histogram)
		return
	}
	for cell, now := range n.now {
		if !fresh {
			now -= n.parts[cell]
		}
		cell.own += now
		if now > 0 && !n.active {
			n.active = true
			n.layout.native++
		}
	}
	n.keep(histogram)
}

func (n *nativeState) keep(histogram *model.SampleHistogram) {
	n.count = float64(histogram.Count)
	n.parts, n.now = n.now, n.parts
}

// read brings a sample into cells. What was seen before is brought to coarser cells where the process has come to need them.
func (n *nativeState) read(histogram *model.SampleHistogram) {
	if n.now == nil {
		n.parts, n.now = map[*cell]float64{}, map[*cell]float64{}
	}
	clear(n.now)
	n.custom = n.custom || hasCustomEdges(histogram)
	n.makeCells(histogram)
	left := float64(histogram.Count)
	for _, bucket := range histogram.Buckets {
		if bucket.Count == 0 {
			continue
		}
		lower, upper := n.edge(float64(bucket.Lower)), n.edge(float64(bucket.Upper))
		own := n.cellOf(upper)
		n.now[own] += float64(bucket.Count)
		left -= float64(bucket.Count)
		for _, crossed := range n.layout.cells {
			if crossed == own || !within(crossed.edge, lower, upper) {
				continue
			}
			crossed.blocked = true
			if before, known := n.parts[crossed]; known {
				delete(n.parts, crossed)
				n.parts[own] += before
			}
		}
	}
	if left > 0 { // no numbers: they are in no bucket
		n.now[n.layout.at(analysis.Unbounded)] += left
	}
}

// makeCells makes the cells that the histogram is brought to.
func (n *nativeState) makeCells(histogram *model.SampleHistogram) {
	n.layout.at(analysis.Unbounded)
	if n.custom {
		for _, bucket := range histogram.Buckets {
			for _, bound := range []model.FloatString{bucket.Lower, bucket.Upper} {
				if bound > 0 {
					n.layout.at(n.edge(float64(bound)))
				}
			}
		}
		return
	}
	if n.layout.grid != nil {
		return
	}
	unit := float64(n.layout.unit)
	first := int(math.Floor(edgesPerDoubling * math.Log2(float64(lowestEdge)/unit)))
	last := int(math.Ceil(edgesPerDoubling * math.Log2(float64(highestEdge)/unit)))
	for i := first; i <= last; i++ {
		n.layout.grid = append(n.layout.grid, n.layout.at(durationOf(math.Exp2(float64(i)/edgesPerDoubling), n.layout.unit)))
	}
}

// cellOf returns the lowest cell of the histogram's kind that has all up to an edge.
func (n *nativeState) cellOf(upper time.Duration) *cell {
	if n.custom {
		return n.layout.at(upper)
	}
	for _, cell := range n.layout.grid {
		if cell.edge+slack(upper) >= upper {
			return cell
		}
	}
	return n.layout.at(analysis.Unbounded)
}

func (n *nativeState) edge(value float64) time.Duration {
	if value <= 0 {
		return 0
	}
	return durationOf(value, n.layout.unit)
}

// within says whether an edge lies between two others and is none of them.
func within(edge, lower, upper time.Duration) bool {
	return edge != analysis.Unbounded && edge-slack(edge) > lower && edge < upper-slack(edge)
}

// slack is how far two edges that are the same may be apart: servers compute powers of two in their own ways.
func slack(edge time.Duration) time.Duration {
	return 1 + min(edge, time.Hour)/1e9
}

// hasCustomEdges says whether the edges of a histogram are other than powers of two of one resolution.
func hasCustomEdges(histogram *model.SampleHistogram) bool {
	resolution, known := 0.0, false
	for _, bucket := range histogram.Buckets {
		lower, upper := float64(bucket.Lower), float64(bucket.Upper)
		if math.IsInf(lower, -1) || math.IsInf(upper, 1) {
			return true
		}
		if lower <= 0 { // around zero, or below
			continue
		}
		found := math.Log2(math.Log2(upper / lower)) // minus the schema
		if math.Abs(found-math.Round(found)) > 1e-6 || known && math.Round(found) != resolution {
			return true
		}
		resolution, known = math.Round(found), true
	}
	return false
}

func soundHistogram(histogram *model.SampleHistogram) bool {
	if histogram == nil || !isCount(float64(histogram.Count)) {
		return false
	}
	for _, bucket := range histogram.Buckets {
		if bucket == nil || !isCount(float64(bucket.Count)) || math.IsNaN(float64(bucket.Lower)) || math.IsNaN(float64(bucket.Upper)) || bucket.Upper < bucket.Lower {
			return false
		}
	}
	return true
}
