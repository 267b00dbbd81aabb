package analysis

import (
	"math"
	"slices"
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
	prior
	// slower is how many of the incumbent's requests took longer before the rollout.
	slower float64
	// gone says that the last histogram lacked it: another program got requests too.
	gone bool
}

// chooseEdges makes edges of what is known of the incumbent, without those that tell nothing, see idle. Where there are still too many, those go
// that differ least from their neighbours. Those beside the threshold stay.
func chooseEdges(past []pastEdge, timed, margin float64, threshold time.Duration) []edge {
	edges, odds := make([]edge, len(past)), make([]float64, len(past))
	for j := range past {
		edges[j] = edge{at: past[j].at, prior: prior{asked: margin, spread: past[j].spread, likely: likelySlowness}, slower: past[j].slower}
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
	drop := func(j int) {
		edges, odds = slices.Delete(edges, j, j+1), slices.Delete(odds, j, j+1)
	}
	for j := idle(edges, timed, threshold); j >= 0; j = idle(edges, timed, threshold) {
		drop(j)
	}
	for len(edges) > mostEdges {
		drop(leastTelling(edges, odds, threshold))
	}
	return edges
}

// idle is the index of an edge that tells nothing, as far as the incumbent is known; -1 when there is none. Evidence is the mean over all edges, so
// each of these costs. All requests are slower than the first edges, whatever they are; and what is slower than the second
// edge that no request exceeded is slower than that one too.
func idle(edges []edge, timed float64, threshold time.Duration) int {
	if timed < fewestTimed {
		return -1
	}
	lower, upper := around(edges, threshold)
	for j := range edges {
		if len(edges) == 1 || (threshold > 0 && (j == lower || j == upper)) {
			continue
		}
		nothingFaster := edges[j].slower > (1-tail)*timed
		nothingSlower := j >= 2 && edges[j-2].slower <= 0
		if nothingFaster || nothingSlower {
			return j
		}
	}
	return -1
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
