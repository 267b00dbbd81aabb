package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"math"
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

// traffic is what both tracks do in a second.
type traffic struct {
	candidate, incumbent, candidateErrors, incumbentErrors float64
	// slow is the part of the candidate's requests that takes long; nobody's histogram is scraped without timed.
	timed bool
	slow  float64
}

// source is a Provider whose numbers a test sets: it is scraped every second.
type source struct {
	mutex   sync.Mutex
	now     func() time.Time
	history []change
	err     error
	asked   []asked
	opened  []analysis.Query
	values  []analysis.Evaluation
	value   float64
	block   chan struct{} // when not nil, asking waits for it
	busy    int
	busiest int
	late    time.Duration
}

type change struct {
	at      time.Time
	service string
	traffic traffic
}

type asked struct {
	analysis.Query
	until time.Time
}

// stream is what the tracks of a query do.
type stream struct {
	*source
	query analysis.Query
	next  time.Time
	until time.Time
}

func (s *source) Open(query analysis.Query) (analysis.Stream, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.opened = append(s.opened, query)
	return &stream{source: s, query: query, next: query.Since.Truncate(time.Second).Add(time.Second)}, nil
}

func (s *source) Evaluate(_ context.Context, evaluation analysis.Evaluation) ([]analysis.Sample, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.values = append(s.values, evaluation)
	var samples []analysis.Sample
	for at := evaluation.From; !at.After(evaluation.To); at = at.Add(evaluation.Interval) {
		samples = append(samples, analysis.Sample{At: at, Value: s.value})
	}
	return samples, s.err
}

func (s *stream) Next(ctx context.Context, until time.Time) ([]analysis.Block, error) {
	s.mutex.Lock()
	if s.query.Candidate.Service != "" && !until.Equal(s.until) {
		s.asked = append(s.asked, asked{s.query, until})
	}
	s.until = until
	s.busy++
	s.busiest = max(s.busiest, s.busy)
	block := s.block
	s.mutex.Unlock()
	if block != nil && s.query.Candidate.Service != "" {
		select {
		case <-block:
		case <-ctx.Done():
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.busy--
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return nil, err
	}
	var blocks []analysis.Block
	for ; !s.next.Add(s.late).After(until); s.next = s.next.Add(time.Second) {
		blocks = append(blocks, s.at(s.next))
	}
	return blocks, nil
}

// at is what was done in the second before a moment.
func (s *stream) at(moment time.Time) analysis.Block {
	block := analysis.Block{From: moment.Add(-time.Second), At: moment, Paired: true, Straddles: moment.Sub(s.query.Since) < time.Second}
	if s.query.Candidate.Service == "" {
		block.Incumbent.Requests = 100
		return block
	}
	var does traffic
	for _, change := range s.history {
		if change.service == s.query.Candidate.Service && !change.at.After(block.From) {
			does = change.traffic
		}
	}
	block.Candidate = analysis.Counts{Requests: does.candidate, Errors: does.candidateErrors}
	block.Incumbent = analysis.Counts{Requests: does.incumbent, Errors: does.incumbentErrors}
	if does.timed {
		block.Candidate.Buckets = buckets(does.candidate, does.slow)
		block.Incumbent.Buckets = buckets(does.incumbent, 0.02)
	}
	return block
}

func buckets(requests, slow float64) []analysis.Bucket {
	return []analysis.Bucket{
		{UpperEdge: 10 * time.Millisecond, Count: math.Round(requests / 2)},
		{UpperEdge: 100 * time.Millisecond, Count: math.Round(requests * (1 - slow))},
		{UpperEdge: analysis.Unbounded, Count: requests},
	}
}

// does has the tracks do something from now on.
func (s *source) does(service string, does traffic) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.history = append(s.history, change{s.now(), service, does})
}

func (s *source) fails(err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.err = err
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
		Gomega: gomega.NewWithT(t), clock: testclock.NewFakeClock(start), registry: prometheus.NewPedanticRegistry(),
	}
	b.source = &source{now: b.clock.Now}
	made, err := monitor.New(b.source, b.clock, monitor.Options{
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
	}).WithPolling(2 * time.Millisecond).WithTimeout(time.Minute).Should(gomega.BeNumerically(">=", times))
}

// outcome is that of the rollout with the key.
func (b *bench) outcome() v1alpha1.Outcome {
	answer, ok := b.Latest(key)
	if !ok {
		return "none"
	}
	return answer.Verdict.Outcome
}

const key = "shop/checkout"

// question is about a rollout in its first stage, with half of the traffic.
func question(id, service string) monitor.Question {
	return monitor.Question{
		ID: id, Interval: 5 * time.Second, Incumbent: analysis.Track{Service: "checkout-before"}, Stages: []monitor.Stage{stage("first", service, start)},
		Criteria: v1alpha1.Analysis{Latency: &v1alpha1.LatencyAnalysis{DryRun: true}},
	}
}

