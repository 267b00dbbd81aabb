package capture

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The sizes of a picture, in pixels.
const (
	columnWidth = 8.4
	lineHeight  = 19
	margin      = 16
	fontSize    = 14
	// narrow and wide are terminals, by their columns: lines go on below.
	narrow, wide = 120, 190
)

// style is a mark of a terminal's, such as a colour.
var style = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// fills are the colours of the codes that a terminal knows.
var fills = map[string]string{
	"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff", "36": "#76e3ea", "90": "#8b949e",
}

// picture draws what a terminal shows: lines with marks of colour.
func picture(title, text string, columns int) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		lines = append(lines, wrapped(line, columns)...)
	}
	longest := 0
	for _, line := range lines {
		longest = max(longest, utf8.RuneCountInString(style.ReplaceAllString(line, "")))
	}
	width, height := float64(longest)*columnWidth+2*margin, len(lines)*lineHeight+2*margin
	var out strings.Builder
	_, _ = fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" viewBox="0 0 %.0f %d" role="img" aria-label="%s">`+"\n",
		width, height, width, height, html.EscapeString(title))
	_, _ = fmt.Fprintf(&out, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"#0d1117\"/>\n", html.EscapeString(title))
	_, _ = fmt.Fprintf(&out, "<g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"%d\" fill=\"#e6edf3\">\n", fontSize)
	for i, line := range lines {
		if line != "" {
			_, _ = fmt.Fprintf(&out, "<text xml:space=\"preserve\" x=\"%d\" y=\"%d\">%s</text>\n", margin, margin+(i+1)*lineHeight-5, spans(line))
		}
	}
	out.WriteString("</g>\n</svg>\n")
	return out.String()
}

// wrapped is a line as a terminal wraps it; a mark holds on the next line.
func wrapped(line string, columns int) []string {
	var lines []string
	var now strings.Builder
	mark, column := "", 0
	for line != "" {
		if at := style.FindStringIndex(line); at != nil && at[0] == 0 {
			mark = line[:at[1]]
			now.WriteString(mark)
			line = line[at[1]:]
			continue
		}
		if column == columns {
			lines = append(lines, now.String())
			now.Reset()
			now.WriteString(mark)
			column = 0
		}
		_, size := utf8.DecodeRuneInString(line)
		now.WriteString(line[:size])
		line = line[size:]
		column++
	}
	return append(lines, now.String())
}

// spans are the parts of a line, each at its column, so that letters of another
// width don't move what follows.
func spans(line string) string {
	var out strings.Builder
	column, attributes := 0, ""
	add := func(text string) {
		if text == "" {
			return
		}
		at := margin + float64(column)*columnWidth
		count := utf8.RuneCountInString(text)
		_, _ = fmt.Fprintf(&out, `<tspan x="%.1f" textLength="%.1f" lengthAdjust="spacingAndGlyphs"%s>%s</tspan>`, at, float64(count)*columnWidth, attributes, html.EscapeString(text))
		column += count
	}
	last := 0
	for _, match := range style.FindAllStringSubmatchIndex(line, -1) {
		add(line[last:match[0]])
		attributes = attribute(line[match[2]:match[3]])
		last = match[1]
	}
	add(line[last:])
	return out.String()
}

// attribute is what a mark means to a picture.
func attribute(codes string) string {
	var out strings.Builder
	for code := range strings.SplitSeq(codes, ";") {
		switch fill := fills[code]; {
		case code == "1":
			out.WriteString(` font-weight="bold"`)
		case code == "2":
			out.WriteString(` fill-opacity="0.6"`)
		case fill != "":
			out.WriteString(` fill="` + fill + `"`)
		}
	}
	return out.String()
}
