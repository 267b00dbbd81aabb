package forecast_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/forecast"
	"github.com/weighlock/weighlock/analysis/simulation"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

const head = `apiVersion: weighlock.dev/v1alpha1
kind: Rollout
metadata: {name: checkout}
spec:
  workload: {kind: Deployment, name: checkout}
  service: {name: checkout, port: 8080}
  router:
  - smi: {}
`

func read(t *testing.T, rest string) *v1alpha1.Rollout {
	t.Helper()
	rollout, err := forecast.Read(strings.NewReader(head+rest), "")
	if err != nil {
		t.Fatal(err)
	}
	return rollout
}

func service() forecast.Service {
	return forecast.Service{
		Rate: 200, Scrape: 5 * time.Second, Errors: 0.001, Latency: simulation.LatencyOf(40*time.Millisecond, 300*time.Millisecond),
		Matched: 0.05, BadErrors: 0.05,
	}
}

func made(t *testing.T, rest string, service forecast.Service) *forecast.Forecast {
	t.Helper()
	f, err := forecast.Make(read(t, rest), service, 1)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMake_TellsOfEachStep(t *testing.T) {
	t.Parallel()
	f := made(t, `
  steps:
  - {name: first, weight: 10, hold: 3m}
  - {name: half, weight: 50, approval: {}}
  - {name: look, weight: 0, replicas: 1, hold: 1m}
  analysis: {}
`, service())
	if len(f.Steps) != 3 || f.Approvals != 1 || f.RolledBack > 0.05 {
		t.Fatalf("the forecast is %+v", f)
	}
	first, half, look := f.Steps[0], f.Steps[1], f.Steps[2]
	if first.Good.Median < 180 || first.Good.Median > 240 || first.Good.Most < first.Good.Median {
		t.Errorf("a good release stays for %+v in a step that holds for three minutes", first.Good)
	}
	if first.Traffic != "10%" || !half.Approval || look.Weighed || look.Good.Median < 60 || look.Errors != nil || look.Bad != nil {
		t.Errorf("the steps are %+v", f.Steps)
	}
	if first.Errors == nil || first.Errors.To <= 0.001 || first.Errors.To > 0.02 || first.Errors.After <= 0 {
		t.Errorf("errors are found by %+v", first.Errors)
	}
	if first.Latency == nil || first.Latency.To < 1.1 || first.Latency.To > 2 {
		t.Errorf("slowness is found by %+v", first.Latency)
	}
	if first.Bad == nil || first.Bad.Missed > 0 || first.Bad.After.Median > 40 || first.Bad.Requests < 5 || first.Bad.Requests > 40 {
		t.Errorf("a bad release does %+v", first.Bad)
	}
	if half.Bad.Requests <= first.Bad.Requests {
		t.Errorf("with half of the traffic %d requests fail, with a tenth %d", half.Bad.Requests, first.Bad.Requests)
	}
	if diff := cmp.Diff(*first.Bad, f.Bad); diff != "" {
		t.Errorf("a release that is bad from the start is not judged in the first step: %s", diff)
	}
}

func TestMake_IsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	const rest = "  steps: [{weight: 20}]\n  analysis: {}\n"
	a, b := made(t, rest, service()), made(t, rest, service())
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("the second time differs: %s", diff)
	}
}

func TestMake_HurtsNobodyWithCopies(t *testing.T) {
	t.Parallel()
	f := made(t, "  steps: [{shadow: 50}]\n  analysis: {}\n", service())
	if bad := f.Steps[0].Bad; bad.Requests != 0 || bad.After.Median <= 0 || f.Steps[0].Traffic != "copies of 50%" {
		t.Errorf("a bad release that gets copies does %+v", bad)
	}
}

// Tenants are no random sample: their errors are held against the SLO, and latency has no say.
func TestMake_HoldsChosenRequestsAgainstTheSLO(t *testing.T) {
	t.Parallel()
	f := made(t, "  steps: [{match: [{headers: [{name: x-tenant, exact: acme}]}]}]\n  analysis: {}\n", service())
	step := f.Steps[0]
	if step.Traffic != "matched requests" || step.Latency != nil || step.Errors == nil || step.Errors.To <= 0.01 {
		t.Errorf("the step is %+v, errors are found by %+v", step, step.Errors)
	}
}

func TestMake_SaysWhenTheServiceMissesTheSLOAlready(t *testing.T) {
	t.Parallel()
	ill := service()
	ill.Errors = 0.04
	f := made(t, "  steps: [{weight: 100}, {weight: 50}]\n  analysis: {}\n", ill)
	if f.RolledBack < 0.95 || f.Steps[0].RolledBack < 0.95 {
		t.Errorf("%v of the good releases are rolled back, %v in the first step", f.RolledBack, f.Steps[0].RolledBack)
	}
	var out strings.Builder
	if err := f.Write(&out); err != nil || !strings.Contains(out.String(), "is rolled back") || !strings.Contains(out.String(), "never gets here") {
		t.Errorf("it is told as (%v):\n%s", err, out.String())
	}
}

