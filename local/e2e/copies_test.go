package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/weighlock/weighlock/local/load"
)

var copyLine = regexp.MustCompile(`(?m) copy of "([0-9]+)"$`)

// copies are how many each request had, by its number, as the pods of a track
// have logged it. It fails the test if another's had one.
func (r *rig) copies(track string) map[int64]int {
	r.t.Helper()
	logs, err := filepath.Glob(filepath.Join(running.Logs, "pods", r.namespace+"_*.log"))
	if err != nil || len(logs) == 0 {
		r.t.Fatalf("find the logs of the pods: %v, %d found", err, len(logs))
	}
	copies := map[int64]int{}
	for _, path := range logs {
		content, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		found := copyLine.FindAllSubmatch(content, -1)
		if name := filepath.Base(path); len(found) > 0 && !strings.HasPrefix(name, r.namespace+"_"+track+"-") {
			r.t.Errorf("%s got %d copies, which were for %s", name, len(found), track)
		}
		for _, match := range found {
			number, err := strconv.ParseInt(string(match[1]), 10, 64)
			if err != nil {
				r.t.Fatal(err)
			}
			copies[number]++
		}
	}
	return copies
}

// copied fails the test unless in each stage as many requests had a copy as
// should have had one, give or take what chance allows, and none had two.
func (run *tried) copied() {
	run.t.Helper()
	copies := run.copies(run.candidate)
	for number, n := range copies {
		if n > 1 {
			run.t.Errorf("request %d had %d copies", number, n)
		}
	}
	for _, s := range run.stages {
		requests := s.requests(run.requests)
		got := count(requests, func(r load.Request) bool { return copies[r.Number] > 0 })
		run.t.Logf("%v: %d of %d requests had a copy", s.state, got, len(requests))
		if !chance(got, len(requests), s.Copies/100) {
			run.t.Errorf("%v: %d of %d requests had a copy, which can't be chance", s.state, got, len(requests))
		}
	}
}
