package analysis

import (
	"fmt"
	"strconv"
	"time"
)

// measured are what both tracks did, as text. Of a proportion it is the share of bad events, such as 0.12%. A track
// without events has none.
func (p pair) measured() (candidate, incumbent string) {
	share := func(t Tally) string {
		if t.Total <= 0 {
			return ""
		}
		return percent(t.rate(), 2)
	}
	return share(p.candidate), share(p.incumbent)
}

// measured says where the quantile lies of what was timed of both tracks in the stage, such as p99 118 ms, or p99 over 10 s where that
// is beyond the histogram's last edge.
func (l *latency) measured() (candidate, incumbent string) {
	value := func(counts Counts) string {
		at, within := counts.Quantile(1 - l.criteria.allowed)
		switch {
		case within:
			return l.criteria.quantile + " " + spaced(at)
		case counts.timed() > 0:
			return l.criteria.quantile + " over " + spaced(at)
		default:
			return ""
		}
	}
	return value(l.shown.candidate), value(l.shown.incumbent)
}

// measured is the last value in the stage, or the one that convicts.
func (b *bound) measured() string {
	switch {
	case b.failed:
		return fmt.Sprintf("%.4g", b.culprit)
	case b.good+b.bad == 0:
		return ""
	default:
		return fmt.Sprintf("%.4g", b.last.Value)
	}
}

// spaced writes a duration with three digits, in milliseconds or seconds.
func spaced(d time.Duration) string {
	d = rounded(d)
	if d < time.Second {
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', -1, 64) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
}
