package promql_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weighlock/weighlock/analysis/promql"
)

// attacks are values that try to be more than values.
var attacks = []string{
	`"`, `'`, "`", `\`, `\"`, `\\`, "\n", "#", `"} or vector(1) #`, `'} or vector(1) #`, "`} or vector(1) #", `x"}) or rq{a="`, `.*`, `a|b`, `(`, `[`, `$1`, `${1}`,
	`{service}`, `{args.x}`, `{`, `}`, `5m] offset 1h`, `5`, `-5`, `-5m`, `1 or 2`, `+Inf`, `NaN`, "\x00", "\xff", "\u2028", `é`, ``, ` `,
}

var expressions = []string{
	`rq{a="{args.x}",b=~"y{args.x}z",c!~'{args.x}'}`, "rq{a=`{args.x}`,b=~`{args.x}`}", `rate(rq[{args.x}])`, `rq > {args.x}`, `up {args.x}`, `rq{args.x}`,
	`label_replace(rq, "d", "{args.x}$1", "s", "{args.x}(.*)") # {args.x}`, `rq{a="\{args.x}"}`, `rq{a='\\{args.x}'}`, `{args.x}{args.x}`, `"{args.x}" '{args.x}'`,
}

func TestFill_KeepsValuesValues(t *testing.T) {
	for _, expression := range expressions {
		for _, value := range attacks {
			holds(t, expression, value)
		}
	}
}

func FuzzFill(f *testing.F) {
	for i, value := range attacks {
		f.Add(expressions[i%len(expressions)], value)
	}
	f.Fuzz(holds)
}

// holds checks that an expression has the same structure whatever a value is: strings stay strings, all else stays what it
// is, and what is put in is one number at most.
func holds(t *testing.T, expression, value string) {
	t.Helper()
	harmless, err := promql.Fill(expression, map[string]string{"args.x": "7"})
	if err != nil {
		return
	}
	filled, err := promql.Fill(expression, map[string]string{"args.x": value})
	if err != nil {
		return
	}
	want, wantStrings := structure(t, harmless)
	got, gotStrings := structure(t, filled)
	if got != want || len(gotStrings) != len(wantStrings) {
		t.Fatalf("%q with %q became %q: its structure is %q, and with a harmless value %q", expression, value, filled, got, want)
	}
	for i, text := range gotStrings {
		// Each value comes out of its string as it went in, where it is no pattern.
		plain := strings.ReplaceAll(wantStrings[i], "7", value)
		pattern := strings.ReplaceAll(wantStrings[i], "7", regexp.QuoteMeta(value))
		replacement := strings.ReplaceAll(wantStrings[i], "7", strings.ReplaceAll(value, "$", "$$"))
		if text != plain && text != pattern && text != replacement && !strings.Contains(expression, "7") {
			t.Errorf("%q with %q has the string %q", expression, value, text)
		}
	}
	if again, err := promql.FillOnly("args.x", filled, map[string]string{"args.x": "again"}); err == nil && again != filled {
		t.Errorf("%q with %q has a placeholder again: %q", expression, value, filled)
	}
}

var number = regexp.MustCompile(`\(-[0-9.]+([eE][+-]?[0-9]+)?\)|[0-9][0-9.a-zA-Z]*([eE][+-]?[0-9]+)?`)

// structure returns an expression without what is inside of strings, without comments, and with 0 for each
// number and duration; and what the strings say.
func structure(t *testing.T, text string) (shape string, literals []string) {
	t.Helper()
	var out strings.Builder
	for text != "" {
		switch quote := text[0]; quote {
		case '#':
			_, rest, _ := strings.Cut(text, "\n")
			text = rest
		case '"', '\'', '`':
			literal, rest := unquote(t, text)
			literals = append(literals, literal)
			out.WriteString("S")
			text = rest
		default:
			out.WriteByte(quote)
			text = text[1:]
		}
	}
	return number.ReplaceAllString(out.String(), "0"), literals
}

var escapes = map[byte]string{'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v", '\\': `\`}

// unquote reads a string as PromQL's lexer does.
func unquote(t *testing.T, text string) (literal, rest string) {
	t.Helper()
	quote := text[0]
	var out strings.Builder
	for i := 1; i < len(text); {
		char := text[i]
		i++
		switch {
		case char == quote:
			return out.String(), text[i:]
		case char != '\\' || quote == '`':
			out.WriteByte(char)
			continue
		}
		if i == len(text) {
			break
		}
		kind := text[i]
		i++
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[kind]
		switch plain, known := escapes[kind]; {
		case known:
			out.WriteString(plain)
		case kind == quote:
			out.WriteByte(quote)
		case digits > 0 && i+digits <= len(text):
			code := 0
			for _, digit := range text[i : i+digits] {
				code = code*16 + strings.IndexRune("0123456789abcdef", digit|0x20)
			}
			i += digits
			if kind == 'x' {
				out.WriteByte(byte(code))
			} else {
				out.WriteString(string(utf8.AppendRune(nil, rune(code))))
			}
		default:
			t.Skipf("not PromQL: %q", text) // it was none before either
		}
	}
	t.Fatalf("%q does not end", text)
	return "", ""
}
