package docs_test

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/promql"
	"github.com/weighlock/weighlock/analysis/template"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// blocks are the blocks of YAML in a page that quote no file.
func blocks(t *testing.T, page string) []string {
	t.Helper()
	var texts []string
	last := ""
	for line, block := range lines(t, page) {
		if !strings.HasSuffix(block, " yaml") {
			continue
		}
		if block != last {
			texts, last = append(texts, ""), block
		}
		texts[len(texts)-1] += line + "\n"
	}
	return texts
}

func TestMetrics_ExamplesMakeSense(t *testing.T) {
	templates := map[string]*v1alpha1.AnalysisTemplate{}
	var specs []v1alpha1.Analysis
	for _, text := range blocks(t, "metrics.md") {
		if strings.HasPrefix(text, "apiVersion:") {
			read := &v1alpha1.AnalysisTemplate{}
			if err := yaml.UnmarshalStrict([]byte(text), read); err != nil {
				t.Errorf("%v in\n%s", err, text)
			}
			templates[read.Name] = read
			continue
		}
		var read struct{ Analysis v1alpha1.Analysis }
		if err := yaml.UnmarshalStrict([]byte(text), &read); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		specs = append(specs, read.Analysis)
	}
	if len(specs) < 5 || len(templates) == 0 {
		t.Fatalf("found %d analyses and %d templates", len(specs), len(templates))
	}
	for _, spec := range specs {
		resolved, err := template.Resolve(spec, func(name string) (*v1alpha1.AnalysisTemplate, error) { return templates[name], nil })
		if err != nil {
			t.Error(err)
			continue
		}
		criteria, err := analysis.ParseCriteria(resolved.Analysis)
		if err != nil {
			t.Error(err)
			continue
		}
		fills(t, criteria)
	}
}

// fills puts values into all PromQL of criteria.
func fills(t *testing.T, criteria *analysis.Criteria) {
	t.Helper()
	track := map[string]string{"namespace": "shop", "port": "80", "service": "a", "workload": "b"}
	tracks := map[string]string{
		"namespace": "shop", "port": "80", "incumbent.service": "a", "incumbent.workload": "b", "candidate.service": "c", "candidate.workload": "d",
	}
	for _, ratio := range criteria.Ratios {
		for _, text := range []string{ratio.Bad, ratio.Total} {
			if _, err := promql.Fill(text, track); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	for _, threshold := range criteria.Thresholds {
		if _, err := promql.Fill(threshold.Expression, tracks); err != nil {
			t.Errorf("%s: %v", threshold.Expression, err)
		}
	}
}

// TestMetrics_PassTakesAsManyRequestsAsThePageSays holds the column of the table where none fails to the engine.
func TestMetrics_PassTakesAsManyRequestsAsThePageSays(t *testing.T) {
	rows := 0
	for line := range strings.Lines(prose(t, "metrics.md")) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		want, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(cells[2]), ",", ""), 64)
		if err != nil {
			continue
		}
		rows++
		slo := strings.TrimSpace(cells[1])
		if got := untilPass(t, slo); math.Abs(got-want) > 0.05*want {
			t.Errorf("an SLO of %s takes %.0f requests, and the page says %.0f", slo, got, want)
		}
	}
	if rows < 3 {
		t.Errorf("found %d rows of the table", rows)
	}
}

// untilPass returns after how many requests that all succeed, each answered by an incumbent's that does, there is a Pass.
func untilPass(t *testing.T, slo string) float64 {
	t.Helper()
	criteria, err := analysis.ParseCriteria(v1alpha1.Analysis{
		Errors:  &v1alpha1.ErrorAnalysis{SLO: slo},
		Latency: &v1alpha1.LatencyAnalysis{DryRun: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	engine := analysis.NewEngine(criteria, analysis.NewCalibrator(criteria).Past())
	engine.Enter(analysis.Stage{Share: 0.5, Random: true})
	start, requests, size := time.Unix(1700000000, 0), 0.0, 10.0
	for requests < 1e6 {
		counts := analysis.Counts{Requests: size}
		from := start
		start = start.Add(time.Second)
		engine.Add(&analysis.Block{From: from, At: start, Paired: true, Incumbent: counts, Candidate: counts}, true)
		requests += size
		if engine.Verdict().Outcome == v1alpha1.OutcomePass {
			return requests
		}
		size = math.Max(10, math.Floor(requests/100))
	}
	t.Fatalf("no Pass: %s", engine.Verdict().Message)
	return 0
}
