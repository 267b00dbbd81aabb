package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Measures of the plots, in pixels.
const (
	left    = 176
	right   = 130
	top     = 76
	line    = 26
	across  = 560
	plotEnd = left + across
)

// plot is a picture with a row for each world, and a dot for each rule on a logarithmic axis.
type plot struct {
	strings.Builder
	from, to float64
}

// shades of the rules, in their order, on light and on dark ground.
const style = `
.ground{fill:#fff;stroke:#d0d7de}.grid{stroke:#d8dee4}.row{stroke:#eaeef2}.mark{stroke:#1f2328;stroke-width:2}
.rule0{fill:#1a7f4b}.rule1{fill:#b35900}.rule2{fill:#2f6fb5}.rule3{fill:#7aa7d9}.rule4{fill:#8250a8}
text{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:#1f2328;text-anchor:middle}
.start{text-anchor:start}.end{text-anchor:end}.strong{font-weight:600;font-size:13px}.small{font-size:11px}.faint{fill:#656d76}
@media(prefers-color-scheme:dark){.ground{fill:#0d1117;stroke:#30363d}.grid{stroke:#30363d}.row{stroke:#21262d}.mark{stroke:#e6edf3}text{fill:#e6edf3}.faint{fill:#8d96a0}}
`

func newPlot(title string, rows int, from, to float64, ticks map[float64]string) *plot {
	p := &plot{from: from, to: to}
	w, h := plotEnd+right, top+rows*line+34
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", w, h, w, h, title)
	fmt.Fprintf(p, "<title>%s</title>\n<style>%s</style>\n", title, style)
	fmt.Fprintf(p, `<rect x="0.5" y="0.5" width="%d" height="%d" rx="8" class="ground"/>`+"\n", w-1, h-1)
	p.text(14, 24, "start strong", title)
	for at, said := range sorted(ticks) {
		x := p.x(at)
		fmt.Fprintf(p, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="grid"/>`+"\n", x, top-10, x, top+rows*line)
		p.text(x, top+rows*line+18, "small faint", said)
	}
	x := float64(left)
	for i, rule := range rules() {
		p.dot(x, 48, i)
		p.text(x+9, 52, "start small", rule.name)
		x += 28 + 7*float64(len(rule.name))
	}
	return p
}

// sorted goes through ticks by their place, so that the picture is the same each time.
func sorted(ticks map[float64]string) func(yield func(float64, string) bool) {
	return func(yield func(float64, string) bool) {
		last := math.Inf(-1)
		for range ticks {
			next := math.Inf(1)
			for at := range ticks {
				if at > last && at < next {
					next = at
				}
			}
			if !yield(next, ticks[next]) {
				return
			}
			last = next
		}
	}
}

// x is the place of a value; what is beyond the ends of the axis stands at them.
func (p *plot) x(value float64) float64 {
	value = min(max(value, p.from), p.to)
	return left + across*math.Log(value/p.from)/math.Log(p.to/p.from)
}

func (p *plot) text(x float64, y int, class, text string) {
	text = strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(text)
	fmt.Fprintf(p, `<text x="%.1f" y="%d" class="%s">%s</text>`+"\n", x, y, class, text)
}

func (p *plot) dot(x float64, y, rule int) {
	fmt.Fprintf(p, `<circle cx="%.1f" cy="%d" r="%d" class="rule%d"/>`+"\n", x, y, 5, rule)
}

// row begins a line, and returns its height.
func (p *plot) row(i int, name string) int {
	y := top + i*line + line/2
	fmt.Fprintf(p, `<line x1="%d" y1="%d" x2="%d" y2="%d" class="row"/>`+"\n", left-30, y, plotEnd, y)
	p.text(left-40, y+4, "end", name)
	return y
}

// mark is a stroke across a row.
func (p *plot) mark(value float64, y int) {
	fmt.Fprintf(p, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="mark"/>`+"\n", p.x(value), y-8, p.x(value), y+8)
}

// dots of the rules whose values are numbers, from the last to the first, so that ours is on top. Those at the same place stand beside each other.
func (p *plot) dots(y int, values []float64) {
	taken := map[int]int{}
	for _, value := range values {
		if !math.IsNaN(value) {
			taken[int(p.x(value))]++
		}
	}
	beside := map[int]int{}
	for i, value := range slices.Backward(values) {
		if math.IsNaN(value) {
			continue
		}
		x := p.x(value)
		at := int(x)
		offset := 11 * (float64(beside[at]) - float64(taken[at]-1)/2)
		beside[at]++
		p.dot(x-offset, y, i)
	}
}

func (p *plot) close() string {
	p.WriteString("</svg>\n")
	return p.String()
}

// of are the lines of a kind.
func (r report) of(group kind) []measured {
	var some []measured
	for _, line := range r.lines {
		if line.row.group == group {
			some = append(some, line)
		}
	}
	return some
}

// drawDetection plots how soon bad candidates are rolled back.
func (r report) drawDetection() string {
	const never = 4000
	lines := r.of(bad)
	p := newPlot("Median time until a bad release is rolled back", len(lines), 1, never,
		map[float64]string{1: "1 s", 10: "10 s", 60: "1 min", 300: "5 min", 600: "10 min", 1800: "30 min", never: "never"})
	for i, line := range lines {
		y := p.row(i, line.row.short)
		values := make([]float64, len(line.results))
		for j, got := range line.results {
			middle, known := got.middle()
			switch values[j] = middle.Seconds(); {
			case got.hasty > got.runs/2:
				values[j] = math.NaN()
			case !known:
				values[j] = never
			}
		}
		// Requests of the candidate come by its share of the stage where it differs.
		rate := line.row.world.Rate * line.row.rollout.Stages[line.row.world.Candidate.Stage].Share
		p.mark(line.row.limit()/rate, y)
		p.dots(y, values)
	}
	p.text(plotEnd+16, 40, "start small faint", "stroke: Wald's")
	p.text(plotEnd+16, 54, "start small faint", "limit; no dot: rolled")
	p.text(plotEnd+16, 68, "start small faint", "back when good")
	return p.close()
}

// drawFalse plots how many good candidates are rolled back.
func (r report) drawFalse() string {
	const none = 0.0005
	lines := r.of(good)
	p := newPlot("Good releases that are rolled back", len(lines), none, 1,
		map[float64]string{none: "none", 0.001: "0.1%", 0.01: "1%", 0.03: "3%", 0.1: "10%", 0.3: "30%", 1: "100%"})
	for i, line := range lines {
		y := p.row(i, line.row.short)
		p.mark(line.row.most, y)
		values := make([]float64, len(line.results))
		for j, got := range line.results {
			values[j] = max(none, got.share(got.rolledBack))
		}
		p.dots(y, values)
	}
	p.text(plotEnd+16, 48, "start small faint", "stroke: the goal")
	return p.close()
}
