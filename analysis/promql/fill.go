package promql

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A placeholder looks like {service}, {candidate.service} or {args.max-age}. PromQL itself has no such thing outside of strings: matchers
// have an operator.
var (
	placeholder = regexp.MustCompile(`\{[a-z][a-z0-9_.-]*\}`)
	plain       = regexp.MustCompile(`^([0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?|([0-9]+(ms|[smhdwy]))+)$`)
	group       = regexp.MustCompile(`\$\{[A-Za-z0-9_]+\}`)
	negative    = regexp.MustCompile(`^-[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$`)
)

var errOpenString = errors.New("has a string that does not end")

// Fill replaces the placeholders of a PromQL expression, such as {service}, by values, which are given by name, without the braces. In a string the value
// is escaped; in a regular expression (after =~ and !~, and in label_replace) it matches literally. Outside of strings
// it must be a number or a duration. Comments are left alone. In a string, a brace that is meant itself can be written \x7b.
func Fill(text string, values map[string]string) (string, error) {
	return FillOnly("", text, values)
}

// FillOnly is like Fill, but replaces only placeholders whose names begin with the prefix. All others are left for
// a later Fill, to which the values put in now are no placeholders, whatever they look like.
func FillOnly(prefix, text string, values map[string]string) (string, error) {
	filler := filler{text: text, source: source{prefix, values}}
	return filler.fill()
}

// FillText replaces the placeholders of a text that is not PromQL: a number, or a name. Nothing is escaped.
func FillText(prefix, text string, values map[string]string) (string, error) {
	return source{prefix, values}.replace(text, func(value string) (string, error) { return value, nil })
}

// source has the values.
type source struct {
	prefix string
	values map[string]string
}

// replace replaces the placeholders of a text by values as written by write.
func (s source) replace(text string, write func(value string) (string, error)) (string, error) {
	var failed error
	filled := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		name := found[1 : len(found)-1]
		if !strings.HasPrefix(name, s.prefix) || failed != nil {
			return found
		}
		value, known := s.values[name]
		if !known {
			failed = s.unknown(found)
			return found
		}
		var written string
		written, failed = write(value)
		return written
	})
	if failed != nil {
		return "", failed
	}
	return filled, nil
}

func (s source) unknown(found string) error {
	if len(s.values) == 0 {
		return fmt.Errorf("has an unknown placeholder %s: there are none here", found)
	}
	var known []string
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		known = append(known, "{"+name+"}")
	}
	return fmt.Errorf("has an unknown placeholder %s: there are %s", found, strings.Join(known, ", "))
}

// bare writes a value that stands outside of strings.
func bare(value string) (string, error) {
	if negative.MatchString(value) {
		return "(" + value + ")", nil // else the sign could become an operator
	}
	return unsigned(value)
}

func unsigned(value string) (string, error) {
	if !plain.MatchString(value) {
		return "", fmt.Errorf("has a placeholder outside of strings, where only a number or a duration can stand, and %q is neither", value)
	}
	return value, nil
}

// role is what a string is for.
type role int

const (
	roleText role = iota
	rolePattern
	roleReplacement
)

// literal writes a string literal anew, with the values in it.
func (s source) literal(quoted string, role role) (string, error) {
	quote, body := quoted[0], quoted[1:len(quoted)-1]
	if !placeholder.MatchString(body) {
		return quoted, nil
	}
	if err := checkBefore(body, quote, role); err != nil {
		return "", err
	}
	if quote == '`' {
		// It has no escapes, so that not all values can stand in it.
		quote, body = '"', escape(body, '"')
	}
	write := func(value string) (string, error) {
		switch role {
		case rolePattern:
			value = regexp.QuoteMeta(value)
		case roleReplacement:
			value = strings.ReplaceAll(value, "$", "$$")
		case roleText:
		}
		return strings.ReplaceAll(escape(value, quote), "{", `\x7b`), nil
	}
	filled, err := s.fillBody(body, role, write)
	if err != nil {
		return "", err
	}
	return string(quote) + filled + string(quote), nil
}

// fillBody knows that label_replace has placeholders of its own: ${name} is a group of its pattern.
func (s source) fillBody(body string, role role, write func(string) (string, error)) (string, error) {
	if role != roleReplacement {
		return s.replace(body, write)
	}
	var out strings.Builder
	for body != "" {
		found := group.FindStringIndex(body)
		if found == nil {
			found = []int{len(body), len(body)}
		}
		filled, err := s.replace(body[:found[0]], write)
		if err != nil {
			return "", err
		}
		out.WriteString(filled + body[found[0]:found[1]])
		body = body[found[1]:]
	}
	return out.String(), nil
}

// checkBefore refuses what would take a part of the value for its own: "\{service}" would escape the value's first letter, and let a quote end the string.
func checkBefore(body string, quote byte, role role) error {
	for _, found := range placeholder.FindAllStringIndex(body, -1) {
		before, name := body[:found[0]], body[found[0]:found[1]]
		backslashes := len(before) - len(strings.TrimRight(before, `\`))
		if backslashes > 0 && role == rolePattern || backslashes%2 == 1 && quote != '`' {
			return fmt.Errorf(`has a backslash before %s: without it the value goes there, and \x7b is a brace that is no placeholder's`, name)
		}
		if role == roleReplacement && strings.HasSuffix(before, "$") && strings.ContainsAny(name, ".-") {
			return fmt.Errorf("has a $ before %s: without it the value goes there", name)
		}
	}
	return nil
}

// escape writes a text as the body of a string literal.
func escape(text string, quote byte) string {
	quoted := strconv.Quote(text)
	body := quoted[1 : len(quoted)-1]
	if quote == '\'' {
		body = strings.ReplaceAll(strings.ReplaceAll(body, `\"`, `"`), `'`, `\'`)
	}
	return body
}
