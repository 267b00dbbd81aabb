package prometheus

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
)

// selector is a PromQL series selector: a metric's name and label matchers, nothing that computes. It is read into its parts
// and written anew, so that what a Rollout says can't become another query. Placeholders are filled in before.
type selector struct {
	metric string
	// orMetric is another name that will do; none when empty.
	orMetric string
	matchers []matcher
}

type matcher struct {
	label, operator, value string
	// pattern of a regular expression.
	pattern *regexp.Regexp
}

var (
	identifier = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	operator   = regexp.MustCompile(`^(=~|!~|!=|=)`)
)

var errOnlySelector = errors.New(`must be a series selector that names one metric, such as http_requests_total{service="{service}"}, without functions, ranges or operators`)

func parseSelector(text string) (selector, error) {
	rest := strings.TrimSpace(text)
	result := parser{selector{metric: identifier.FindString(rest)}}
	rest = strings.TrimSpace(rest[len(result.metric):])
	if rest != "" {
		if !strings.HasPrefix(rest, "{") {
			return selector{}, errOnlySelector
		}
		var err error
		if rest, err = result.parseMatchers(rest[1:]); err != nil {
			return selector{}, err
		}
	}
	if rest != "" || result.metric == "" {
		return selector{}, errOnlySelector
	}
	return result.selector, nil
}

// parser reads a selector.
type parser struct{ selector }

// parseMatchers reads up to the closing brace, and returns what follows.
func (s *parser) parseMatchers(rest string) (string, error) {
	for {
		rest = strings.TrimSpace(rest)
		if after, closed := strings.CutPrefix(rest, "}"); closed {
			return strings.TrimSpace(after), nil
		}
		var err error
		if rest, err = s.parseMatcher(rest); err != nil {
			return "", err
		}
		rest = strings.TrimSpace(rest)
		if after, more := strings.CutPrefix(rest, ","); more {
			rest = after
		} else if !strings.HasPrefix(rest, "}") {
			return "", errOnlySelector
		}
	}
}

func (s *parser) parseMatcher(rest string) (string, error) {
	label := identifier.FindString(rest)
	rest, quoted := rest[len(label):], label == ""
	if quoted {
		var err error
		if label, rest, err = cutString(rest); err != nil {
			return "", err
		}
	}
	rest = strings.TrimSpace(rest)
	sign := operator.FindString(rest)
	if sign == "" && quoted && s.metric == "" {
		s.metric = label // {"a metric's name", ...}
		return rest, nil
	}
	if sign == "" || label == "" {
		return "", errOnlySelector
	}
	value, rest, err := cutString(strings.TrimSpace(rest[len(sign):]))
	if err != nil {
		return "", err
	}
	if label == "__name__" {
		if sign != "=" || s.metric != "" {
			return "", errOnlySelector
		}
		s.metric = value
		return rest, nil
	}
	made, err := newMatcher(label, sign, value)
	if err != nil {
		return "", err
	}
	s.matchers = append(s.matchers, made)
	return rest, nil
}

// cutString reads a quoted string at the start of a text, and returns what follows.
func cutString(text string) (value, rest string, err error) {
	if text == "" || !strings.ContainsAny(text[:1], "\"'`") {
		return "", "", errOnlySelector
	}
	quote := text[0]
	end := 1
	for ; end < len(text) && text[end] != quote; end++ {
		if text[end] == '\\' && quote != '`' {
			end++
		}
	}
	if end >= len(text) {
		return "", "", errors.New("has a string that does not end")
	}
	body, rest := text[1:end], text[end+1:]
	if quote == '`' {
		return body, rest, nil
	}
	var plain strings.Builder
	for body != "" {
		char, multibyte, tail, err := strconv.UnquoteChar(body, quote)
		if err != nil {
			return "", "", errors.New("has a string with an unknown escape")
		}
		if multibyte {
			plain.WriteRune(char)
		} else {
			plain.WriteByte(byte(char)) //nolint:gosec // Not multibyte: less than 256.
		}
		body = tail
	}
	return plain.String(), rest, nil
}

// newMatcher makes a matcher that can match. Patterns are for the whole value, as in PromQL.
func newMatcher(label, operator, value string) (matcher, error) {
	result := matcher{label: label, operator: operator, value: value}
	if strings.HasSuffix(operator, "~") {
		pattern, err := regexp.Compile("^(?s:" + value + ")$")
		if err != nil {
			return matcher{}, fmt.Errorf("the pattern of label %s is no regular expression", label)
		}
		result.pattern = pattern
	}
	return result, nil
}

// matches says whether the matchers select labels. The metric's name is not looked at.
func (s selector) matches(labels model.Metric) bool {
	for i := range s.matchers {
		asked := &s.matchers[i]
		value := string(labels[model.LabelName(asked.label)])
		equal := value == asked.value
		if asked.pattern != nil {
			equal = asked.pattern.MatchString(value)
		}
		if equal == strings.HasPrefix(asked.operator, "!") {
			return false
		}
	}
	return true
}

// or returns a selector of what either selects, and maybe more, if they differ only in values.
func (s selector) or(other selector) (selector, bool) {
	if s.metric != other.metric || s.orMetric != other.orMetric || len(s.matchers) != len(other.matchers) {
		return selector{}, false
	}
	result := selector{metric: s.metric, orMetric: s.orMetric}
	for i, one := range s.matchers {
		two := other.matchers[i]
		if one.label != two.label || one.operator != two.operator {
			return selector{}, false
		}
		if one.value != two.value {
			value := regexp.QuoteMeta(one.value) + "|" + regexp.QuoteMeta(two.value)
			switch one.operator {
			case "=~":
				value = "(?:" + one.value + ")|(?:" + two.value + ")"
			case "=":
			default:
				return selector{}, false
			}
			one = matcher{label: one.label, operator: "=~", value: value}
		}
		result.matchers = append(result.matchers, one)
	}
	return result, true
}

// String writes the selector in PromQL.
func (s selector) String() string {
	var text strings.Builder
	// A name in quotes inside the braces is not understood by servers older than 3.0: only for those that need it.
	if identifier.FindString(s.metric) == s.metric && s.orMetric == "" {
		text.WriteString(s.metric + "{")
	} else {
		name := "=" + strconv.Quote(s.metric)
		if s.orMetric != "" {
			name = "=~" + strconv.Quote(regexp.QuoteMeta(s.metric)+"|"+regexp.QuoteMeta(s.orMetric))
		}
		text.WriteString("{__name__" + name)
		if len(s.matchers) > 0 {
			text.WriteByte(',')
		}
	}
	for i, matcher := range s.matchers {
		if i > 0 {
			text.WriteByte(',')
		}
		label := matcher.label
		if identifier.FindString(label) != label || strings.Contains(label, ":") {
			label = strconv.Quote(label)
		}
		text.WriteString(label + matcher.operator + strconv.Quote(matcher.value))
	}
	text.WriteByte('}')
	return text.String()
}
