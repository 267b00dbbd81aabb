package forecast

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Write tells the forecast to people, as a table.
func (f *Forecast) Write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "STEP\tTRAFFIC\tA GOOD RELEASE STAYS\tFINDS ERRORS FROM\tFINDS SLOWNESS FROM\tA BAD RELEASE (%s ERRORS)\n", percent(f.BadErrors))
	for i, step := range f.Steps {
		name := fmt.Sprintf("%d/%d", i+1, len(f.Steps))
		if step.Name != "" {
			name += " " + printable(step.Name)
		}
		stays := step.stays()
		if step.Approval && step.Good.Over < 1 {
			stays += ", then waits for a person"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", name, step.Traffic, stays, step.errors(), step.slowness(), step.bad())
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	_, err := io.WriteString(out, "\n"+f.sum())
	if err != nil {
		return fmt.Errorf("writing the sum: %w", err)
	}
	return nil
}

func (s Step) stays() string {
	switch {
	case s.RolledBack > 0.5:
		return "is rolled back"
	case s.Good.Over >= 1 && s.Good.Median == 0:
		return "never gets here"
	case !s.Weighed && s.Good.Median == 0:
		return "no time"
	case !s.Weighed:
		return s.Good.Median.String()
	default:
		return s.Good.String()
	}
}

func (s Step) errors() string {
	switch {
	case !s.Weighed:
		return "not weighed"
	case s.Errors == nil:
		return "none"
	default:
		return fmt.Sprintf("%s, after %s", percent(s.Errors.To), s.Errors.After)
	}
}

func (s Step) slowness() string {
	switch {
	case !s.Weighed:
		return "not weighed"
	case s.Latency == nil:
		return "none"
	default:
		return fmt.Sprintf("x%s, after %s", strconv.FormatFloat(s.Latency.To, 'g', 3, 64), s.Latency.After)
	}
}

func (s Step) bad() string {
	if s.Bad == nil {
		return "not weighed"
	}
	return s.Bad.String()
}

// String tells what a bad release does.
func (h Harm) String() string {
	if h.Missed >= 1 {
		return "is not found"
	}
	text := fmt.Sprintf("is back after %s, fails %s", h.After.Median, requests(h.Requests))
	if h.Missed > 0 {
		text += fmt.Sprintf("; %s are not found", whole(h.Missed))
	}
	return text
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}

// String tells the middle, and the far end.
func (s Spread) String() string {
	switch {
	case s.Over > 0.5:
		return "longer than " + s.Median.String()
	case s.Over > 0.05:
		return fmt.Sprintf("%s (%s of them longer than %s)", s.Median, whole(s.Over), s.Most)
	default:
		return fmt.Sprintf("%s (95%%: %s)", s.Median, s.Most)
	}
}

// String is as people say times.
func (s Seconds) String() string {
	d := time.Duration(float64(s) * float64(time.Second)).Round(time.Second)
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0fs", d.Seconds())
	}
	d = d.Round(time.Minute / 2)
	if d >= 10*time.Minute {
		d = d.Round(time.Minute)
	}
	text, _ := strings.CutSuffix(d.String(), "m0s")
	if text != d.String() {
		text = strings.TrimSuffix(text+"m", "h0m")
		if d%time.Hour == 0 {
			text += "h"
		}
	}
	return text
}

// sum is what is said below the table.
func (f *Forecast) sum() string {
	var b strings.Builder
	if f.RolledBack > 0.02 {
		fmt.Fprintf(&b, "Of good releases %s are rolled back: the service as it is does not meet what the Rollout asks for.\n", whole(f.RolledBack))
	}
	if f.RolledBack < 1 {
		fmt.Fprintf(&b, "A good release takes %s for all steps", f.Good)
	}
	if f.RolledBack < 1 && f.Approvals > 0 {
		fmt.Fprintf(&b, ", and the time for which it waits for a person at %d of them", f.Approvals)
	}
	if f.RolledBack < 1 {
		b.WriteString(".\n")
	}
	fmt.Fprintf(&b, "One that fails %s of its requests from the start %s.\n", percent(f.BadErrors), f.Bad)
	for _, note := range f.Notes {
		fmt.Fprintf(&b, "Note: %s.\n", printable(note))
	}
	return b.String()
}

// printable takes out what would command a terminal, or part the table: names are what a file says, and nobody has checked them.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// percent writes a share with up to three digits.
func percent(share float64) string {
	return strconv.FormatFloat(share*100, 'g', 3, 64) + "%"
}

// whole writes a share in whole percents.
func whole(share float64) string { return fmt.Sprintf("%.0f%%", share*100) }
