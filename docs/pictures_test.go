package docs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/workload"
)

var update = flag.Bool("update", false, "draw the pictures anew")

// TestPictures_ShowTheExamples draws the rollout of each example, and holds the pictures in images/ to it.
func TestPictures_ShowTheExamples(t *testing.T) {
	for _, name := range []string{"canary", "blue-green", "tenants", "shadow", "all"} {
		t.Run(name, func(t *testing.T) {
			spec := example(t, name)
			columns := append([]column{before()}, steps(t, spec)...)
			compare(t, name, draw("What the tracks of the example "+name+" get", append(columns, promotion()...)))
		})
	}
	t.Run("rollback", func(t *testing.T) {
		columns := append([]column{before()}, steps(t, example(t, "canary"))[:2]...)
		compare(t, "rollback", draw("What the tracks get when the second step of the example canary goes wrong", append(columns, rollback(columns[2])...)))
	})
	t.Run("life", func(t *testing.T) { compare(t, "life", drawLife()) })
}

// pods is the size of the workload in the pictures, as the examples have it.
const pods = 3

// column is one state: what each track gets, and runs.
type column struct {
	head, sub      string
	workload, copy lane
}

type lane struct {
	// share of the users' requests, and of copies of them, in percent.
	share, shadow float64
	// label in the place of the share.
	label string
	// version that the pods run, by its color: old, new, or roll for both.
	version string
	// pods is what is said of them.
	pods string
	// matched says that the share isn't known: it is what a match takes.
	matched bool
}

func said(n int32) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

func before() column {
	return column{head: "before", workload: lane{share: 100, version: "old", pods: said(pods)}, copy: lane{label: "none"}}
}

// promotion is the same for each strategy.
func promotion() []column {
	none := lane{version: "new", pods: said(pods)}
	whole := lane{share: 100, version: "new", pods: said(pods)}
	idle := lane{version: "old", pods: said(pods)}
	rolls := lane{version: "roll", pods: "rolls", label: "rolls"}
	return []column{
		{head: "1. copy", sub: "takes all", workload: idle, copy: whole},
		{head: "2. workload", sub: "rolls", workload: rolls, copy: whole},
		{head: "3. traffic", sub: "returns", workload: whole, copy: none},
		{head: "after", workload: whole, copy: lane{label: "gone"}},
	}
}

// rollback is what follows a bad verdict in a step.
func rollback(step column) []column {
	whole := lane{share: 100, version: "old", pods: said(pods)}
	held := whole
	held.pods = "held"
	return []column{
		{head: "bad numbers", sub: "at once", workload: whole, copy: lane{version: "new", pods: step.copy.pods}},
		{head: "after", sub: "abortDelay", workload: held, copy: lane{label: "gone"}},
	}
}

// example reads the spec of an example's Rollout.
func example(t *testing.T, name string) v1alpha1.RolloutSpec {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "examples", name, "git", "rollout.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var r v1alpha1.Rollout
	if err := yaml.UnmarshalStrict(text, &r); err != nil {
		t.Fatal(err)
	}
	return r.Spec
}

// steps are the columns of a Rollout's steps.
func steps(t *testing.T, spec v1alpha1.RolloutSpec) []column {
	t.Helper()
	var columns []column
	total := spec.TotalWeight
	if total == 0 {
		total = 100
	}
	for i, step := range spec.Steps {
		c := column{
			head: step.Name, sub: "weight 0",
			workload: lane{share: 100, version: "old", pods: said(pods)},
			copy:     lane{version: "new", pods: said(sizeIn(t, spec, i))},
		}
		switch {
		case len(step.Match) > 0:
			c.sub, c.copy.matched, c.workload.label = "match", true, "the rest"
			header := step.Match[0].Headers[0]
			c.copy.label = header.Exact + header.Regex
		case step.Shadow != nil:
			c.sub, c.copy.shadow = fmt.Sprintf("shadow %d%%", *step.Shadow), float64(*step.Shadow)
		case step.Weight != nil:
			c.copy.share = float64(*step.Weight) * 100 / float64(total)
			c.workload.share = 100 - c.copy.share
			c.sub = "weight " + percent(c.copy.share)
		}
		columns = append(columns, c)
	}
	return columns
}

