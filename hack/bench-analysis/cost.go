package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/simulation"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// cost is what the engine takes.
type cost struct {
	// small and large are the times for one block of 1,500 and of 1,000,000 requests: errors, latency at all edges, safety, split and verdict.
	small, large time.Duration
	// bytes of memory that the engine of one rollout holds.
	bytes uint64
}

// String is a paragraph for the page.
func (c cost) String() string {
	return fmt.Sprintf("**Cost**, on the machine that made the table: one evaluation (errors, latency at all edges, safety, split and verdict) of a block of 1,500 requests takes %.0f µs, which is %.0f a second per core; of 1,000,000 requests %.0f µs. "+
		"The engine of one rollout holds %.1f kB, however long it goes on.\n",
		float64(c.small)/1e3, float64(time.Second)/float64(max(1, c.small)), float64(c.large)/1e3, float64(c.bytes)/1000)
}

func measureCost() (cost, error) {
	small, err := timeBlock(100)
	if err != nil {
		return cost{}, err
	}
	large, err := timeBlock(1e6 / 15.0)
	if err != nil {
		return cost{}, err
	}
	bytes, err := weighEngine()
	return cost{small: small, large: large, bytes: bytes}, err
}

// prepare reads the default analysis, and the past of a world.
func prepare(world simulation.World) (*analysis.Criteria, analysis.Past, *simulation.Traffic, error) {
	criteria, err := analysis.ParseCriteria(v1alpha1.Analysis{})
	if err != nil {
		return nil, analysis.Past{}, nil, fmt.Errorf("reading the default analysis: %w", err)
	}
	traffic := simulation.NewTraffic(world, rand.New(rand.NewPCG(1, 1))) //nolint:gosec // It is the same each time.
	calibrator := analysis.NewCalibrator(criteria)
	for range int(simulation.Past / world.Scrape) {
		calibrator.Add(traffic.Next())
	}
	return criteria, calibrator.Past(), traffic, nil
}

// timeBlock is how long the engine takes for one block of a service with so many requests per second.
func timeBlock(rate float64) (time.Duration, error) {
	world := ordinary()
	world.Rate = rate
	criteria, past, traffic, err := prepare(world)
	if err != nil {
		return 0, err
	}
	traffic.Enter(simulation.Stage{Share: 0.25})
	blocks := make([]analysis.Block, 64)
	for i := range blocks {
		blocks[i] = *traffic.Next()
		blocks[i].Incumbent.Buckets = append([]analysis.Bucket(nil), blocks[i].Incumbent.Buckets...)
		blocks[i].Candidate.Buckets = append([]analysis.Bucket(nil), blocks[i].Candidate.Buckets...)
	}
	taken := testing.Benchmark(func(b *testing.B) {
		b.Helper()
		var engine *analysis.Engine
		for i := range b.N {
			// The same blocks again and again would convict, and a verdict costs nothing then.
			if i%len(blocks) == 0 {
				b.StopTimer()
				engine = analysis.NewEngine(criteria, past)
				engine.Enter(analysis.Stage{Share: 0.25, Random: true})
				b.StartTimer()
			}
			engine.Add(&blocks[i%len(blocks)], true)
			engine.Verdict()
		}
	})
	return time.Duration(taken.NsPerOp()), nil
}

// weighEngine is how much memory one engine holds after a rollout of an hour.
func weighEngine() (uint64, error) {
	const many = 200
	engines := make([]*analysis.Engine, many)
	world := ordinary()
	criteria, past, traffic, err := prepare(world)
	if err != nil {
		return 0, err
	}
	traffic.Enter(simulation.Stage{Share: 0.25})
	before := heap()
	for i := range engines {
		engines[i] = analysis.NewEngine(criteria, past)
		engines[i].Enter(analysis.Stage{Share: 0.25, Random: true})
	}
	for range int(time.Hour / world.Scrape) {
		block := traffic.Next()
		for _, engine := range engines {
			engine.Add(block, true)
		}
	}
	after := heap()
	runtime.KeepAlive(engines)
	return (max(after, before) - before) / many, nil
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
