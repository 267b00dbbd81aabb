package analysis

import (
	"fmt"
	"strconv"
	"strings"
)

// Decimals of percentages and of margins: they are read as whole numbers of their last decimal, so that 99.9 means 99.9.
const (
	percentDecimals = 6
	hundredPercent  = 100_000_000
	marginDecimals  = 4
	wholeMargin     = 10_000
)

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

// parseAllowed reads the percentage that must be good, and returns the share that may be bad.
func parseAllowed(field, text string) (float64, error) {
	slo, err := parseDecimal(text, percentDecimals)
	if err != nil {
		return 0, &FieldError{field, err.Error()}
	}
	if slo >= hundredPercent {
		return 0, &FieldError{field, "must be below 100: no service keeps that"}
	}
	return float64(hundredPercent-slo) / hundredPercent, nil
}

// parseShare reads a percentage below 100 as a share.
func parseShare(field, text string) (float64, error) {
	share, err := parseDecimal(text, percentDecimals)
	if err != nil {
		return 0, &FieldError{field, err.Error()}
	}
	if share >= hundredPercent {
		return 0, &FieldError{field, "must be below 100"}
	}
	return float64(share) / hundredPercent, nil
}

// parseMargin reads an odds ratio.
func parseMargin(field, text string) (float64, error) {
	margin, err := parseDecimal(text, marginDecimals)
	if err != nil {
		return 0, &FieldError{field, err.Error()}
	}
	if margin < wholeMargin || margin >= 1000*wholeMargin {
		return 0, &FieldError{field, "must be an odds ratio from 1 to below 1000"}
	}
	return float64(margin) / wholeMargin, nil
}

// parseBound reads a bound of a threshold metric; nil where none is given.
func parseBound(field, text string) (*float64, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no bound is no error
	}
	bound, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "-.0123456789") != "" {
		return nil, &FieldError{field, fmt.Sprintf("%q is no number, such as 0.5", text)}
	}
	return &bound, nil
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
