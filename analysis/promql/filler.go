package promql

import (
	"fmt"
	"strings"
)

// filler goes through an expression, token by token.
type filler struct {
	source

	text string
	at   int
	out  strings.Builder

	// last is the token before, without spaces and comments. Of those that tell nothing it is empty.
	last string
	// calls are the brackets that are open.
	calls []call
}

// call is an open bracket: which one, the name before it, and how many commas came since.
type call struct {
	bracket  byte
	function string
	argument int
}

func (f *filler) fill() (string, error) {
	for f.at < len(f.text) {
		if err := f.next(); err != nil {
			return "", err
		}
	}
	return f.out.String(), nil
}

// next copies a token, with its values filled in.
func (f *filler) next() error {
	rest := f.text[f.at:]
	switch char := rest[0]; {
	case char == '#':
		f.copy(length(rest, func(char byte) bool { return char != '\n' }))
	case strings.ContainsRune(" \t\r\n", rune(char)):
		f.copy(1)
	case strings.ContainsRune("\"'`", rune(char)):
		return f.string(rest)
	case char == '{' && f.isPlaceholder(rest):
		return f.bare(rest)
	case strings.ContainsRune("([{", rune(char)):
		f.calls = append(f.calls, call{bracket: char, function: f.last})
		f.token(1)
	case strings.ContainsRune(")]}", rune(char)):
		f.calls = f.calls[:max(0, len(f.calls)-1)]
		f.token(1)
	case char == ',':
		if n := len(f.calls); n > 0 {
			f.calls[n-1].argument++
		}
		f.token(1)
	case strings.HasPrefix(rest, "=~"), strings.HasPrefix(rest, "!~"):
		f.token(2)
	case isWord(char):
		f.token(length(rest, isWord))
	default:
		f.token(1)
	}
	return nil
}

func (f *filler) copy(bytes int) {
	f.out.WriteString(f.text[f.at : f.at+bytes])
	f.at += bytes
}

func (f *filler) token(bytes int) {
	f.last = f.text[f.at : f.at+bytes]
	f.copy(bytes)
}

func (f *filler) string(rest string) error {
	end, err := stringEnd(rest)
	if err != nil {
		return err
	}
	filled, err := f.literal(rest[:end], f.role())
	if err != nil {
		return err
	}
	f.out.WriteString(filled)
	f.at += end
	f.last = ""
	return nil
}

// role is what a string is for that begins here.
func (f *filler) role() role {
	if f.last == "=~" || f.last == "!~" {
		return rolePattern
	}
	if n := len(f.calls); n > 0 && strings.EqualFold(f.calls[n-1].function, "label_replace") {
		// label_replace(v, dst_label, replacement, src_label, regex)
		switch f.calls[n-1].argument {
		case 2:
			return roleReplacement
		case 4:
			return rolePattern
		}
	}
	return roleText
}

func (f *filler) isPlaceholder(rest string) bool {
	found := placeholder.FindStringIndex(rest)
	return found != nil && found[0] == 0
}

// bare fills in a placeholder outside of strings.
func (f *filler) bare(rest string) error {
	name := rest[:strings.IndexByte(rest, '}')+1]
	if f.at > 0 && (isWord(f.text[f.at-1]) || f.text[f.at-1] == '}') {
		return fmt.Errorf("has %s as a part of a name: a placeholder can stand in a string, or for a number or a duration", name)
	}
	write := bare
	after, calls := rest[len(name):], len(f.calls)
	if after != "" && isWord(after[0]) || calls > 0 && f.calls[calls-1].bracket == '[' {
		write = unsigned // [{args.minutes}m]
	}
	filled, err := f.replace(name, write)
	if err != nil {
		return err
	}
	f.out.WriteString(filled)
	f.at += len(name)
	f.last = ""
	return nil
}

// stringEnd is where the string literal ends with which a text begins.
func stringEnd(text string) (int, error) {
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch char := text[i]; {
		case char == quote:
			return i + 1, nil
		case quote == '`':
		case char == '\n':
			return 0, errOpenString
		case char == '\\':
			i++
		}
	}
	return 0, errOpenString
}

func length(text string, of func(byte) bool) int {
	for i := range len(text) {
		if !of(text[i]) {
			return i
		}
	}
	return len(text)
}

// isWord says whether a byte can be a part of a name, a number or a duration.
func isWord(char byte) bool {
	return char >= 'a' && char <= 'z' || char >= 'A' && char <= 'Z' || char >= '0' && char <= '9' || char == '_' || char == ':' || char == '.' || char >= 0x80
}
