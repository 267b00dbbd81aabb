package cli

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// span is a piece of text in one colour.
type span struct{ text, code string }

// text is a line's piece of one or several colours.
type text []span

// words makes a text without a colour.
func words(s string) text { return text{{text: s}} }

// painted makes a text of one colour.
func painted(code, s string) text { return text{{text: s, code: code}} }

// and puts another text behind.
func (t text) and(more ...span) text { return append(append(text{}, t...), more...) }

// width is how many columns of a terminal the text takes.
func (t text) width() int {
	width := 0
	for _, s := range t {
		width += ansi.StringWidth(clean(s.text))
	}
	return width
}

// paint gives the text its colours.
func (t text) paint(p palette) string {
	var b strings.Builder
	for _, s := range t {
		b.WriteString(p.paint(s.code, clean(s.text)))
	}
	return b.String()
}

// hidden are characters that nobody sees, and that turn round, part or mark what stands beside them: those of the two directions, and tags.
// Others of their kind belong to words, such as the joiners of Persian and of emoji.
var hidden = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x061c, Hi: 0x061c, Stride: 1},
		{Lo: 0x200b, Hi: 0x200b, Stride: 1},
		{Lo: 0x200e, Hi: 0x200f, Stride: 1},
		{Lo: 0x202a, Hi: 0x202e, Stride: 1},
		{Lo: 0x2060, Hi: 0x206f, Stride: 1},
		{Lo: 0xfeff, Hi: 0xfeff, Stride: 1},
		{Lo: 0xfff9, Hi: 0xfffb, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0xe0000, Hi: 0xe007f, Stride: 1}},
}

// clean takes out what would command a terminal: names and sentences come from whoever may write objects.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(hidden, r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// wrap breaks a text into lines of at most width columns, between words. A word that is longer stands alone.
func (t text) wrap(width int) []text {
	lines, line, used := []text{}, text{}, 0
	for _, s := range t {
		for i, word := range strings.SplitAfter(clean(s.text), " ") {
			if word == "" {
				continue
			}
			wide := ansi.StringWidth(strings.TrimRight(word, " "))
			// The first word of a span belongs to the one before it, unless a space is between.
			apart := i > 0 || endsInSpace(line)
			if used > 0 && apart && used+wide > width {
				lines, line, used = append(lines, line), text{}, 0
			}
			line = append(line, span{text: word, code: s.code})
			used += ansi.StringWidth(word)
		}
	}
	return append(lines, line)
}

func endsInSpace(line text) bool {
	return len(line) > 0 && strings.HasSuffix(line[len(line)-1].text, " ")
}

// node is a line of a tree, and what is below it. Its cells stand in columns with those of its siblings, but for the last one.
type node struct {
	cells []text
	below []*node
}

// row makes a node.
func row(cells ...text) *node { return &node{cells: cells} }

// add puts nodes below, and leaves out those that are nil.
func (n *node) add(below ...*node) *node {
	for _, b := range below {
		if b != nil {
			n.below = append(n.below, b)
		}
	}
	return n
}

// draw gives the lines of the tree. What is longer than width columns is broken between words; a width of zero breaks nothing.
func (n *node) draw(p palette, width int) []string {
	lines := n.line(p, width, "", "", nil)
	return append(lines, children(n, p, width, "")...)
}

// children draws what is below a node.
func children(n *node, p palette, width int, prefix string) []string {
	columns := align(n.below)
	var lines []string
	for i, child := range n.below {
		first, more := p.glyphs.branch, p.glyphs.trunk
		if i == len(n.below)-1 {
			first, more = p.glyphs.last, p.glyphs.blank
		}
		rest := prefix + more
		if len(child.below) > 0 {
			// The trunk of the children goes on beside a line that is broken.
			rest += p.glyphs.trunk
		} else {
			rest += p.glyphs.blank
		}
		lines = append(lines, child.line(p, width, prefix+first, rest, columns)...)
		lines = append(lines, children(child, p, width, prefix+more)...)
	}
	return lines
}

// align gives the widths of columns: those of the widest cells that others follow.
func align(nodes []*node) []int {
	var columns []int
	for _, n := range nodes {
		for i, cell := range n.cells {
			if i == len(n.cells)-1 {
				break
			}
			if i == len(columns) {
				columns = append(columns, 0)
			}
			columns[i] = max(columns[i], cell.width())
		}
	}
	return columns
}

// gap is between columns.
const gap = "  "

// line gives the node's own lines: one, or several where it is broken.
func (n *node) line(p palette, width int, first, rest string, columns []int) []string {
	head, used := first, ansi.StringWidth(first)
	for i, cell := range n.cells[:max(0, len(n.cells)-1)] {
		wide := cell.width()
		if i < len(columns) {
			wide = columns[i]
		}
		head += cell.paint(p) + strings.Repeat(" ", wide-cell.width()) + gap
		used += wide + len(gap)
	}
	last := n.cells[len(n.cells)-1]
	const least = 24
	if width == 0 || used+last.width() <= width || width-ansi.StringWidth(rest) < least {
		return []string{strings.TrimRight(head+last.paint(p), " ")}
	}
	indent, lines := used, []string{}
	margin := rest + strings.Repeat(" ", max(0, used-ansi.StringWidth(rest)))
	if width-used < least {
		// Little room is left beside the other cells, more below them.
		lines = append(lines, strings.TrimRight(head, " "))
		indent, head, margin = ansi.StringWidth(rest), rest, rest
	}
	for _, piece := range last.wrap(width - indent) {
		lines = append(lines, strings.TrimRight(head+piece.paint(p), " "))
		head = margin
	}
	return lines
}
