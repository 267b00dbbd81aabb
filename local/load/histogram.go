package load

import (
	"math"
	"math/bits"
	"time"
)

// subBuckets is how finely each doubling is divided: a quantile is off by 3 %
// at most.
const (
	subBits    = 5
	subBuckets = 1 << subBits
	buckets    = 40 * subBuckets
)

// histogram counts durations in microseconds, in buckets that grow with the
// value, as HDR histograms do.
type histogram struct {
	counts [buckets]uint32
	total  int64
}

func bucket(us uint64) int {
	if us < subBuckets {
		return int(us)
	}
	shift := bits.Len64(us) - subBits - 1
	return min(buckets-1, shift<<subBits+int(us>>shift)) //nolint:gosec // A few bits are left.
}

// upper is the largest value, in microseconds, that falls into a bucket.
func upper(b int) float64 {
	if b < 2*subBuckets {
		return float64(b)
	}
	shift := b>>subBits - 1
	return float64((b-shift<<subBits+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(0, d.Microseconds())))]++
	h.total++
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile is in milliseconds; 0 if nothing was counted.
func (h *histogram) quantile(q float64) float64 {
	rank := int64(math.Ceil(q * float64(h.total)))
	for i, n := range h.counts {
		if rank -= int64(n); rank <= 0 && h.total > 0 {
			return upper(i) / 1000
		}
	}
	return 0
}
