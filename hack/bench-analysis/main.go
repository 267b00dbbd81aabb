// Command bench-analysis tries the engine that judges rollouts, and peers' rules beside it, on simulated traffic. It writes what it finds into
// docs/analysis.md and docs/images, and fails when a goal is missed by more than chance. It is run in the repository's folder. SEED and
// RUNS are read from the environment; QUICK=1 makes it a short one, and ONLY=word has it try those worlds whose names hold the
// word: neither writes anything.
package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
)

// usual is how many rollouts are tried in a world with good candidates, and quick how many in a short benchmark.
const (
	usual = 2000
	quick = 40
)

// errMissed is returned when a goal was missed.
var errMissed = errors.New("a goal is missed by more than chance")

func main() {
	if err := bench(os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench-analysis:", err)
		os.Exit(1)
	}
}

// settings are what the environment says.
type settings struct {
	seed  uint64
	runs  int
	quick bool
	only  string
}

// whole says that all is tried, and written down.
func (s settings) whole() bool { return !s.quick && s.only == "" }

func readSettings() (settings, error) {
	set := settings{seed: uint64(rand.Uint32()), runs: usual, quick: os.Getenv("QUICK") == "1", only: os.Getenv("ONLY")} //nolint:gosec // A seed is no secret.
	if set.quick {
		set.runs = quick
	}
	if text := os.Getenv("SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return set, fmt.Errorf("SEED must be a whole number: %w", err)
		}
		set.seed = seed
	}
	if text := os.Getenv("RUNS"); text != "" {
		runs, err := strconv.Atoi(text)
		if err != nil || runs < 1 {
			return set, fmt.Errorf("RUNS is %q: it must be a whole number above zero", text)
		}
		set.runs = runs
	}
	return set, nil
}

// bench runs all rows, and writes the report to out and, if it is no quick one, to the documentation.
func bench(out, progress io.Writer) error {
	set, err := readSettings()
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "SEED=%d RUNS=%d\n", set.seed, set.runs)
	all := rows()
	if set.quick {
		all = quickRows()
	}
	all = slices.DeleteFunc(all, func(r row) bool { return !strings.Contains(r.name, set.only) })
	report := report{settings: set}
	for i := range all {
		line := measured{row: &all[i]}
		for _, rule := range rules() {
			fmt.Fprintf(progress, "\r\033[K%d of %d: %s: %s", i+1, len(all), all[i].name, rule.name)
			got, err := all[i].run(rule, set.seed, all[i].runs(set.runs, rule))
			if err != nil {
				return err
			}
			line.results = append(line.results, got)
		}
		report.lines = append(report.lines, line)
		fmt.Fprintf(progress, "\r\033[K%s\n", line.said())
	}
	if set.whole() {
		fmt.Fprint(progress, "\r\033[Kthroughput")
		if report.cost, err = measureCost(); err != nil {
			return err
		}
		fmt.Fprint(progress, "\r\033[K")
	}
	fmt.Fprint(out, report.markdown())
	if set.whole() {
		if err := report.publish("docs"); err != nil {
			return err
		}
	}
	if report.missed() {
		return errMissed
	}
	return nil
}

// runs is how many rollouts of a row are tried by a rule: peers' results are far from the goals.
func (r *row) runs(usual int, rule rule) int {
	if rule.judge != nil {
		usual /= 10
	}
	return max(1, usual)
}

// quickRows tell soon when the engine is broken.
func quickRows() []row {
	var some []row
	for _, row := range rows() {
		switch row.short {
		case "1% errors", "10%, unequal", "bursts 10 s", "5% errors, 15s", "latency x2", "0.001% to 0.3%":
			some = append(some, row)
		}
	}
	return some
}
