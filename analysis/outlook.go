package analysis

import "math"

// outlook is by how many times as many requests of the same kind as those of the stage the candidate would be found safe; infinite when no
// number in reach will do. The evidence by comparison grows as the requests do.
func outlook(basis basis, safety *safety, candidate Tally, spread float64) float64 {
	const reach = 1e4
	seen := Tally{Total: max(1, candidate.Total), Bad: candidate.Bad}
	enough := func(times float64) bool {
		return basis.evidence(safety.odds*times, Tally{Total: seen.Total * times, Bad: seen.Bad * times}, spread) >= safeLog
	}
	low, high := 1.0, 2.0
	for !enough(high) {
		low, high = high, 2*high
		if high > reach {
			return math.Inf(1)
		}
	}
	for range 20 {
		if middle := (low + high) / 2; enough(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}
