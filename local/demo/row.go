package demo

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
)

// measured is how far back the measured weight looks.
const measured = 10 * time.Second

// row is a line of the table.
type row struct {
	// key changes when something happened: another step, state, weight or
	// verdict.
	key string
	// text is the line, why the verdict's sentence, totals what users saw so
	// far.
	text, why, totals string
}

// lines are the line, and the sentence below it, in lines of that width.
func (r row) lines(width int) []string {
	return append([]string{r.text}, wrapped(r.why, sentenceIndent, width)...)
}

// sentenceIndent puts a sentence below the column after the time.
const sentenceIndent = "         "

// wrapped breaks a text between words into indented lines, none wider than
// asked if its words allow. An empty text has no lines.
func wrapped(text, indent string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(indent+line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, indent+line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, indent+line)
	}
	return lines
}

const columns = "%-7s  %-8s  %-13s  %5s  %8s  %-19s  %-19s  %-12s  %s"

// header names the columns.
func header() string {
	return fmt.Sprintf(columns, "   TIME", "COMMIT", "STEP", "ASKED", "MEASURED", "INCUMBENT", "CANDIDATE", "VERDICT", "WAITING FOR")
}

// row is the table's line for a view.
func (d *demo) row(view observe.View) row {
	var stats load.Stats
	if d.load != nil {
		stats = d.load.Stats()
	}
	step, asked, verdict, waiting, why := "-", "-", "-", "", ""
	if view.Rollout != nil {
		status := view.Rollout.Status
		step, waiting = status.State, status.WaitingFor
		if status.Step != nil {
			step = strings.TrimSpace(status.Step.Position + " " + status.Step.Name)
		}
		if status.Traffic != nil {
			asked = status.Traffic.Asked
		}
		if d.before != "" && view.Progress != nil && view.Progress.Phase == observe.PhaseServing && view.Progress.Incumbent != d.before {
			// What was the candidate has it all, as the incumbent.
			asked = "100%"
		}
		if status.Verdict != nil {
			verdict, why = status.Verdict.Outcome, status.Verdict.Message
		}
	}
	since := time.Time{}
	if view.Route.InForce != nil {
		since = view.Route.InForce.AcknowledgedAt
	}
	text := fmt.Sprintf(columns, d.time(view.At), fmt.Sprintf("%.8s", d.commit), step, asked, weight(stats, d.candidate, since),
		track(stats, d.incumbent), track(stats, d.candidate), verdict, waiting)
	return row{
		key:    strings.Join([]string{d.commit, step, asked, verdict}, "|"),
		text:   strings.TrimRight(text, " "),
		why:    why,
		totals: totals(stats),
	}
}

// weight is the share of replies that a version made since Envoy took its
// present route, of the last seconds at most.
func weight(stats load.Stats, version string, since time.Time) string {
	if oldest := time.Now().Add(-measured); since.Before(oldest) {
		since = oldest
	}
	own, all := int64(0), int64(0)
	for _, second := range stats.Series {
		if second.At.Before(since) {
			continue
		}
		for name, requests := range second.Requests {
			all += requests
			if name == version {
				own += requests
			}
		}
	}
	if all == 0 || version == "" {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", float64(own)*100/float64(all))
}

// track is what users saw of a version in the last ten seconds.
func track(stats load.Stats, version string) string {
	if version == "" {
		return "-"
	}
	v := stats.Version(version)
	if v.RecentRequests == 0 {
		return "v" + version
	}
	return fmt.Sprintf("v%s %5.1f%% %5.0f ms", version, float64(v.RecentFailed)*100/float64(v.RecentRequests), v.RecentP99)
}

func totals(stats load.Stats) string {
	if stats.Sent == 0 {
		return ""
	}
	return fmt.Sprintf("         %s requests so far, %s failed by a version, %s on the way", number(stats.Sent), number(stats.FailedByVersion), number(stats.FailedOnTheWay))
}
