package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	testclock "k8s.io/utils/clock/testing"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/monitor"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// source is a Provider whose numbers a test sets.
type source struct {
	mutex   sync.Mutex
	answers map[string]analysis.Measurement // by the candidate's service
	err     error
	asked   []analysis.Query
	block   chan struct{} // when not nil, measuring waits for it
	busy    int
	busiest int
}

func (s *source) Measure(ctx context.Context, query analysis.Query) (analysis.Measurement, error) {
	s.mutex.Lock()
	s.asked = append(s.asked, query)
	s.busy++
	s.busiest = max(s.busiest, s.busy)
	block := s.block
	s.mutex.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.busy--
	measurement := s.answers[query.Candidate.Service]
	measurement.Latest = query.Now
	return measurement, errors.Join(s.err, ctx.Err())
}

func (s *source) set(service string, candidate, incumbent analysis.Counts, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.answers[service], s.err = analysis.Measurement{Candidate: candidate, Incumbent: incumbent}, err
}

func (s *source) count() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.asked)
}

// bench is a monitor at work on a fake clock.
type bench struct {
	gomega.Gomega
	*monitor.Monitor
	source   *source
	clock    *testclock.FakeClock
	registry *prometheus.Registry
	stop     func()
	mutex    sync.Mutex
	changes  []string
}

