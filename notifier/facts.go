package notifier

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Fact is one thing that people want to know beside the message.
type Fact struct{ Name, Value string }

// Title names the object and what happened, such as "shop/checkout: RolledBack".
func (e Event) Title() string { return e.Key() + ": " + e.Reason }

// Facts are what is known of the rollout, in the order of their weight: what is tried, where it stands, what it measured, who brought it.
func (e Event) Facts() []Fact {
	if e.Rollout == nil {
		return nil
	}
	status := &e.Rollout.Status
	var facts []Fact
	add := func(name, value string) {
		if value = Line(value); value != "" {
			facts = append(facts, Fact{name, value})
		}
	}
	if c := status.Candidate; c != nil {
		add("Candidate", c.Revision)
	}
	if s := status.Step; s != nil {
		add("Step", strings.TrimSpace(s.Position+" "+s.Name))
	}
	if t := status.Traffic; t != nil {
		add("Traffic", t.Asked)
		add("Measured", t.Measured)
	}
	if v := status.Verdict; v != nil {
		for _, metric := range v.Metrics {
			add(metric.Name, compared(metric))
		}
	}
	if c := status.Candidate; c != nil {
		add("Commit", ShortCommit(c.Commit))
		add("Author", c.Author)
	}
	return facts
}

// compared are the measured values of a metric, such as "4.6% (incumbent: 0%)".
func compared(metric v1alpha1.MetricStatus) string {
	if metric.Candidate == "" && metric.Incumbent == "" {
		return ""
	}
	text := cmp.Or(metric.Candidate, "nothing measured")
	if metric.Incumbent != "" {
		text += " (incumbent: " + metric.Incumbent + ")"
	}
	return text
}

// ShortCommit cuts a commit's hash, which may stand behind a branch's name. What is no hash, such as a tag, stays whole.
func ShortCommit(commit string) string {
	const short = 12
	before, hash, found := strings.Cut(commit, ":")
	if !found {
		before, hash = "", commit
	} else {
		before += ":"
	}
	if len(hash) > short && strings.Trim(hash, "0123456789abcdef") == "" {
		hash = hash[:short]
	}
	return before + hash
}

// Line makes one line of a text, without control characters: what others wrote must not look like further lines of a message.
func Line(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text))
}

// Cut shortens a text to a number of characters, and marks where it does.
func Cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	runes := []rune(text)
	return string(runes[:most-1]) + "…"
}
