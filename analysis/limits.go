package analysis

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// What holds where the criteria say nothing; the API server fills in the same.
const (
	defaultSLO         = "99"
	defaultMargin      = "1.25"
	defaultQuantile    = "p99"
	defaultMinRequests = 100
)

// hundredPercent is 100% in millionths of a percent, and wholeMargin a margin of 1 in ten-thousandths: whole numbers,
// so that 99.9 means 99.9.
const (
	sloDecimals    = 6
	hundredPercent = 100_000_000
	marginDecimals = 4
	wholeMargin    = 10_000
)

// share is a part of a whole, in whole numbers.
type share struct{ part, whole int64 }

// limits are the criteria in numbers.
type limits struct {
	minRequests float64
	errors      limit
	latency     *latencyLimit
}

// limit says what share of requests may be bad.
type limit struct {
	// said is the limit as the user wrote it, such as 99%.
	said    string
	allowed share
	// margin within which the candidate is no worse than the incumbent, in ten-thousandths.
	margin int64
}

// latencyLimit says what share of requests may take longer than a threshold.
type latencyLimit struct {
	limit
	threshold time.Duration
}

var quantiles = map[string]share{
	"p50":   {50, 100},
	"p75":   {25, 100},
	"p90":   {10, 100},
	"p95":   {5, 100},
	"p99":   {1, 100},
	"p99.9": {1, 1000},
}

func limitsOf(criteria v1alpha1.Analysis) (limits, error) {
	result := limits{minRequests: defaultMinRequests}
	if criteria.MinRequests < 0 {
		return limits{}, &FieldError{"spec.analysis.minRequests", "must be at least 1"}
	}
	if criteria.MinRequests > 0 {
		result.minRequests = float64(criteria.MinRequests)
	}
	asked := v1alpha1.ErrorAnalysis{}
	if criteria.Errors != nil {
		asked = *criteria.Errors
	}
	var err error
	if result.errors, err = errorLimit(asked); err != nil {
		return limits{}, err
	}
	if criteria.Latency != nil {
		if result.latency, err = latencyLimitOf(*criteria.Latency); err != nil {
			return limits{}, err
		}
	}
	return result, nil
}

func errorLimit(asked v1alpha1.ErrorAnalysis) (limit, error) {
	said := or(asked.SLO, defaultSLO)
	slo, err := parseDecimal(said, sloDecimals)
	if err == nil && slo >= hundredPercent {
		err = errors.New("must be below 100: no service keeps that")
	}
	if err != nil {
		return limit{}, &FieldError{"spec.analysis.errors.slo", err.Error()}
	}
	margin, err := parseMargin(asked.Margin)
	if err != nil {
		return limit{}, &FieldError{"spec.analysis.errors.margin", err.Error()}
	}
	return limit{said: said + "%", allowed: share{hundredPercent - slo, hundredPercent}, margin: margin}, nil
}

func latencyLimitOf(asked v1alpha1.LatencyAnalysis) (*latencyLimit, error) {
	said := or(asked.Quantile, defaultQuantile)
	allowed, known := quantiles[said]
	if !known {
		return nil, &FieldError{"spec.analysis.latency.quantile", fmt.Sprintf("%q is none of p50, p75, p90, p95, p99, p99.9", said)}
	}
	if asked.Threshold == nil {
		return nil, &FieldError{"spec.analysis.latency.threshold", "is needed to judge latency: set one, such as 500ms, or remove spec.analysis.latency"}
	}
	if asked.Threshold.Duration <= 0 {
		return nil, &FieldError{"spec.analysis.latency.threshold", "must be above zero"}
	}
	margin, err := parseMargin(asked.Margin)
	if err != nil {
		return nil, &FieldError{"spec.analysis.latency.margin", err.Error()}
	}
	return &latencyLimit{limit{said, allowed, margin}, asked.Threshold.Duration}, nil
}

// quantile is the limit as a number from 0 to 1.
func (l latencyLimit) quantile() float64 {
	return 1 - float64(l.allowed.part)/float64(l.allowed.whole)
}

func parseMargin(text string) (int64, error) {
	margin, err := parseDecimal(or(text, defaultMargin), marginDecimals)
	if err != nil {
		return 0, err
	}
	if margin < wholeMargin {
		return 0, errors.New("must be at least 1")
	}
	return margin, nil
}

// parseDecimal reads a number without a sign, in units of its last permitted decimal.
func parseDecimal(text string, decimals int) (int64, error) {
	whole, fraction, dotted := strings.Cut(text, ".")
	digits := whole + fraction
	if whole == "" || (dotted && fraction == "") || len(fraction) > decimals || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%q is no number with at most %d decimals", text, decimals)
	}
	number, err := strconv.ParseInt(digits+strings.Repeat("0", decimals-len(fraction)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is too large", text)
	}
	return number, nil
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
