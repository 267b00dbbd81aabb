package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// measured is a row with its results, in the order of the rules.
type measured struct {
	row     *row
	results []result
}

// report is all that was found.
type report struct {
	settings settings
	lines    []measured
	cost     cost
}

// ours is Weighlock's result.
func (m measured) ours() result { return m.results[0] }

// found is what was found of a goal.
type found int

const (
	met found = iota
	// unclear is a goal that is missed by no more than chance may have it.
	unclear
	missed
)

// String is what the table says.
func (f found) String() string { return [...]string{"yes", "within chance", "**no**"}[f] }

// found says whether the goal of the row is met.
func (m measured) found() found {
	got := m.ours()
	if got.early > 0 {
		return missed
	}
	if m.row.most == 0 && m.row.within == 0 {
		return met
	}
	switch m.row.group {
	case good:
		return got.atMost(got.rolledBack, m.row.most)
	case bad:
		return got.inTime(m.row.within)
	default:
		return got.atMost(got.passed, m.row.most)
	}
}

// told is what the table says of the goal.
func (m measured) told() string {
	if m.row.most == 0 && m.row.within == 0 && m.ours().early == 0 {
		return ""
	}
	return m.found().String()
}

// missed says whether any goal is.
func (r report) missed() bool {
	return slices.ContainsFunc(r.lines, func(m measured) bool { return m.found() == missed })
}

// said is the row in short, for the progress.
func (m measured) said() string {
	word := map[found]string{met: "met", unclear: "about", missed: "MISSED"}[m.found()]
	return fmt.Sprintf("%-7s %s: goal %s, got %s", word, m.row.name, m.row.goal(), m.row.cell(m.ours()))
}

func (r *row) goal() string {
	if r.most == 0 && r.within == 0 {
		return "none"
	}
	if r.group == bad {
		return "at most " + seconds(r.within)
	}
	return "at most " + percent(r.most)
}

// cell is what is said of a result in the table.
func (r *row) cell(got result) string {
	switch r.group {
	case good:
		return percent(got.share(got.rolledBack))
	case bound:
		return percent(got.share(got.passed))
	case bad:
	}
	var said []string
	if middle, known := got.middle(); known {
		said = append(said, seconds(middle))
	}
	if got.missed() > 0 {
		said = append(said, "promoted: "+percent(got.share(got.missed())))
	}
	if got.hasty > 0 {
		said = append(said, "before it was bad: "+percent(got.share(got.hasty)))
	}
	return strings.Join(said, ", ")
}

func percent(share float64) string {
	value := share * 100
	if value == math.Trunc(value) || value >= 10 {
		return fmt.Sprintf("%.0f%%", value)
	}
	return fmt.Sprintf("%.1f%%", value)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

// markdown is the table.
func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Seed %d; %d rollouts in each world, a tenth of that for the peers: `SEED=%d RUNS=%d make bench-analysis` makes the same table. "+
		"*Within chance* says that a goal was missed, but by less than 95%% of what chance does with so many rollouts.\n",
		r.settings.seed, r.settings.runs, r.settings.seed, r.settings.runs)
	var heads strings.Builder
	for _, rule := range rules()[1:] {
		heads.WriteString(" | " + rule.name)
	}
	rule := strings.Repeat("|--:", len(rules())-1)
	fmt.Fprintf(&b, "\n**Good releases that are rolled back.** In brackets the upper end of the 95%% confidence interval.\n\n| candidate and service | goal | Weighlock | met%s |\n|---|--:|--:|---%s|\n", heads.String(), rule)
	r.section(&b, good, func(m measured) string {
		got := m.ours()
		_, upper := interval(got.rolledBack, got.runs)
		return fmt.Sprintf("%s | **%s** (%s) | %s", m.row.goal(), m.row.cell(got), percent(upper), m.told())
	})
	fmt.Fprintf(&b, "\n**Bad releases: the median time until they are rolled back**, counted from the first scrape with their traffic (in a mesh, half a scrape interval comes on top: the step begins between two).\n\n"+
		"| candidate | goal | Weighlock | 95%% within | met | its requests | Wald's limit | multiple%s |\n|---|--:|--:|--:|---|--:|--:|--:%s|\n", heads.String(), rule)
	r.section(&b, bad, func(m measured) string {
		got := m.ours()
		latest, requests, multiple := "", "", ""
		if n := len(got.times); n > 0 && got.missed() == 0 {
			latest = seconds(got.times[min(n-1, n*95/100)])
		}
		least := m.row.limit()
		if exposed, known := got.exposed(); known {
			requests, multiple = fmt.Sprintf("%.0f", exposed), fmt.Sprintf("%.1f", exposed/least)
		}
		return fmt.Sprintf("%s | **%s** | %s | %s | %s | %.0f | %s", m.row.goal(), m.row.cell(got), latest, m.told(), requests, math.Ceil(least), multiple)
	})
	fmt.Fprintf(&b, "\n**Candidates that should not pass a step**, and do.\n\n| candidate | goal | Weighlock | met%s |\n|---|--:|--:|---%s|\n", heads.String(), rule)
	r.section(&b, bound, func(m measured) string {
		return fmt.Sprintf("%s | **%s** | %s", m.row.goal(), m.row.cell(m.ours()), m.told())
	})
	early, runs := 0, 0
	for _, line := range r.lines {
		early, runs = early+line.ours().early, runs+line.ours().runs
	}
	fmt.Fprintf(&b, "\nSteps that passed with fewer than %d of the candidate's requests, in all %d rollouts: %d.\n", enough, runs, early)
	if r.cost != (cost{}) {
		fmt.Fprintf(&b, "\n%s", r.cost)
	}
	return b.String()
}

// section writes the rows of a kind: what ours says of it, and the peers' results.
func (r report) section(b *strings.Builder, group kind, ours func(measured) string) {
	for _, line := range r.lines {
		if line.row.group != group {
			continue
		}
		fmt.Fprintf(b, "| %s | %s", line.row.name, ours(line))
		for _, got := range line.results[1:] {
			fmt.Fprintf(b, " | %s", line.row.cell(got))
		}
		b.WriteString(" |\n")
	}
}

// The table stands between these lines of the page.
const (
	begin = "<!-- make bench-analysis writes from here -->\n"
	end   = "<!-- to here -->\n"
)

// publish writes the table and the plots into the documentation.
func (r report) publish(docs string) error {
	page := filepath.Join(docs, "analysis.md")
	text, err := os.ReadFile(page) //nolint:gosec // It is the repository's own page.
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, also := strings.Cut(rest, end)
	if !found || !also {
		return fmt.Errorf("%s has no place for the table: the lines %q and %q", page, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	files := map[string]string{
		page: before + begin + "\n" + r.markdown() + "\n" + end + after,
		filepath.Join(docs, "images", "analysis-detection.svg"): r.drawDetection(),
		filepath.Join(docs, "images", "analysis-false.svg"):     r.drawFalse(),
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // Documentation is for everyone.
			return fmt.Errorf("writing what was found: %w", err)
		}
	}
	return nil
}
