package simulation

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
)

// Each calls for all numbers below n, on all cores.
func Each(n int, call func(int)) {
	next := make(chan int)
	var group sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for i := range next {
				call(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// Source is of random numbers, the same ones for the same seed and name: no two runs of different names draw the same.
func Source(seed uint64, name ...any) *rand.Rand {
	parts := make([]string, len(name))
	for i, part := range name {
		parts[i] = fmt.Sprint(part)
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(strings.Join(parts, "|"))) // It never fails.
	return rand.New(rand.NewPCG(seed, hash.Sum64()))    //nolint:gosec // A simulation is to be the same each time.
}