// sizeIn asks the core for the size of the candidate in a step: what it scales one to that is far too large.
func sizeIn(t *testing.T, spec v1alpha1.RolloutSpec, index int) int32 {
	t.Helper()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	steps := append([]v1alpha1.Step(nil), spec.Steps...)
	steps[index].Hold, steps[index].Deadline = &metav1.Duration{Duration: time.Hour}, nil
	spec.Steps = steps
	track := func(revision string, replicas int32) *workload.State {
		return &workload.State{
			Template: workload.Template{Revision: revision}, Running: []string{revision}, Replicas: replicas, Ready: replicas,
			Served: true, Adopted: true, Rolled: true, Permitted: true, Protected: true,
		}
	}
	held := track("a", pods)
	held.Template.Revision, held.Paused, held.Held, held.Rolled = "b", true, true, false
	plan := rollout.PlanFor(rollout.Snapshot{
		Spec: spec,
		Observation: workload.Observation{
			Workload: held, Copies: map[string]*workload.State{"b": track("b", 100)}, HeldByAdmission: true,
			Records: map[string]workload.Record{"a": {}, "b": {}},
		},
		Route: rollout.Route{
			Exists: true, Taken: true, TakenAt: now, WrittenAt: now, Holds: func(rollout.Traffic) bool { return true },
			Progress: &rollout.Progress{Phase: rollout.PhaseStep, Incumbent: "a", Candidate: "b", Step: index},
		},
	}, now)
	for _, action := range plan.Actions {
		if scale, is := action.(rollout.Scale); is && scale.Revision == "b" {
			return scale.Replicas
		}
	}
	t.Fatalf("step %d: the core does not size the candidate: %v (%s)", index, plan.Actions, plan.Why)
	return 0
}

func percent(share float64) string {
	return strconv.FormatFloat(share, 'f', -1, 64) + "%"
}

