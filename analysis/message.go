package analysis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// String returns the rate and what it is of, such as "0.1% of 9,120".
func (t tally) String() string {
	if t.requests <= 0 {
		return "no requests"
	}
	return percent(t.bad/t.requests, 2) + " of " + number(t.requests)
}

// rateBeside returns the rate with as many digits as tell it from what is allowed: "1% breaks 99%" would puzzle
// people.
func (t tally) rateBeside(allowed share) string {
	rate, limit := t.bad/t.requests, float64(allowed.part)/float64(allowed.whole)
	for digits := 2; digits < 9; digits++ {
		if text := percent(rate, digits); text != percent(limit, digits) {
			return text
		}
	}
	return percent(rate, 9)
}

func percentOf(part share) string {
	return percent(float64(part.part)/float64(part.whole), 9)
}

// percent writes a share with so many significant digits, and without an exponent.
func percent(part float64, digits int) string {
	value := part * 100
	if value == 0 {
		return "0%"
	}
	decimals := max(0, digits-1-int(math.Floor(math.Log10(value))))
	text := strconv.FormatFloat(value, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + "%"
}

// number writes a count with separators, such as 9,120.
func number(count float64) string {
	text := strconv.FormatFloat(math.Round(count), 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func nothingSeen(limits limits, measurement Measurement) string {
	if measurement.Latest.IsZero() && measurement.Incumbent.Requests == 0 {
		return "no samples of either track yet: do they get requests, and is the mesh scraped?"
	}
	incumbent := tally{measurement.Incumbent.Requests, measurement.Incumbent.Errors}
	return fmt.Sprintf("no requests of the candidate yet (incumbent: %s): %s are needed", incumbent, number(limits.minRequests))
}

// needed says how many requests are missing, and how long they take to come.
func needed(seen float64, limits limits, measurement Measurement) string {
	missing := math.Ceil(limits.minRequests - seen)
	text := number(missing) + " more requests are needed"
	if missing == 1 {
		text = "1 more request is needed"
	}
	if passed := measurement.Latest.Sub(measurement.Since); seen > 0 && !measurement.Since.IsZero() && passed > 0 {
		text += ", in " + roughly(missing/seen*passed.Seconds()) + " at the present rate"
	}
	return text
}

// roughly writes seconds as people say them.
func roughly(seconds float64) string {
	const minute, hour, day = 60, 60 * 60, 24 * 60 * 60
	switch {
	case seconds < 1.5*minute:
		return fmt.Sprintf("about %.0f s", math.Ceil(seconds))
	case seconds < 2*hour:
		return fmt.Sprintf("about %.0f minutes", math.Ceil(seconds/minute))
	case seconds < 2*day:
		return fmt.Sprintf("about %.0f hours", math.Ceil(seconds/hour))
	default:
		return "more than two days"
	}
}

// bothQuantiles says where the quantile lies in both tracks.
func bothQuantiles(latency latencyLimit, measurement Measurement) string {
	return fmt.Sprintf("%s %s; incumbent: %s", latency.said,
		quantileOf(measurement.Candidate, latency.quantile()), quantileOf(measurement.Incumbent, latency.quantile()))
}

func quantileOf(counts Counts, q float64) string {
	value, ok := counts.Quantile(q)
	switch {
	case ok:
		return "about " + rounded(value).String() + " of " + number(counts.timed())
	case counts.timed() > 0:
		return "beyond " + value.String() + " of " + number(counts.timed())
	default:
		return "no requests"
	}
}

// rounded keeps three digits of a duration.
func rounded(value time.Duration) time.Duration {
	unit := time.Duration(1)
	for value/unit >= 1000 {
		unit *= 10
	}
	return value.Round(unit)
}
