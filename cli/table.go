package cli

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// table lays out rows in columns, as kubectl does.
type table struct{ rows [][]text }

// head adds the line that names the columns.
func (t *table) head(names ...string) {
	row := make([]text, len(names))
	for i, name := range names {
		row[i] = painted(faint, name)
	}
	t.add(row...)
}

// add adds a row.
func (t *table) add(cells ...text) { t.rows = append(t.rows, cells) }

// lines draws the table. What is longer than width columns is cut; a width of zero cuts nothing.
func (t *table) lines(p palette, width int) []string {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], cell.width())
		}
	}
	lines := make([]string, 0, len(t.rows))
	for _, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell.paint(p))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-cell.width()+3))
			}
		}
		line := strings.TrimRight(b.String(), " ")
		if width > 0 {
			line = ansi.Truncate(line, width, "…")
		}
		lines = append(lines, line)
	}
	return lines
}