func stage(id, service string, since time.Time) monitor.Stage {
	return monitor.Stage{
		ID: id, Since: since, Stage: analysis.Stage{Share: 0.5, Random: true},
		Incumbent: analysis.Track{Service: "checkout-workload"}, Candidate: analysis.Track{Service: service},
	}
}

// What the tracks may do in a second.
var (
	fine = traffic{candidate: 100, incumbent: 100}
	thin = traffic{candidate: 1, incumbent: 1}
	bad  = traffic{candidate: 100, incumbent: 100, candidateErrors: 30}
)

const (
	pass         = v1alpha1.OutcomePass
	fail         = v1alpha1.OutcomeFail
	inconclusive = v1alpha1.OutcomeInconclusive
)

// reach lets time pass until a rollout has an outcome.
func (b *bench) reach(key string, outcome v1alpha1.Outcome) monitor.Answer {
	var answer monitor.Answer
	b.Eventually(func() v1alpha1.Outcome {
		b.clock.Step(500 * time.Millisecond)
		answer, _ = b.Latest(key)
		return answer.Verdict.Outcome
	}).WithPolling(time.Millisecond).WithTimeout(time.Minute).Should(gomega.Equal(outcome))
	return answer
}

func TestMonitor_AnswersThePresentQuestionOnly(t *testing.T) {
	b := newBench(t, 1)
	b.source.does("one", fine)
	b.source.does("two", bad)
	b.Watch(key, question("1", "one"))
	b.Expect(b.outcome()).To(gomega.BeEquivalentTo("none"))
	b.run(t)
	b.reach(key, pass)

	// The answer to a question that is no more must not be given to the next.
	gate := make(chan struct{})
	b.source.mutex.Lock()
	b.source.block = gate
	count := len(b.source.asked)
	b.source.mutex.Unlock()
	b.poll(count + 1)
	other := question("2", "two")
	other.Stages[0].ID = "another"
	b.Watch(key, other)
	b.Expect(b.outcome()).To(gomega.BeEquivalentTo("none"))
	close(gate)
	answer := b.reach(key, fail)
	b.Expect(answer.Stage).To(gomega.Equal("another"))
	b.Expect(answer.Measurement.Candidate.Errors).To(gomega.BeNumerically(">=", 30))
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
		if passed := query.until.Sub(b.source.asked[i].until); passed < 5*time.Second {
			t.Errorf("asked again after %s", passed)
		}
	}
	opened := len(b.source.opened)
	b.Expect(opened).To(gomega.Equal(2), "a stream goes on from where it was")
	b.Expect(b.source.opened[0].Since).To(gomega.Equal(start.Add(-time.Hour)), "the incumbent's past")
	b.Expect(b.source.opened[0].Candidate.Service).To(gomega.BeEmpty())
	b.Expect(b.source.opened[0].Incumbent.Service).To(gomega.Equal("checkout-before"), "on the track that served then")
	b.Expect(b.source.opened[1].Since).To(gomega.Equal(start))
}

func TestMonitor_WeighsAnewWhenTheCriteriaChange(t *testing.T) {
	b := newBench(t, 1)
	b.source.does("one", fine)
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.reach(key, pass)
	stricter := question("1", "one")
	stricter.Criteria.Errors = &v1alpha1.ErrorAnalysis{SLO: "99.999"}
	b.Watch(key, stricter)
	b.reach(key, inconclusive)
}

func TestMonitor_CountsByItselfWhatCameAfterTheGrace(t *testing.T) {
	b := newBench(t, 1)
	b.source.does("one", fine)
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.poll(b.source.count() + 3)
	if answer, _ := b.Latest(key); answer.Late != nil {
		t.Errorf("it is too early to tell what came late: %+v", answer.Late)
	}
	for b.clock.Now().Before(start.Add(analysis.ShareGrace)) {
		b.clock.Step(500 * time.Millisecond)
	}
	b.source.does("one", traffic{candidate: 10, incumbent: 90})
	b.poll(b.source.count() + 10)
	answer, _ := b.Latest(key)
	b.Expect(answer.Late).NotTo(gomega.BeNil())
	late, _ := answer.Late.Share().Of()
	all, _ := answer.Newest.Share().Of()
	b.Expect(late).To(gomega.BeNumerically("<", 0.15), answer.Late.Share().String())
	b.Expect(all).To(gomega.BeNumerically(">", 0.2), answer.Newest.Share().String())
}

