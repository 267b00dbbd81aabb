package eprocess

import "math"

// Dispersion measures how much more a rate varies from block to block than chance alone makes it: 1 is chance. It goes by the
// differences of successive blocks, so that slow drift is none of it (von Neumann, "Distribution of the ratio of the mean square
// successive difference to the variance", Annals of Mathematical Statistics 1941), each over its binomial variance, and leaves out the two largest: an odd
// block makes two odd differences. The zero value has seen nothing; blocks are not kept.
type Dispersion struct {
	lastN, lastBad   float64
	pairs            int
	squares, chances float64
	// largest are the two pairs that differ most.
	largest [2]pair
}

// pair is the squared difference of two successive blocks' rates over 1/n + 1/n', and what chance makes of that on average.
type pair struct {
	square, chance float64
}

// Add takes the next block: how many (requests), and how many of them were bad. One without any is passed over.
func (d *Dispersion) Add(n, bad float64) {
	if !isPart(bad, n) || n == 0 {
		return
	}
	if d.lastN > 0 {
		d.addPair(n, bad)
	}
	d.lastN, d.lastBad = n, bad
}

func (d *Dispersion) addPair(n, bad float64) {
	both := n + d.lastN
	difference := bad/n - d.lastBad/d.lastN
	rate := (bad + d.lastBad) / both
	next := pair{
		square: difference * difference * n * d.lastN / both,
		// The rate of the pair itself is nearer to each of its blocks than the true rate is.
		chance: rate * (1 - rate) * both / max(1, both-1),
	}
	d.pairs++
	d.squares += next.square
	d.chances += next.chance
	for i := range d.largest {
		if next.square > d.largest[i].square {
			next, d.largest[i] = d.largest[i], next
		}
	}
}

// Value returns the dispersion, 1 when too little was seen, and of how many differences it is.
func (d *Dispersion) Value() (phi float64, terms int) {
	terms = max(0, d.pairs-len(d.largest))
	squares := d.squares - d.largest[0].square - d.largest[1].square
	chances := d.chances - d.largest[0].chance - d.largest[1].chance
	// What is left of equal sums by rounding is nothing.
	if terms == 0 || chances <= d.chances*1e-9 || math.IsNaN(squares) {
		return 1, terms
	}
	return max(0, squares) / chances, terms
}
