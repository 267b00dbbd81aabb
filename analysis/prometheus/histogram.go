package prometheus

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/weighlock/weighlock/analysis"
)

// layout adds up the histograms of all processes of a track, at the edges that all of them have: counts at others can't be added up. An edge that one process
// with requests doesn't have is out for good, so that edges don't come and go.
type layout struct {
	unit  time.Duration
	cells []*cell // in rising order of their edges
	grid  []*cell // those of exponential histograms; nil while there are none
	// active are the processes with classic buckets, and native those without, that ever had requests.
	active, native int
}

// cell is what was counted up to an edge.
type cell struct {
	edge time.Duration
	// cumulative is the sum of classic buckets, own that of native ones between the edge before and this one.
	cumulative, own float64
	// holders are the active processes that have the edge in classic buckets. blocked says that a native bucket lies across it.
	holders int
	blocked bool
}

// at returns the cell of an edge, and makes it where it is new.
func (l *layout) at(edge time.Duration) *cell {
	index, found := slices.BinarySearchFunc(l.cells, edge, func(c *cell, edge time.Duration) int {
		switch {
		case c.edge < edge:
			return -1
		case c.edge > edge:
			return 1
		}
		return 0
	})
	if !found {
		l.cells = slices.Insert(l.cells, index, &cell{edge: edge})
	}
	return l.cells[index]
}

// hold takes a classic bucket into account.
func (l *layout) hold(s *series) {
	s.group.buckets = append(s.group.buckets, s)
	if s.group.active {
		s.cell.holders++
	}
}

// grew says that a classic bucket did. The last one of a process tells that it has requests.
func (l *layout) grew(s *series) {
	if s.group.active || s.cell.edge != analysis.Unbounded {
		return
	}
	s.group.active = true
	l.active++
	for _, bucket := range s.group.buckets {
		bucket.cell.holders++
	}
}

// cut appends the buckets of what was counted to an arena, and begins anew.
func (l *layout) cut(arena []analysis.Bucket) []analysis.Bucket {
	start := len(arena)
	own := 0.0
	for _, cell := range l.cells {
		own += cell.own
		if l.active+l.native > 0 && cell.holders == l.active && !cell.blocked {
			arena = append(arena, analysis.Bucket{UpperEdge: cell.edge, Count: cell.cumulative + own})
		}
		cell.cumulative, cell.own = 0, 0
	}
	if n := len(arena); n == start || arena[n-1].UpperEdge != analysis.Unbounded {
		return arena[:start]
	}
	// A process may show one bucket before it shows the next.
	for i := len(arena) - 2; i >= start; i-- {
		arena[i].Count = min(arena[i].Count, arena[i+1].Count)
	}
	return arena
}

func edgeOf(text string, unit time.Duration) (time.Duration, bool) {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(value) || value < 0 {
		return 0, false
	}
	return durationOf(value, unit), value <= float64(analysis.Unbounded)/float64(unit) || math.IsInf(value, 1)
}

// durationOf is unbounded beyond what a duration can be.
func durationOf(value float64, unit time.Duration) time.Duration {
	nanoseconds := math.Round(value * float64(unit))
	if nanoseconds >= float64(analysis.Unbounded) {
		return analysis.Unbounded
	}
	return time.Duration(nanoseconds)
}
