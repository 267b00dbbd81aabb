package analysis_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func counts(requests, errors float64) analysis.Counts {
	return analysis.Counts{Requests: requests, Errors: errors}
}

// timed has buckets at 100ms, 250ms, 500ms and 1s, from how many requests fell into each and beyond.
func timed(parts ...float64) analysis.Counts {
	edges := []time.Duration{100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, analysis.Unbounded}
	var c analysis.Counts
	for i, part := range parts {
		c.Requests += part
		c.Buckets = append(c.Buckets, analysis.Bucket{UpperEdge: edges[i], Count: c.Requests})
	}
	return c
}

func latency(quantile string, threshold time.Duration) *v1alpha1.LatencyAnalysis {
	return &v1alpha1.LatencyAnalysis{Quantile: quantile, Threshold: &metav1.Duration{Duration: threshold}}
}

type judged struct {
	name      string
	criteria  v1alpha1.Analysis
	candidate analysis.Counts
	incumbent analysis.Counts
	want      v1alpha1.Outcome
	message   string
}

func checkJudged(t *testing.T, cases []judged) {
	t.Helper()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			verdict, err := analysis.Threshold{}.Judge(test.criteria, analysis.Measurement{
				Candidate: test.candidate, Incumbent: test.incumbent, Since: start, Latest: start.Add(2 * time.Minute),
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(analysis.Verdict{Outcome: test.want, Message: test.message}, verdict); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThreshold_JudgesErrorsByTheSLO(t *testing.T) {
	const pass, fail, open = v1alpha1.OutcomePass, v1alpha1.OutcomeFail, v1alpha1.OutcomeInconclusive
	slo := func(slo string) v1alpha1.Analysis {
		return v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{SLO: slo}}
	}
	checkJudged(t, []judged{
		{
			"above",
			v1alpha1.Analysis{},
			counts(480, 25), counts(9120, 9), fail,
			"error rate 5.2% of 480 requests breaks the SLO of 99% (incumbent: 0.099% of 9,120)",
		},
		{
			"exactly at",
			v1alpha1.Analysis{},
			counts(100, 1), counts(900, 0), pass,
			"error rate 1% of 100 requests keeps the SLO of 99% (incumbent: 0% of 900)",
		},
		{
			"exactly at a decimal one", slo("99.9"), counts(3000, 3), counts(0, 0), pass,
			"error rate 0.1% of 3,000 requests keeps the SLO of 99.9% (incumbent: no requests)",
		},
		{
			"above by a hair",
			v1alpha1.Analysis{},
			counts(100_000, 1001), counts(1_000_000, 10_000), fail,
			"error rate 1.001% of 100,000 requests breaks the SLO of 99% (incumbent: 1% of 1,000,000)",
		},
		{
			"one request short",
			v1alpha1.Analysis{},
			counts(99, 1), counts(900, 0), open,
			"error rate 1% of 99 requests so far (incumbent: 0% of 900): 1 more request is needed, in about 2 s at the present rate",
		},
		{
			"thin traffic",
			v1alpha1.Analysis{MinRequests: 1000},
			counts(80, 0), counts(900, 0), open,
			"error rate 0% of 80 requests so far (incumbent: 0% of 900): 920 more requests are needed, in about 23 minutes at the present rate",
		},
		{
			"all failing, a few requests",
			v1alpha1.Analysis{},
			counts(3, 3), counts(900, 0), fail,
			"3 of 3 requests failed, more than the SLO of 99% allows in 100 (incumbent: 0% of 900)",
		},
		{
			"one early failure",
			v1alpha1.Analysis{},
			counts(1, 1), counts(900, 0), open,
			"error rate 100% of 1 requests so far (incumbent: 0% of 900): 99 more requests are needed, in about 4 hours at the present rate",
		},
		{
			"the incumbent fails as much",
			v1alpha1.Analysis{},
			counts(500, 50), counts(9000, 810), open,
			"error rate 10% of 500 requests breaks the SLO of 99%, but so does the incumbent's (9% of 9,000): a shared incident convicts nobody",
		},
		{
			"the incumbent fails too, but less",
			v1alpha1.Analysis{},
			counts(500, 60), counts(9000, 810), fail,
			"error rate 12% of 500 requests breaks the SLO of 99% (incumbent: 9% of 9,000)",
		},
		{
			"an incumbent with too few requests excuses nothing",
			v1alpha1.Analysis{},
			counts(500, 50), counts(1, 1), fail,
			"error rate 10% of 500 requests breaks the SLO of 99% (incumbent: 100% of 1)",
		},
		{
			"no requests",
			v1alpha1.Analysis{},
			counts(0, 0), counts(900, 1), open,
			"no requests of the candidate yet (incumbent: 0.11% of 900): 100 are needed",
		},
		{
			"an SLO of nothing", slo("0"), counts(100, 100), counts(0, 0), pass,
			"error rate 100% of 100 requests keeps the SLO of 0% (incumbent: no requests)",
		},
	})
}

func TestThreshold_JudgesLatencyAtTheEdgesOfTheHistogram(t *testing.T) {
	const pass, fail, open = v1alpha1.OutcomePass, v1alpha1.OutcomeFail, v1alpha1.OutcomeInconclusive
	good := timed(9900, 100, 0, 0, 0)
	errorsPass := func(requests string) string {
		return "error rate 0% of " + requests + " requests keeps the SLO of 99% (incumbent: 0% of 10,000)"
	}
	with := func(quantile string, threshold time.Duration) v1alpha1.Analysis {
		return v1alpha1.Analysis{Latency: latency(quantile, threshold)}
	}
	checkJudged(t, []judged{
		{
			"within, at an edge", with("", 500*time.Millisecond), timed(500, 494, 0, 6, 0), good, pass,
			errorsPass("1,000") + "; p99 of 1,000 requests is within 500ms (p99 about 249ms of 1,000; incumbent: about 100ms of 10,000)",
		},
		{
			"above, at an edge", with("p99", 500*time.Millisecond), timed(500, 480, 0, 0, 20), good, fail,
			"2% of 1,000 requests took longer than 500ms, and p99 allows 1% (p99 beyond 1s of 1,000; incumbent: about 100ms of 10,000)",
		},
		{
			"within, between edges", with("p95", 300*time.Millisecond), timed(500, 480, 20, 0, 0), good, pass,
			errorsPass("1,000") + "; p95 of 1,000 requests is within 300ms (p95 about 241ms of 1,000; incumbent: about 96ms of 10,000)",
		},
		{
			"above, between edges", with("p95", 300*time.Millisecond), timed(500, 400, 0, 100, 0), good, fail,
			"10% of 1,000 requests took longer than 300ms, and p95 allows 5% (p95 about 750ms of 1,000; incumbent: about 96ms of 10,000)",
		},
		{
			"can't be told between edges", with("p95", 300*time.Millisecond), timed(500, 400, 100, 0, 0), good, open,
			"p95 lies between the histogram's edges 250ms and 500ms, and so does the threshold of 300ms: make it one of the edges",
		},
		{
			"beyond the last edge", with("p99", 2*time.Second), timed(1000, 0, 0, 0, 0), good, open,
			"the latency threshold of 2s is beyond the histogram's last edge (1s): lower the one or raise the other",
		},
		{
			"below the first edge", with("p99", 50*time.Millisecond), timed(1000, 0, 0, 0, 0), good, open,
			"the latency threshold of 50ms is below the histogram's first edge (100ms): what is faster can't be told apart",
		},
		{
			"slow from the start", with("p99", 500*time.Millisecond), timed(5, 0, 0, 4, 0), good, fail,
			"4 of 9 requests took longer than 500ms, more than p99 allows in 100 (p99 about 989ms of 9; incumbent: about 100ms of 10,000)",
		},
		{
			"the incumbent is as slow", with("p50", 500*time.Millisecond), timed(100, 0, 0, 200, 0), timed(1000, 0, 0, 2000, 0), open,
			"67% of 300 requests took longer than 500ms, but so did the incumbent's (67% of 3,000): a shared incident convicts nobody",
		},
		{
			"no histogram", with("p99", 500*time.Millisecond), counts(300, 0), counts(900, 0), open,
			"no durations of the candidate's requests were seen: does the mesh expose a latency histogram?",
		},
	})
}

func TestThreshold_SaysThatNothingIsScraped(t *testing.T) {
	verdict, err := analysis.Threshold{}.Judge(v1alpha1.Analysis{}, analysis.Measurement{Since: start})
	if err != nil {
		t.Fatal(err)
	}
	if verdict.Outcome != v1alpha1.OutcomeInconclusive || !strings.Contains(verdict.Message, "is the mesh scraped") {
		t.Errorf("verdict is %v", verdict)
	}
}

func TestThreshold_RefusesWhatIsNoCount(t *testing.T) {
	for name, bad := range map[string]analysis.Counts{
		"NaN":                    counts(math.NaN(), 0),
		"infinite":               counts(math.Inf(1), 0),
		"negative":               counts(-1, 0),
		"more errors than all":   counts(1, 2),
		"buckets falling":        timed(5, -1, 0, 0, 0),
		"without the last one":   {Requests: 1, Buckets: []analysis.Bucket{{UpperEdge: time.Second, Count: 1}}},
		"a bucket without a sum": {Requests: 1, Buckets: []analysis.Bucket{{UpperEdge: analysis.Unbounded, Count: math.NaN()}}},
	} {
		t.Run(name, func(t *testing.T) {
			if verdict, err := (analysis.Threshold{}).Judge(v1alpha1.Analysis{}, analysis.Measurement{Candidate: bad}); err == nil {
				t.Errorf("verdict is %v, want an error", verdict)
			}
			if verdict, err := (analysis.Threshold{}).Judge(v1alpha1.Analysis{}, analysis.Measurement{Candidate: counts(500, 50), Incumbent: bad}); err == nil {
				t.Errorf("verdict with such an incumbent is %v, want an error", verdict)
			}
		})
	}
}

func TestThreshold_NamesTheFieldThatItCantRead(t *testing.T) {
	for field, criteria := range map[string]v1alpha1.Analysis{
		"spec.analysis.errors.slo":        {Errors: &v1alpha1.ErrorAnalysis{SLO: "99,5"}},
		"spec.analysis.errors.slo ":       {Errors: &v1alpha1.ErrorAnalysis{SLO: "100"}},
		"spec.analysis.errors.slo  ":      {Errors: &v1alpha1.ErrorAnalysis{SLO: "99."}},
		"spec.analysis.errors.slo   ":     {Errors: &v1alpha1.ErrorAnalysis{SLO: "-1"}},
		"spec.analysis.errors.margin":     {Errors: &v1alpha1.ErrorAnalysis{Margin: "1e3"}},
		"spec.analysis.errors.margin ":    {Errors: &v1alpha1.ErrorAnalysis{Margin: "0.5"}},
		"spec.analysis.latency.quantile":  {Latency: latency("p42", time.Second)},
		"spec.analysis.latency.margin":    {Latency: &v1alpha1.LatencyAnalysis{Margin: "99999999999999999999", Threshold: &metav1.Duration{Duration: 1}}},
		"spec.analysis.latency.threshold": {Latency: &v1alpha1.LatencyAnalysis{}},
		"spec.analysis.minRequests":       {MinRequests: -1},
	} {
		_, err := analysis.Threshold{}.Judge(criteria, analysis.Measurement{Candidate: counts(500, 0)})
		if fault, ok := errors.AsType[*analysis.FieldError](err); !ok || fault.Field != strings.TrimSpace(field) {
			t.Errorf("error is %v, want one of %s", err, field)
		}
	}
}

func TestCounts_QuantileLiesInsideItsBucket(t *testing.T) {
	c := timed(50, 40, 0, 9, 1)
	for _, test := range []struct {
		q    float64
		want time.Duration
		ok   bool
	}{
		{0, 0, true},
		{0.25, 50 * time.Millisecond, true},
		{0.5, 100 * time.Millisecond, true},
		{0.9, 250 * time.Millisecond, true},
		{0.99, time.Second, true},
		{0.995, time.Second, false},
		{1.5, 0, false},
		{math.NaN(), 0, false},
	} {
		if got, ok := c.Quantile(test.q); got != test.want || ok != test.ok {
			t.Errorf("quantile %g is %s, %t; want %s, %t", test.q, got, ok, test.want, test.ok)
		}
	}
	if got, ok := counts(5, 0).Quantile(0.5); ok {
		t.Errorf("quantile without a histogram is %s", got)
	}
}

func FuzzThreshold(f *testing.F) {
	f.Add(100.0, 1.0, 900.0, 9.0, 50.0, 30.0, int64(100), "99", "1.25")
	f.Add(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, int64(0), "", "")
	f.Add(math.NaN(), math.Inf(1), -1.0, 1e300, 1e-300, 0.5, int64(1), "99.999999", "999.9999")
	f.Fuzz(func(t *testing.T, n, bad, n0, bad0, fast, slow float64, least int64, slo, margin string) {
		criteria := v1alpha1.Analysis{
			MinRequests: least, Errors: &v1alpha1.ErrorAnalysis{SLO: slo, Margin: margin}, Latency: latency("p95", 250*time.Millisecond),
		}
		candidate := timed(fast, 0, slow, 0, 0)
		candidate.Requests, candidate.Errors = n, bad
		verdict, err := analysis.Threshold{}.Judge(criteria, analysis.Measurement{
			Candidate: candidate, Incumbent: counts(n0, bad0), Since: start, Latest: start.Add(time.Minute),
		})
		switch {
		case err != nil:
			return
		case strings.Contains(verdict.Message, "NaN"), strings.Contains(verdict.Message, "Inf"), verdict.Message == "":
			t.Errorf("message is %q", verdict.Message)
		case verdict.Outcome == v1alpha1.OutcomePass && (n == 0 || n < float64(least) || fast+slow < float64(least)):
			t.Errorf("pass of %g requests: %s", n, verdict.Message)
		case verdict.Outcome == v1alpha1.OutcomeFail && bad == 0 && slow == 0:
			t.Errorf("fail of %g good requests: %s", n, verdict.Message)
		}
	})
}