func newBench(t *testing.T, workers int) *bench {
	t.Helper()
	b := &bench{
		Gomega: gomega.NewWithT(t), source: &source{answers: map[string]analysis.Measurement{}},
		clock: testclock.NewFakeClock(start), registry: prometheus.NewPedanticRegistry(),
	}
	made, err := monitor.New(b.source, analysis.Threshold{}, b.clock, monitor.Options{
		Workers: workers, Registerer: b.registry, OnChange: b.changed,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Monitor = made
	return b
}

func (b *bench) changed(key string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.changes = append(b.changes, key)
}

func (b *bench) countChanges() int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return len(b.changes)
}

func (b *bench) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Start(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
}

// poll lets time pass until the rollouts were asked for so many times in all.
func (b *bench) poll(times int) {
	b.Eventually(func() int {
		count := b.source.count()
		if count < times {
			b.clock.Step(500 * time.Millisecond)
		}
		return count
	}).WithPolling(2 * time.Millisecond).WithTimeout(10 * time.Second).Should(gomega.BeNumerically(">=", times))
}

func (b *bench) outcome(key string) func() v1alpha1.Outcome {
	return func() v1alpha1.Outcome {
		answer, ok := b.Latest(key)
		if !ok {
			return "none"
		}
		return answer.Verdict.Outcome
	}
}

const key = "shop/checkout"

func question(id, service string) monitor.Question {
	return monitor.Question{ID: id, Interval: 5 * time.Second, Query: analysis.Query{
		Since: start, Candidate: analysis.Track{Service: service}, Incumbent: analysis.Track{Service: "checkout-workload"},
	}}
}

func counts(requests, errors float64) analysis.Counts {
	return analysis.Counts{Requests: requests, Errors: errors}
}

func TestMonitor_AnswersThePresentQuestionOnly(t *testing.T) {
	b := newBench(t, 1)
	b.source.set("one", counts(500, 0), counts(500, 0), nil)
	b.source.set("two", counts(500, 100), counts(500, 0), nil)
	b.Watch(key, question("1", "one"))
	b.Expect(b.outcome(key)()).To(gomega.BeEquivalentTo("none"))
	b.run(t)
	b.Eventually(b.outcome(key)).Should(gomega.Equal(v1alpha1.OutcomePass))

	// The answer to a question that is no more must not be given to the next.
	gate := make(chan struct{})
	b.source.mutex.Lock()
	b.source.block = gate
	b.source.mutex.Unlock()
	b.poll(2)
	b.Watch(key, question("2", "two"))
	b.Expect(b.outcome(key)()).To(gomega.BeEquivalentTo("none"))
	close(gate)
	b.Eventually(b.outcome(key)).Should(gomega.Equal(v1alpha1.OutcomeFail))
	answer, _ := b.Latest(key)
	b.Expect(answer.ID).To(gomega.Equal("2"))
	b.Expect(answer.Measurement.Candidate.Errors).To(gomega.Equal(100.0))
}

func TestMonitor_AsksAtTheInterval(t *testing.T) {
	b := newBench(t, 1)
	b.run(t)
	for range 3 {
		b.Watch(key, question("1", "one")) // saying it again asks no more often
	}
	b.poll(6)
	b.source.mutex.Lock()
	defer b.source.mutex.Unlock()
	for i, query := range b.source.asked[1:] {
		if passed := query.Now.Sub(b.source.asked[i].Now); passed < 5*time.Second {
			t.Errorf("asked again after %s", passed)
		}
		if !query.Since.Equal(start) {
			t.Errorf("asked from %s on", query.Since)
		}
	}
}

func TestMonitor_AsksAnewWhenTheCriteriaChange(t *testing.T) {
	b := newBench(t, 1)
	b.source.set("one", counts(150, 0), counts(500, 0), nil)
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.Eventually(b.outcome(key)).Should(gomega.Equal(v1alpha1.OutcomePass))
	stricter := question("1", "one")
	stricter.Criteria.MinRequests = 200
	b.Watch(key, stricter)
	b.Eventually(b.outcome(key)).Should(gomega.Equal(v1alpha1.OutcomeInconclusive))
}

func TestMonitor_CountsByItselfWhatCameAfterTheGrace(t *testing.T) {
	b := newBench(t, 1)
	b.source.set("one", counts(50, 0), counts(50, 0), nil)
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.poll(b.source.count() + 3)
	if answer, _ := b.Latest(key); answer.Late != nil {
		t.Errorf("it is too early to tell what came late: %+v", answer.Late)
	}
	b.clock.Step(analysis.ShareGrace)
	b.poll(b.source.count() + 3)
	b.source.set("one", counts(60, 0), counts(140, 0), nil)
	b.poll(b.source.count() + 3)
	answer, _ := b.Latest(key)
	b.Expect(answer.Late).NotTo(gomega.BeNil())
	b.Expect(answer.Late.Share().String()).To(gomega.Equal("10% of 100 requests"))
	b.Expect(answer.Newest.Share().String()).To(gomega.Equal("30% of 200 requests"))
}

func TestMonitor_ReportsChangesOnly(t *testing.T) {
	b := newBench(t, 1)
	b.source.set("one", counts(10, 0), counts(190, 0), nil)
	b.Watch(key, question("1", "one"))
	b.run(t)
	wait := func(changes int) {
		t.Helper()
		b.poll(b.source.count() + 3)
		b.Eventually(b.countChanges).Should(gomega.Equal(changes))
	}
	wait(1) // the first answer

	b.source.set("one", counts(52, 0), counts(948, 0), nil)
	wait(1) // a share of 5.2% instead of 5% may be chance
	told, _ := b.Latest(key)
	b.Expect(told.Measurement.Candidate.Requests).To(gomega.Equal(10.0), "what was told is what there is to report")
	b.Expect(told.Newest.Candidate.Requests).To(gomega.Equal(52.0), "what was measured since may add up to evidence")

	b.source.set("one", counts(99, 0), counts(601, 0), nil)
	wait(2) // 14% may not

	b.source.set("one", counts(200, 0), counts(1214, 0), nil)
	wait(3) // a pass

	b.source.set("one", counts(200, 0), counts(1214, 0), errors.New("connection refused"))
	wait(4) // an outage
	answer, _ := b.Latest(key)
	b.Expect(answer.Verdict.Outcome).To(gomega.Equal(v1alpha1.OutcomeInconclusive))
	b.Expect(answer.Err).To(gomega.MatchError("connection refused"))
	b.Expect(answer.Measurement.Candidate.Requests).To(gomega.Equal(200.0))
	b.Expect(answer.Since).To(gomega.BeTemporally("<=", answer.At))

	b.source.set("one", counts(300, 0), counts(1821, 0), nil)
	wait(5) // its end
	b.Expect(b.outcome(key)()).To(gomega.Equal(v1alpha1.OutcomePass))
}

func TestMonitor_KeepsAFailureThroughAnOutage(t *testing.T) {
	b := newBench(t, 1)
	b.source.set("one", counts(200, 100), counts(500, 0), nil)
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.Eventually(b.outcome(key)).Should(gomega.Equal(v1alpha1.OutcomeFail))
	b.source.set("one", counts(0, 0), counts(0, 0), errors.New("connection refused"))
	b.poll(b.source.count() + 2)
	answer, _ := b.Latest(key)
	b.Expect(answer.Verdict.Outcome).To(gomega.Equal(v1alpha1.OutcomeFail))
	b.Expect(answer.Err).To(gomega.HaveOccurred())
}

func TestMonitor_GoesEasyOnAServerThatIsAway(t *testing.T) {
	b := newBench(t, 1)
	b.source.set("one", counts(0, 0), counts(0, 0), errors.New("connection refused"))
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.poll(7)
	b.source.mutex.Lock()
	defer b.source.mutex.Unlock()
	last := b.source.asked[6].Now.Sub(b.source.asked[5].Now)
	if last < 25*time.Second || last > 35*time.Second {
		t.Errorf("the seventh try came %s after the sixth, want about 30s", last)
	}
}

// old gives numbers that are no longer fresh.
type old struct{ *source }

func (s old) Measure(ctx context.Context, query analysis.Query) (analysis.Measurement, error) {
	measurement, err := s.source.Measure(ctx, query)
	measurement.Latest = query.Now.Add(-10 * time.Minute)
	return measurement, err
}

func TestMonitor_PassesNothingByOldNumbers(t *testing.T) {
	b := newBench(t, 1)
	made, err := monitor.New(old{b.source}, analysis.Threshold{}, b.clock, monitor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.Monitor = made
	b.source.set("good", counts(200, 0), counts(500, 0), nil)
	b.source.set("bad", counts(200, 100), counts(500, 0), nil)
	b.Watch("shop/good", question("1", "good"))
	b.Watch("shop/bad", question("1", "bad"))
	b.run(t)
	b.Eventually(b.outcome("shop/good")).Should(gomega.Equal(v1alpha1.OutcomeInconclusive))
	b.Eventually(b.outcome("shop/bad")).Should(gomega.Equal(v1alpha1.OutcomeFail))
	answer, _ := b.Latest("shop/good")
	b.Expect(answer.Err).To(gomega.MatchError(gomega.ContainSubstring("10m0s old")))
}

func TestMonitor_TellsAFaultOfTheRolloutFromAnOutage(t *testing.T) {
	b := newBench(t, 1)
	b.source.set("one", counts(200, 0), counts(500, 0), nil)
	wrong := question("1", "one")
	wrong.Criteria.Errors = &v1alpha1.ErrorAnalysis{SLO: "most"}
	b.Watch(key, wrong)
	b.run(t)
	b.Eventually(b.outcome(key)).Should(gomega.Equal(v1alpha1.OutcomeInconclusive))
	answer, _ := b.Latest(key)
	b.Expect(answer.IsFieldError()).To(gomega.BeTrue())
}

func TestMonitor_MeasuresOnlySoMuchAtATime(t *testing.T) {
	b := newBench(t, 3)
	gate := make(chan struct{})
	b.source.block = gate
	for i := range 20 {
		b.Watch(fmt.Sprintf("shop/%d", i), question("1", "one"))
	}
	b.run(t)
	b.Eventually(b.source.count).Should(gomega.Equal(3))
	b.Consistently(b.source.count).WithTimeout(50 * time.Millisecond).Should(gomega.Equal(3))
	close(gate)
	b.Eventually(b.source.count).Should(gomega.Equal(20))
	b.source.mutex.Lock()
	defer b.source.mutex.Unlock()
	b.Expect(b.source.busiest).To(gomega.Equal(3))
}

func TestMonitor_ForgetsARolloutAndItsMetrics(t *testing.T) {
	b := newBench(t, 1)
	b.source.set("one", counts(200, 50), counts(1800, 0), nil)
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.Eventually(b.outcome(key)).Should(gomega.Equal(v1alpha1.OutcomeFail))
	want := `
# HELP weighlock_rollout_candidate_traffic_ratio Part of the users' requests that the candidate got since the step began.
# TYPE weighlock_rollout_candidate_traffic_ratio gauge
weighlock_rollout_candidate_traffic_ratio{namespace="shop",rollout="checkout"} 0.1
# HELP weighlock_rollout_error_ratio Part of a track's requests that failed since the step began.
# TYPE weighlock_rollout_error_ratio gauge
weighlock_rollout_error_ratio{namespace="shop",rollout="checkout",track="candidate"} 0.25
weighlock_rollout_error_ratio{namespace="shop",rollout="checkout",track="incumbent"} 0
# HELP weighlock_rollout_verdict 1 for the outcome of the analysis, 0 for the others.
# TYPE weighlock_rollout_verdict gauge
weighlock_rollout_verdict{namespace="shop",outcome="Fail",rollout="checkout"} 1
weighlock_rollout_verdict{namespace="shop",outcome="Inconclusive",rollout="checkout"} 0
weighlock_rollout_verdict{namespace="shop",outcome="Pass",rollout="checkout"} 0
`
	if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want),
		"weighlock_rollout_candidate_traffic_ratio", "weighlock_rollout_error_ratio", "weighlock_rollout_verdict"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(b.registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics are named badly: %v, %v", problems, err)
	}
	b.Forget(key)
	b.Expect(b.outcome(key)()).To(gomega.BeEquivalentTo("none"))
	if n, err := testutil.GatherAndCount(b.registry); err != nil || n != 0 {
		t.Errorf("%d metrics are left, %v", n, err)
	}
	asked := b.source.count()
	for range 10 {
		b.clock.Step(5 * time.Second)
		time.Sleep(2 * time.Millisecond)
	}
	b.Expect(b.source.count()).To(gomega.Equal(asked))
}

func TestMonitor_StopsWithoutAnOutage(t *testing.T) {
	b := newBench(t, 1)
	b.source.block = make(chan struct{})
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.Eventually(b.source.count).Should(gomega.Equal(1))
	b.stop()
	b.Expect(b.outcome(key)()).To(gomega.BeEquivalentTo("none"))
	b.Expect(b.countChanges()).To(gomega.Equal(0))
	b.Watch(key, question("2", "one")) // a stopped one takes no harm
}
