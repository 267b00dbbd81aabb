package analysis_test

import (
	"math"
	"testing"
	"time"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// steady makes the same block over and over: requests and errors of both tracks, and how many of each took 60 ms rather than 20.
type steady struct {
	candidate, failed, slow                   float64
	incumbent, incumbentFailed, incumbentSlow float64
}

func (s steady) block(at time.Time) *analysis.Block {
	counts := func(requests, failed, slow float64) analysis.Counts {
		return analysis.Counts{Requests: requests, Errors: failed, Buckets: []analysis.Bucket{
			{UpperEdge: 10 * time.Millisecond},
			{UpperEdge: 25 * time.Millisecond, Count: requests - slow},
			{UpperEdge: 50 * time.Millisecond, Count: requests - slow},
			{UpperEdge: 100 * time.Millisecond, Count: requests},
			{UpperEdge: analysis.Unbounded, Count: requests},
		}}
	}
	return &analysis.Block{
		From: at.Add(-15 * time.Second), At: at, Paired: true,
		Candidate: counts(s.candidate, s.failed, s.slow), Incumbent: counts(s.incumbent, s.incumbentFailed, s.incumbentSlow),
	}
}

// What people read, word by word.
func TestVerdict_SaysWhy(t *testing.T) {
	t.Parallel()
	good := steady{50, 0, 1, 950, 1, 19}
	withThreshold := v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{Threshold: duration(50 * time.Millisecond)}}
	plain := v1alpha1.Analysis{}
	for _, test := range []struct {
		name    string
		spec    v1alpha1.Analysis
		stage   analysis.Stage
		blocks  []steady
		outcome v1alpha1.Outcome
		message string
	}{
		{"nothing", plain, atFive, nil, v1alpha1.OutcomeInconclusive, `no requests of either track are counted yet (should that last: do they get any, and is the mesh scraped?)`},
		{"no traffic", plain, atFive, times(3, steady{}), v1alpha1.OutcomeInconclusive, `no requests of either track are counted yet (should that last: do they get any, and is the mesh scraped?)`},
		{"none of the candidate", plain, atFive, times(2, steady{incumbent: 30}), v1alpha1.OutcomeInconclusive, `no requests of the candidate yet (incumbent: 60)`},
		{"black hole", plain, atFive, times(20, steady{incumbent: 1000}), v1alpha1.OutcomeInconclusive, `the candidate gets 0% of 19,000 requests, and 5% was asked for: is it scraped, and does the mesh follow its route?`},
		{"over-served", plain, atFive, times(40, steady{200, 0, 4, 800, 1, 16}), v1alpha1.OutcomeInconclusive, `the candidate gets 20% of 39,000 requests, and 5% was asked for: does the mesh follow its route?`},
		{"early", plain, atFive, times(3, good), v1alpha1.OutcomeInconclusive, `error rate 0% of 150 requests (incumbent: 0.11% of 2,850): about 299 more requests are needed, about 90 s at the present rate; latency (p99 about 75ms; incumbent: about 75ms): about 149 more requests are needed, about 45 s at the present rate`},
		{"almost", plain, atFive, times(8, good), v1alpha1.OutcomeInconclusive, `error rate 0% of 400 requests (incumbent: 0.11% of 7,600): about 49 more requests are needed, about 15 s at the present rate`},
		{"pass", plain, atFive, times(60, good), v1alpha1.OutcomePass, `error rate 0% of 3,000 requests keeps the SLO of 99% (incumbent: 0.11% of 57,000); latency of 3,000 requests is no worse than the incumbent's (p99 about 75ms; incumbent: about 75ms); evidence of harm 0.2, 100 convicts`},
		{"errors", plain, atFive, times(10, steady{50, 4, 1, 950, 1, 19}), v1alpha1.OutcomeFail, `error rate 8% of 150 requests is worse than the incumbent's 0.11% of 2,850: evidence 2,427, 100 convicts`},
		{"errors, hardly more", plain, atFive, times(8, steady{50, 1, 1, 950, 1, 19}), v1alpha1.OutcomeFail, `error rate 2% of 200 requests is worse than the incumbent's 0.11% of 3,800: evidence 147, 100 convicts`},
		{"a little worse", plain, atFive, append(times(20, good), steady{50, 5, 1, 950, 0, 19}, steady{50, 5, 1, 950, 0, 19}), v1alpha1.OutcomeInconclusive, `error rate 0.91% of 1,100 requests may be worse than the incumbent's 0.096% of 20,900: evidence 8.1, 100 convicts, and a Pass needs at most 1`},
		{"both miss the SLO", plain, atFive, times(20, steady{50, 3, 1, 950, 50, 19}), v1alpha1.OutcomePass, `error rate 6% of 1,000 requests is no worse than the incumbent's 5.3% of 19,000; latency of 1,000 requests is no worse than the incumbent's (p99 about 75ms; incumbent: about 75ms); evidence of harm 0.35, 100 convicts`},
		{"slow", plain, atFive, times(20, steady{50, 0, 10, 950, 1, 19}), v1alpha1.OutcomeFail, `20% of 150 requests took longer than 50ms, which is worse than the incumbent's 2% of 2,850 (p99 about 97.5ms; incumbent: about 75ms): evidence 441, 100 convicts`},
		{"tenants", plain, chosen, times(40, steady{50, 4, 1, 950, 1, 19}), v1alpha1.OutcomeFail, `error rate 8% of 150 requests is more than the 1% that the SLO of 99% allows: evidence 1,809, 100 convicts`},
		{"good tenants", plain, chosen, times(40, steady{50, 0, 30, 950, 1, 19}), v1alpha1.OutcomePass, `error rate 0% of 2,000 requests keeps the SLO of 99% (incumbent: 0.11% of 38,000); evidence of harm 0.75, 100 convicts`},
		{"slow tenants", withThreshold, chosen, times(40, steady{50, 0, 10, 950, 1, 1}), v1alpha1.OutcomeFail, `20% of 150 requests took longer than 50ms, which is more than the 1% that p99 allows (p99 about 97.5ms; incumbent: about 24.9ms): evidence 2,133, 100 convicts`},
		{"fast tenants", withThreshold, chosen, times(40, steady{50, 0, 0, 950, 1, 1}), v1alpha1.OutcomePass, `error rate 0% of 2,000 requests keeps the SLO of 99% (incumbent: 0.11% of 38,000); latency of 2,000 requests keeps the threshold of 50ms (p99 about 24.9ms; incumbent: about 24.9ms); evidence of harm 0.51, 100 convicts`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			criteria := parse(t, test.spec)
			calibrator := analysis.NewCalibrator(criteria)
			at := epoch
			for range 40 {
				at = at.Add(15 * time.Second)
				calibrator.Add(good.block(at))
			}
			engine := analysis.NewEngine(criteria, calibrator.Past())
			engine.Enter(test.stage)
			for _, steady := range test.blocks {
				at = at.Add(15 * time.Second)
				engine.Add(steady.block(at), true)
			}
			verdict := engine.Verdict()
			if verdict.Outcome != test.outcome || verdict.Message != test.message {
				t.Errorf("%s: %s\nwant %s: %s", verdict.Outcome, verdict.Message, test.outcome, test.message)
			}
			if math.IsNaN(verdict.Evidence) {
				t.Error("the evidence is no number")
			}
		})
	}
}

func times(n int, block steady) []steady {
	blocks := make([]steady, n)
	for i := range blocks {
		blocks[i] = block
	}
	return blocks
}