func TestMake_WeighsNothingWithoutAnalysis(t *testing.T) {
	t.Parallel()
	f := made(t, "  steps: [{weight: 20, hold: 5m}]\n", service())
	if step := f.Steps[0]; step.Weighed || step.Good.Median < 300 || f.Bad.Missed != 1 {
		t.Errorf("the forecast is %+v", f)
	}
	var out strings.Builder
	if err := f.Write(&out); err != nil || !strings.Contains(out.String(), "is not found") {
		t.Errorf("it is told as (%v):\n%s", err, out.String())
	}
}

func TestMake_NotesWhatItTakesForGood(t *testing.T) {
	t.Parallel()
	f := made(t, `
  steps: [{weight: 20}]
  analysis:
    metrics: [{name: queue, threshold: {query: "sum(queue_length)", max: "10"}}]
    templates: [{name: carts}]
`, service())
	if got := strings.Join(f.Notes, "; "); !strings.Contains(got, "queue") || !strings.Contains(got, "carts") {
		t.Errorf("the notes are %q", got)
	}
}

func TestMake_RefusesWhatItCannotWorkWith(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rest   string
		change func(*forecast.Service)
		field  string
	}{
		"no traffic":         {"  steps: [{weight: 20}]\n", func(s *forecast.Service) { s.Rate = 0 }, ""},
		"scrapes":            {"  steps: [{weight: 20}]\n", func(s *forecast.Service) { s.Scrape = 0 }, ""},
		"a better bad one":   {"  steps: [{weight: 20}]\n", func(s *forecast.Service) { s.BadErrors = s.Errors }, ""},
		"no latency":         {"  steps: [{weight: 20}]\n", func(s *forecast.Service) { s.Latency = simulation.Latency{} }, ""},
		"nobody matched":     {"  steps: [{weight: 20}]\n", func(s *forecast.Service) { s.Matched = 0 }, ""},
		"a weight too large": {"  steps: [{weight: 20}, {weight: 120}]\n", nil, "spec.steps[1].weight"},
		"a shadow too large": {"  steps: [{shadow: 120}]\n", nil, "spec.steps[0].shadow"},
		"an SLO of 100%":     {"  steps: [{weight: 20}]\n  analysis: {errors: {slo: \"101\"}}\n", nil, "spec.analysis.errors.slo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := service()
			if test.change != nil {
				test.change(&s)
			}
			_, err := forecast.Make(read(t, test.rest), s, 1)
			var field *analysis.FieldError
			if err == nil || errors.As(err, &field) != (test.field != "") || field != nil && field.Field != test.field {
				t.Errorf("it says %v, want an error about %q", err, test.field)
			}
		})
	}
}

func TestForecast_IsToldToPeople(t *testing.T) {
	t.Parallel()
	f := &forecast.Forecast{
		BadErrors: 0.05, Approvals: 1,
		Steps: []forecast.Step{
			{
				Name: "a-tenth", Traffic: "10%", Weighed: true, Approval: true, Good: forecast.Spread{Median: 75, Most: 600},
				Errors: &forecast.Regression{To: 0.005, After: 150}, Latency: &forecast.Regression{To: 1.25, After: 3 * 3600},
				Bad: &forecast.Harm{After: forecast.Spread{Median: 52, Most: 70}, Requests: 22, Missed: 0.05},
			},
			{Traffic: "none", Good: forecast.Spread{Median: 60, Most: 60}},
			{Traffic: "50%", Weighed: true, Good: forecast.Spread{Median: 7200, Most: 7200, Over: 0.6}, Bad: &forecast.Harm{Missed: 1}},
		},
		Good: forecast.Spread{Median: 5400, Most: 7260}, Bad: forecast.Harm{After: forecast.Spread{Median: 52}, Requests: 1},
		Notes: []string{"taken for good: queue"},
	}
	var out strings.Builder
	if err := f.Write(&out); err != nil {
		t.Fatal(err)
	}
	const want = `STEP         TRAFFIC  A GOOD RELEASE STAYS                     FINDS ERRORS FROM  FINDS SLOWNESS FROM  A BAD RELEASE (5% ERRORS)
1/3 a-tenth  10%      75s (95%: 10m), then waits for a person  0.5%, after 2m30s  x1.25, after 3h      is back after 52s, fails 22 requests; 5% are not found
2/3          none     60s                                      not weighed        not weighed          not weighed
3/3          50%      longer than 2h                           none               none                 is not found

A good release takes 1h30m (95%: 2h1m) for all steps, and the time for which it waits for a person at 1 of them.
One that fails 5% of its requests from the start is back after 52s, fails 1 request.
Note: taken for good: queue.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestForecast_IsToldToMachines(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(made(t, "  steps: [{weight: 20, hold: 5m}]\n", service()))
	if err != nil || !strings.Contains(string(text), `"medianSeconds":30`) {
		t.Errorf("it is %s (%v)", text, err)
	}
}
