package analysis

import (
	"math"
	"time"
)

const (
	// mostEdges is at how many edges of a histogram latency is weighed.
	mostEdges = 20
	// slowdown is the factor of latency that is no harm, where the histogram is steep: 5% and more tell nothing of a release.
	slowdown = 1.1
	// unknownSlope is taken where nothing is known of the incumbent's latencies. It is that of a tight service.
	unknownSlope = 10
	// widestMargin keeps an edge where all requests are alike from having no bound.
	widestMargin = 1000
	// fewestTimed is how many requests of the incumbent tell how steep its latencies are.
	fewestTimed = 200
)

// edge is an edge of the histogram at which latency is weighed.
type edge struct {
	at time.Duration
	// margin is the odds ratio of being slower that is no harm.
	margin float64
	spread spread
	// slower is how many of the incumbent's requests took longer before the rollout.
	slower float64
	// gone says that the last histogram lacked it: another program got requests too.
	gone bool
}

// chooseEdges makes edges of what is known of the incumbent. Where there are too many, those go that differ least from their
// neighbours, but not those beside the threshold.
func chooseEdges(past []pastEdge, timed, margin float64, threshold time.Duration) []edge {
	edges, odds := make([]edge, len(past)), make([]float64, len(past))
	for j := range past {
		edges[j] = edge{at: past[j].at, spread: past[j].spread, slower: past[j].slower}
		// Half a request on both sides, so that none is infinite.
		odds[j] = math.Log((past[j].slower + 0.5) / (max(0, timed-past[j].slower) + 0.5))
	}
	for j := range edges {
		slope := max(steepness(past, odds, j-1), steepness(past, odds, j))
		if timed < fewestTimed {
			slope = unknownSlope
		}
		edges[j].margin = min(widestMargin, max(margin, math.Pow(slowdown, slope)))
	}
	for len(edges) > mostEdges {
		least := leastTelling(edges, odds, threshold)
		edges = append(edges[:least], edges[least+1:]...)
		odds = append(odds[:least], odds[least+1:]...)
	}
	return edges
}

// steepness is -d ln odds / d ln edge between an edge and the next one; 0 where there is none.
func steepness(past []pastEdge, odds []float64, j int) float64 {
	if j < 0 || j+1 >= len(past) || past[j].at <= 0 {
		return 0
	}
	return max(0, (odds[j]-odds[j+1])/math.Log(float64(past[j+1].at)/float64(past[j].at)))
}

// leastTelling is the index of the edge without which the others are closest together, in log odds.
func leastTelling(edges []edge, odds []float64, threshold time.Duration) int {
	lower, upper := around(edges, threshold)
	least, gap := 0, math.Inf(1)
	for j := range edges {
		if threshold > 0 && (j == lower || j == upper) {
			continue
		}
		before, after := odds[max(0, j-1)], odds[min(len(odds)-1, j+1)]
		if before-after < gap {
			least, gap = j, before-after
		}
	}
	return least
}

// around returns the indexes of the last edge at or below the threshold, and of the first at or above it; -1 where there is
// none.
func around(edges []edge, threshold time.Duration) (lower, upper int) {
	lower, upper = -1, -1
	for j := range edges {
		if edges[j].at <= threshold {
			lower = j
		}
		if upper < 0 && edges[j].at >= threshold {
			upper = j
		}
	}
	return lower, upper
}

// slowerAt counts the requests of a track that took longer than each edge, and all that were timed. It is not a number where the histogram
// lacks an edge, and false when it lacks all.
func slowerAt(edges []edge, buckets []Bucket, into []float64) (float64, bool) {
	if len(buckets) == 0 {
		clear(into)
		return 0, true
	}
	total, i, known := math.Round(buckets[len(buckets)-1].Count), 0, false
	for j := range edges {
		for i < len(buckets)-1 && buckets[i].UpperEdge < edges[j].at {
			i++
		}
		into[j] = math.NaN()
		if buckets[i].UpperEdge == edges[j].at {
			into[j], known = total-math.Round(buckets[i].Count), true
		}
	}
	return total, known
}
