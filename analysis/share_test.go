package analysis_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/weighlock/weighlock/analysis"
)

func portion(part, all float64) analysis.Portion { return analysis.Portion{Part: part, All: all} }

func TestPortion_TellsWhatCannotBeChance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		part, all, asked float64
		above, below     bool
	}{
		{0, 0, 0.1, false, false},
		{10, 100, 0.1, false, false},
		{13, 100, 0.1, false, false}, // within the margin
		{100, 100, 0.1, true, false}, // a mesh that ignores weights
		{3, 3, 0.1, false, false},    // too few to tell
		{500, 1000, 0.1, true, false},
		{0, 1000, 0.1, false, true},
		{0, 1000, 0, false, false},
		{4, 1000, 0, false, false}, // a straggler or two is not a share
		{50, 1000, 0, true, false},
		{1000, 1000, 1, false, false},
		{900, 1000, 1, false, true},
		{450, 1000, 0.5, false, false},
		{200, 1000, 0.5, false, true},
		{0, 100_000, 0.0001, false, false}, // 0.01% can't be told from nothing
		{1e11, 1e12, 0.1, false, false},
		{2e11, 1e12, 0.1, true, false},
	} {
		t.Run(fmt.Sprint(test.part, "/", test.all, " of ", test.asked), func(t *testing.T) {
			t.Parallel()
			got := portion(test.part, test.all)
			if above, below := got.Above(test.asked), got.Below(test.asked); above != test.above || below != test.below {
				t.Errorf("above is %t, below is %t; want %t and %t", above, below, test.above, test.below)
			}
		})
	}
}

// A share as asked must not be taken for another one, however often it is looked at.
func TestPortion_IsNotMisledByChance(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, asked := range []float64{0.0001, 0.01, 0.1, 0.5, 0.95} {
		for range 300 {
			got := analysis.Portion{}
			for range 2000 {
				got.All++
				if r.Float64() < asked {
					got.Part++
				}
				if got.Above(asked) || got.Below(asked) {
					t.Fatalf("%s is taken for another share than %v", got, asked)
				}
			}
		}
	}
}

// The margin is worth nothing if it is never passed: a share at twice its distance is found in reasonable time.
func TestPortion_FindsAShareThatIsOff(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ asked, got, requests float64 }{{0.1, 0.2, 900}, {0.5, 0.9, 150}, {0.05, 1, 10}, {0, 0.05, 250}} {
		n := 1.0
		for ; n < 1e5 && !portion(math.Round(n*test.got), n).Above(test.asked); n++ {
		}
		if n > test.requests {
			t.Errorf("%v instead of %v takes %v requests to find, want at most %v", test.got, test.asked, n, test.requests)
		}
	}
}

func TestMeasurement_CountsCopiesAgainstTheRequestsThatWereCopied(t *testing.T) {
	t.Parallel()
	m := analysis.Measurement{Mirrored: true, Incumbent: analysis.Counts{Requests: 200}, Candidate: analysis.Counts{Requests: 100}}
	if of, known := m.Share().Of(); !known || of != 0.5 {
		t.Errorf("half of the requests were copied, and the share is %v", of)
	}
	m.Mirrored = false
	if of, _ := m.Share().Of(); of != 1.0/3 {
		t.Errorf("a third of the users' requests went to the candidate, and the share is %v", of)
	}
}
