package analysis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

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

// rounded keeps three digits of a duration.
func rounded(value time.Duration) time.Duration {
	unit := time.Duration(1)
	for value/unit >= 1000 {
		unit *= 10
	}
	return value.Round(unit)
}