// compare holds a picture to what was drawn, or writes it.
func compare(t *testing.T, name, drawn string) {
	t.Helper()
	path := filepath.Join("images", name+".svg")
	if *update {
		if err := os.WriteFile(path, []byte(drawn), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	there, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(there) != drawn {
		t.Errorf("%s is not up to date: run go test ./docs -update", path)
	}
}

// The measures of a picture, in pixels.
const (
	left, top     = 104, 64
	width, gap    = 96, 4
	height, under = 96, 22
	between       = 44
)

// draw makes the picture of a rollout: a lane for each track, a column for each state.
func draw(title string, columns []column) string {
	var p picture
	w, second := left+len(columns)*width+16, top+height+between
	p.open(w, second+height+under+52, title)
	p.text(12, top+height/2, "start strong", "workload")
	p.text(12, second+height/2, "start strong", "copy")
	for i, c := range columns {
		x := left + i*width
		p.text(x+(width-gap)/2, top-30, "strong small", c.head)
		p.text(x+(width-gap)/2, top-14, "small", c.sub)
		p.lane(x, top, c.workload)
		p.lane(x, second, c.copy)
	}
	y := second + height + under + 24
	p.legend(left, y, "old", "old version")
	p.legend(left+130, y, "new", "new version")
	p.text(left+260, y+10, "start small", "height: share of the users' requests")
	if slices.ContainsFunc(columns, func(c column) bool { return c.copy.shadow > 0 }) {
		p.legend(left+500, y, "copies", "copies of requests, replies dropped")
	}
	return p.close()
}

// lane draws what one track gets in one state.
func (p *picture) lane(x, y int, l lane) {
	w, middle := width-gap, x+(width-gap)/2
	p.rect(x, y, w, height, "lane")
	if l.version == "" {
		p.text(middle, y+height/2+4, "faint small", l.label)
		return
	}
	filled := func(share float64) int { return max(3, int(share*height/100+0.5)) }
	switch {
	case l.matched:
		names := strings.Split(l.label, "|")
		p.rect(x, y+height-14*len(names)-8, w, 14*len(names)+8, l.version)
		p.text(middle, y+height-14*len(names)-14, "tiny", "requests of")
		for i, name := range names {
			p.text(middle, y+height-14*(len(names)-i)+8, "inside small", name)
		}
	case l.shadow > 0:
		p.rect(x, y+height-filled(l.shadow), w, filled(l.shadow), "copies")
		p.rect(middle-24, y+height/2+12, 48, 18, "lane")
		p.text(middle, y+height/2+25, "small", percent(l.shadow))
	case l.version == "roll":
		p.rect(x, y+height-3, w/2, 3, "old")
		p.rect(x+w/2, y+height-3, w-w/2, 3, "new")
		p.text(middle, y+height-10, "small", "0%")
	case l.share == 0:
		p.rect(x, y+height-3, w, 3, l.version)
		p.text(middle, y+height-10, "small", "0%")
	default:
		p.rect(x, y+height-filled(l.share), w, filled(l.share), l.version)
		label, class, at := l.label, "inside small", y+height-filled(l.share)/2+4
		if label == "" {
			label = percent(l.share)
		}
		if filled(l.share) < 20 {
			class, at = "small", y+height-filled(l.share)-5
		}
		p.text(middle, at, class, label)
	}
	p.text(middle, y+height+15, "tiny", l.pods)
}

// picture is an SVG in the making.
type picture struct{ strings.Builder }

// style is the same for all. A picture has a ground of its own, so that it can be read wherever it stands.
const style = `
.ground{fill:#fff;stroke:#d0d7de}.lane{fill:#f3f5f7}.old{fill:#2f6fb5}.new{fill:#1a7f4b}.paused{fill:#b35900}.mixed{fill:url(#roll)}.copies{fill:url(#dots)}
text{font:13px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:#1f2328;text-anchor:middle}
.start{text-anchor:start}.end{text-anchor:end}.strong{font-weight:600}.small{font-size:11.5px}.tiny{font-size:10.5px}.faint{fill:#656d76}.inside{fill:#fff}
.dot{fill:#1a7f4b}.gapfill{fill:#d9efe2}
@media(prefers-color-scheme:dark){.ground{fill:#0d1117;stroke:#30363d}.lane{fill:#1b222b}text{fill:#e6edf3}.faint{fill:#8d96a0}.inside{fill:#fff}.gapfill{fill:#123524}}
`

func (p *picture) open(w, h int, title string) {
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", w, h, w, h, title)
	fmt.Fprintf(p, "<title>%s</title>\n<style>%s</style>\n", title, style)
	p.WriteString(`<defs><pattern id="dots" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
		`<rect width="8" height="8" class="gapfill"/><rect width="3" height="8" class="dot"/></pattern>` +
		`<pattern id="roll" width="16" height="16" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
		`<rect width="8" height="16" class="old"/><rect x="8" width="8" height="16" class="new"/></pattern></defs>` + "\n")
	fmt.Fprintf(p, `<rect x="0.5" y="0.5" width="%d" height="%d" rx="8" class="ground"/>`+"\n", w-1, h-1)
}

func (p *picture) close() string {
	p.WriteString("</svg>\n")
	return p.String()
}

func (p *picture) rect(x, y, w, h int, class string) {
	fmt.Fprintf(p, `<rect x="%d" y="%d" width="%d" height="%d" class="%s"/>`+"\n", x, y, w, h, class)
}

func (p *picture) text(x, y int, class, text string) {
	if text != "" {
		fmt.Fprintf(p, `<text x="%d" y="%d" class="%s">%s</text>`+"\n", x, y, class, text)
	}
}

func (p *picture) legend(x, y int, class, text string) {
	p.rect(x, y, 12, 12, class)
	p.text(x+18, y+10, "start small", text)
}

// drawLife makes the picture of a workload's life from one promotion to the next.
func drawLife() string {
	const w, h, cell = 108, 34, 6
	heads := [][2]string{{"idle", ""}, {"a commit", ""}, {"the steps", ""}, {"1. copy", "takes all"}, {"2. workload", "rolls"}, {"3. traffic", "returns"}, {"idle", ""}}
	rows := []struct {
		name  string
		cells [7]string // the class of a cell, and what is said in it
	}{
		{"template in git", [7]string{"old 1", "new 2", "new 2", "new 2", "new 2", "new 2", "new 2"}},
		{"spec.paused", [7]string{"lane no", "paused yes", "paused yes", "paused yes", "lane no", "lane no", "lane no"}},
		{"the workload's pods", [7]string{"old 1", "old 1", "old 1", "old 1", "mixed 1 and 2", "new 2", "new 2"}},
		{"the copy's pods", [7]string{"lane none", "new start", "new 2", "new 2", "new 2", "new drain", "lane none"}},
		{"users get", [7]string{"old 1", "old 1", "mixed 1 and 2", "new 2", "new 2", "new 2", "new 2"}},
		{"from the", [7]string{"lane workload", "lane workload", "lane both", "lane copy", "lane copy", "lane workload", "lane workload"}},
	}
	var p picture
	from := 160
	p.open(from+len(heads)*w+16, top+len(rows)*(h+cell)+36, "A workload from one version to the next")
	for i, head := range heads {
		p.text(from+i*w+w/2, top-30, "strong small", head[0])
		p.text(from+i*w+w/2, top-14, "small", head[1])
	}
	for r, row := range rows {
		y := top + r*(h+cell)
		p.text(12, y+h/2+4, "start strong small", row.name)
		for i, c := range row.cells {
			class, text, _ := strings.Cut(c, " ")
			p.rect(from+i*w, y, w-gap, h, class)
			inside := "inside small"
			if class == "lane" {
				inside = "small"
			}
			p.text(from+i*w+(w-gap)/2, y+h/2+4, inside, text)
		}
	}
	y := top + len(rows)*(h+cell) + 8
	p.legend(from, y, "old", "version 1")
	p.legend(from+110, y, "new", "version 2")
	p.legend(from+220, y, "paused", "held: a new template starts no pod")
	return p.close()
}
