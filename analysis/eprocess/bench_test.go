package eprocess_test

import (
	"fmt"
	"testing"

	"github.com/weighlock/weighlock/analysis/eprocess"
)

// gains are the odds ratios that the likelihood weighs, over the margin.
var gains = []float64{1.25, 1.5, 2, 3, 5, 10, 30, 100}

func harm(psi0 float64) *eprocess.Odds {
	psi := make([]float64, len(gains))
	for i, gain := range gains {
		psi[i] = gain * psi0
	}
	return eprocess.NewOdds(psi0, psi...)
}

// block is a block's tables: errors, and 20 edges that ever fewer requests exceed.
func block(requests int64, share float64) []eprocess.Table {
	candidate := int64(share * float64(requests))
	tables := make([]eprocess.Table, 0, 21)
	for i := range 21 {
		bad := requests * int64(20-i) / 21
		if i == 20 {
			bad = requests / 1000
		}
		tables = append(tables, eprocess.Table{
			Candidate: candidate, Incumbent: requests - candidate,
			Bad: bad, BadCandidate: int64(share * float64(bad)),
		})
	}
	return tables
}

func BenchmarkOdds_Block(b *testing.B) {
	for _, requests := range []int64{75, 1500, 30_000, 1_000_000} {
		for _, share := range []float64{0.05, 0.5} {
			b.Run(fmt.Sprintf("requests=%d/share=%g", requests, share), func(b *testing.B) {
				tables, odds := block(requests, share), harm(1.25)
				into := make([]float64, len(gains))
				b.ReportAllocs()
				for b.Loop() {
					for _, table := range tables {
						odds.LogRatios(table, into)
					}
				}
			})
		}
	}
}

func BenchmarkLogRatio(b *testing.B) {
	for _, requests := range []int64{1500, 1_000_000} {
		b.Run(fmt.Sprintf("requests=%d", requests), func(b *testing.B) {
			table := eprocess.Table{Candidate: requests / 2, Incumbent: requests / 2, Bad: requests / 10, BadCandidate: requests / 20}
			b.ReportAllocs()
			for b.Loop() {
				eprocess.LogRatio(table, 1, 2)
			}
		})
	}
}

func BenchmarkLates_Step(b *testing.B) {
	lates, factors := eprocess.NewLates(gains...), []float64{.1, -.1, .2, -.2, .3, -.3, .4, -.4}
	b.ReportAllocs()
	for b.Loop() {
		lates.Step(factors)
		lates.Log()
	}
}

func BenchmarkLogBet(b *testing.B) {
	table := eprocess.Table{Candidate: 75, Incumbent: 1425, Bad: 15, BadCandidate: 3}
	for b.Loop() {
		eprocess.LogBet(table, .4, 1.25)
	}
}

func BenchmarkLogBelow(b *testing.B) {
	for _, n := range []float64{300, 1e4, 1e6, 1e12} {
		for _, rate := range []float64{0, 0.001, 0.0099} {
			b.Run(fmt.Sprintf("n=%g/rate=%g", n, rate), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					eprocess.LogBelow(rate*n, n, 0.01, 0.5, 10)
				}
			})
		}
	}
}

func BenchmarkDispersion_Add(b *testing.B) {
	var dispersion eprocess.Dispersion
	for b.Loop() {
		dispersion.Add(1000, 3)
	}
}