func TestMonitor_ReportsChangesOnly(t *testing.T) {
	b := newBench(t, 1)
	b.source.does("one", fine)
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.reach(key, pass)
	told, _ := b.Latest(key)
	before := b.countChanges()
	b.poll(b.source.count() + 5)
	b.Expect(b.countChanges()).To(gomega.Equal(before))
	answer, _ := b.Latest(key)
	b.Expect(answer.Measurement).To(gomega.Equal(told.Measurement), "what was told is what there is to report")
	b.Expect(answer.Newest.Candidate.Requests).To(gomega.BeNumerically(">", told.Measurement.Candidate.Requests), "what was measured since may add up to evidence")

	b.source.fails(errors.New("connection refused"))
	answer = b.reach(key, inconclusive)
	b.Expect(answer.Err).To(gomega.MatchError("connection refused"))
	b.Expect(answer.Measurement.Candidate.Requests).To(gomega.BeNumerically(">", 0))
	b.Expect(answer.Since).To(gomega.BeTemporally("<=", answer.At))
	b.source.fails(nil)
	b.reach(key, pass)
	b.Expect(b.countChanges()).To(gomega.Equal(before + 2))
}

func TestMonitor_KeepsAFailureThroughAnOutage(t *testing.T) {
	b := newBench(t, 1)
	b.source.does("one", bad)
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.reach(key, fail)
	b.source.fails(errors.New("connection refused"))
	b.poll(b.source.count() + 2)
	answer, _ := b.Latest(key)
	b.Expect(answer.Verdict.Outcome).To(gomega.Equal(fail))
	b.Expect(answer.Err).To(gomega.HaveOccurred())
}

func TestMonitor_GoesEasyOnAServerThatIsAway(t *testing.T) {
	b := newBench(t, 1)
	b.Watch(key, question("1", "one"))
	b.run(t)
	b.poll(1)
	b.source.fails(errors.New("connection refused"))
	b.poll(8)
	b.source.mutex.Lock()
	defer b.source.mutex.Unlock()
	last := b.source.asked[7].until.Sub(b.source.asked[6].until)
	if last < 25*time.Second || last > 35*time.Second {
		t.Errorf("the seventh try came %s after the sixth, want about 30s", last)
	}
}

func TestMonitor_PassesNothingByOldNumbers(t *testing.T) {
	b := newBench(t, 1)
	b.source.late = 10 * time.Minute
	b.source.does("good", fine)
	b.source.does("bad", bad)
	b.Watch("shop/good", question("1", "good"))
	b.Watch("shop/bad", question("1", "bad"))
	b.run(t)
	b.clock.Step(15 * time.Minute)
	b.reach("shop/bad", fail)
	answer := b.reach("shop/good", inconclusive)
	b.Eventually(func() error {
		b.clock.Step(500 * time.Millisecond)
		answer, _ = b.Latest("shop/good")
		return answer.Err
	}).Should(gomega.MatchError(gomega.MatchRegexp("10m[0-9]s old")))
}

func TestMonitor_TellsAFaultOfTheRolloutFromAnOutage(t *testing.T) {
	b := newBench(t, 1)
	wrong := question("1", "one")
	wrong.Criteria.Errors = &v1alpha1.ErrorAnalysis{SLO: "most"}
	b.Watch(key, wrong)
	b.run(t)
	answer := b.reach(key, inconclusive)
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
	b.source.does("one", traffic{candidate: 10, incumbent: 90, candidateErrors: 5})
	q := question("1", "one")
	q.Stages[0].Share = 0.1
	b.Watch(key, q)
	b.run(t)
	b.reach(key, fail)
	want := `
# HELP weighlock_rollout_candidate_traffic_ratio Part of the users' requests that the candidate got since the step began.
# TYPE weighlock_rollout_candidate_traffic_ratio gauge
weighlock_rollout_candidate_traffic_ratio{namespace="shop",rollout="checkout"} 0.1
# HELP weighlock_rollout_error_ratio Part of a track's requests that failed since the step began.
# TYPE weighlock_rollout_error_ratio gauge
weighlock_rollout_error_ratio{namespace="shop",rollout="checkout",track="candidate"} 0.5
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
	b.Expect(b.outcome()).To(gomega.BeEquivalentTo("none"))
	if n, err := testutil.GatherAndCount(b.registry); err != nil || n != 0 {
		t.Errorf("%d metrics are left, %v", n, err)
	}
	b.asksNoMore()
}

// asksNoMore fails if anything is asked though time passes.
func (b *bench) asksNoMore() {
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
	b.Expect(b.outcome()).To(gomega.BeEquivalentTo("none"))
	b.Expect(b.countChanges()).To(gomega.Equal(0))
	b.Watch(key, question("2", "one")) // a stopped one takes no harm
}
