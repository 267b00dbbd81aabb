package slackwebhook

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// gap is a zero-width space: nobody sees it, and what it parts isn't read as one.
const gap = "\u200b"

// emoji are their names in a text, as chats show them as signs: Slack those in small letters, Mattermost others, too.
var emoji = regexp.MustCompile(`:([+-]1|100|1234|[\p{N}_+'-]*\p{L}[\p{L}\p{N}_+'-]*):`)

// literal is what is copied, or followed, as it stands: addresses of pages, and the names of ServiceAccounts. Chats look for nothing in them.
var literal = regexp.MustCompile(`https?://\S+|system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+`)

// inert takes the meaning from the characters by which Slack, Mattermost and Rocket.Chat know links, mentions, signs and emphasis, and
// leaves text looking as it did. What gets too long by that is cut.
func inert(text string, most int) string {
	runes, literally := split(text)
	var made strings.Builder
	length := 0
	for i, r := range runes {
		before, after := ' ', ' '
		if i > 0 {
			before = runes[i-1]
		}
		if i+1 < len(runes) {
			after = runes[i+1]
		}
		written := said(before, r, after)
		if literally[i] && strings.ContainsRune("*~_]", r) {
			written = string(r)
		}
		if i == 0 && strings.ContainsRune(">#+-=|", r) {
			written = gap + written // Quotes, headings and lists begin a line.
		}
		if length += utf8.RuneCountInString(written); length >= most {
			made.WriteString("…")
			break
		}
		made.WriteString(written)
	}
	return made.String()
}

// split gives the characters of a text, in which emoji are no more, and which of them belong to something literal.
func split(text string) (runes []rune, literally []bool) {
	add := func(part string, is bool) {
		for _, r := range part {
			runes, literally = append(runes, r), append(literally, is)
		}
	}
	end := 0
	for _, found := range literal.FindAllStringIndex(text, -1) {
		add(emoji.ReplaceAllString(text[end:found[0]], "∶$1∶"), false)
		add(text[found[0]:found[1]], true)
		end = found[1]
	}
	add(emoji.ReplaceAllString(text[end:], "∶$1∶"), false)
	return runes, literally
}

// said is how a character is written between two others.
func said(before, r, after rune) string {
	switch {
	case r == '&':
		return "&amp;"
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	case r == '*':
		return "∗"
	case r == '~':
		return "∼"
	case r == '`':
		return "'"
	case r == '_' && (!ofWord(before) || !ofWord(after)): // Within a word, as in a_b, it is no emphasis.
		return "ˍ"
	case r == '@' && !ofWord(before): // After a letter or digit it is an address of mail.
		return "@" + gap
	case r == ']': // [words](address) is a link in Markdown.
		return "]" + gap
	default:
		return string(r)
	}
}

// ofWord says whether words are made of a character, whatever the language that a chat takes them to be in.
func ofWord(r rune) bool {
	return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
}
