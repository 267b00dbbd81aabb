package analysis_test

import (
	"strconv"
	"testing"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// A whole evaluation of one block: errors, 19 edges of latency, what is safe, and the split.
func BenchmarkEngine(b *testing.B) {
	for _, requests := range []float64{1500, 1_000_000} {
		b.Run(strconv.Itoa(int(requests)), func(b *testing.B) {
			criteria, err := analysis.ParseCriteria(v1alpha1.Analysis{})
			if err != nil {
				b.Fatal(err)
			}
			// The candidate is a little better: the same blocks over and over would convict an equal one in the end.
			world := newWorld(1, requests/15, 0.05, track{failed: 0.0011, median: 20, sd: 0.7}, track{failed: 0.001, median: 16, sd: 0.7})
			engine := analysis.NewEngine(criteria, world.past(criteria))
			engine.Enter(analysis.Stage{Share: 0.05, Random: true})
			blocks := make([]*analysis.Block, 100)
			for i := range blocks {
				blocks[i] = world.next()
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				engine.Add(blocks[i%len(blocks)], true)
				i++
			}
			if verdict := engine.Verdict(); verdict.Outcome == v1alpha1.OutcomeFail {
				b.Fatal(verdict.Message) // then it has nothing more to do
			}
		})
	}
}
