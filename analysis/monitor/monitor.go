package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/analysis"
)

const (
	defaultWorkers = 4
	// pollTimeout bounds one measurement with all its queries.
	pollTimeout = 30 * time.Second
	// longestBackOff is the longest time between two tries of a server that is away.
	longestBackOff = 30 * time.Second
)

// Options of a Monitor. Zero values stand for the defaults.
type Options struct {
	// Workers is how many measurements are made at a time (4).
	Workers int
	// OnChange is called with a rollout's key when there is something new to act on: another outcome, the beginning or
	// the end of an outage, or another share of the traffic. It must not block.
	OnChange func(key string)
	// Registerer gets what was measured; nothing when nil.
	Registerer prometheus.Registerer
	// Log gets outages.
	Log logr.Logger
}

// Monitor asks for measurements at intervals, and keeps the newest verdicts. It is safe for concurrent use.
type Monitor struct {
	provider analysis.Provider
	judge    analysis.Judge
	clock    clock.WithTicker
	options  Options

	mutex   sync.Mutex
	watched map[string]*watch
	queue   workqueue.TypedDelayingInterface[string] // nil unless running
}

// watch is a question and what is known of it.
type watch struct {
	question Question
	answer   Answer
	answered bool
	// told is the answer that OnChange spoke of last.
	told Answer
	// early is what was measured first after analysis.ShareGrace; nil before.
	early    *analysis.Measurement
	reported report
	failures int
}

// New makes a Monitor; Start sets it to work.
func New(provider analysis.Provider, judge analysis.Judge, clock clock.WithTicker, options Options) (*Monitor, error) {
	if options.Workers <= 0 {
		options.Workers = defaultWorkers
	}
	if options.OnChange == nil {
		options.OnChange = func(string) {}
	}
	m := &Monitor{provider: provider, judge: judge, clock: clock, options: options, watched: map[string]*watch{}}
	if options.Registerer != nil {
		if err := options.Registerer.Register(collector{m}); err != nil {
			return nil, fmt.Errorf("registering the metrics of rollouts: %w", err)
		}
	}
	return m, nil
}

// Watch has a rollout's question asked from now on, in the place of the one before. Saying the same again changes nothing. The
// key is namespace/name.
func (m *Monitor) Watch(key string, question Question) {
	question = question.copied()
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if known := m.watched[key]; known != nil && known.question.same(question) {
		return
	}
	m.watched[key] = &watch{question: question}
	if m.queue != nil {
		m.queue.Add(key)
	}
}

// Latest returns the newest answer to the present question that had something new to act on; false while there is none. But for
// what was measured since, it is the same until there is another, so that who reports it does so once, however often he looks.
func (m *Monitor) Latest(key string) (Answer, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if known := m.watched[key]; known != nil && known.answered {
		answer := known.told
		answer.Newest = known.answer.Measurement
		if known.early != nil {
			late := answer.Newest.After(*known.early)
			answer.Late = &late
		}
		return answer, true
	}
	return Answer{}, false
}

// Forget stops asking for a rollout.
func (m *Monitor) Forget(key string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.watched, key)
}

// NeedLeaderElection is true: only the leader acts on verdicts.
func (m *Monitor) NeedLeaderElection() bool { return true }

// Start asks until the context ends, and waits for the questions that are under way.
func (m *Monitor) Start(ctx context.Context) error {
	queue := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Clock: m.clock})
	m.mutex.Lock()
	m.queue = queue
	for key := range m.watched {
		queue.Add(key)
	}
	m.mutex.Unlock()
	var workers sync.WaitGroup
	for range m.options.Workers {
		workers.Go(func() {
			for m.next(ctx, queue) {
			}
		})
	}
	<-ctx.Done()
	m.mutex.Lock()
	m.queue = nil
	m.mutex.Unlock()
	queue.ShutDown()
	workers.Wait()
	return nil
}

func (m *Monitor) next(ctx context.Context, queue workqueue.TypedDelayingInterface[string]) bool {
	key, shutdown := queue.Get()
	if shutdown {
		return false
	}
	defer queue.Done(key)
	if ctx.Err() != nil {
		return true
	}
	if again := m.poll(ctx, key); again > 0 {
		queue.AddAfter(key, again)
	}
	return true
}

// poll asks a rollout's question once, and returns when to ask again; 0 for never.
func (m *Monitor) poll(ctx context.Context, key string) time.Duration {
	m.mutex.Lock()
	asked := m.watched[key]
	m.mutex.Unlock()
	if asked == nil {
		return 0
	}
	question := asked.question
	question.Query.Now = m.clock.Now()
	limited, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	measurement, err := m.provider.Measure(limited, question.Query)
	var verdict analysis.Verdict
	if err == nil {
		verdict, err = m.judge.Judge(question.Criteria, measurement)
	}
	if err == nil && verdict.Outcome != outcomeFail { // bad replies stay bad, however old
		err = stale(question, measurement)
	}
	if ctx.Err() != nil {
		return 0 // the controller is stopping: its own end is no outage
	}
	m.mutex.Lock()
	if m.watched[key] != asked {
		m.mutex.Unlock()
		return question.Interval // asked anew meanwhile, or forgotten: then the next poll ends it
	}
	before := asked.answer.Err
	asked.take(question.Query.Now, measurement, verdict, err)
	changed := asked.reported.update(asked.answer)
	if changed {
		asked.told = asked.answer
	}
	pause := asked.pause()
	m.mutex.Unlock()
	m.logOutage(key, before, err)
	if changed {
		m.options.OnChange(key)
	}
	return pause
}

func (m *Monitor) logOutage(key string, before, now error) {
	switch {
	case before == nil && now != nil:
		m.options.Log.Info("Metrics can't be had", "rollout", key, "reason", now.Error())
	case before != nil && now == nil:
		m.options.Log.Info("Metrics are back", "rollout", key)
	}
}

// take makes an answer of what was found.
func (w *watch) take(at time.Time, measurement analysis.Measurement, verdict analysis.Verdict, err error) {
	answer := Answer{ID: w.question.ID, Verdict: verdict, Measurement: measurement, At: at, Err: err}
	if err != nil {
		answer.Verdict, answer.Measurement, answer.Since = w.unavailable(err), w.answer.Measurement, w.answer.Since
		if w.answer.Err == nil {
			answer.Since = at
		}
		w.failures++
	} else {
		w.failures = 0
		if w.early == nil && !at.Before(w.question.Query.Since.Add(analysis.ShareGrace)) {
			w.early = &measurement
		}
	}
	w.answer, w.answered = answer, true
}

// unavailable is the verdict of an outage.
func (w *watch) unavailable(err error) analysis.Verdict {
	if w.answer.Verdict.Outcome == outcomeFail {
		return w.answer.Verdict
	}
	return analysis.Verdict{Outcome: outcomeInconclusive, Message: "no verdict without numbers: " + err.Error()}
}

// pause grows with each failure, so that a server that is away does not keep the workers from the others.
func (w *watch) pause() time.Duration {
	pause := w.question.Interval
	for range min(w.failures-1, 5) {
		pause *= 2
	}
	return max(w.question.Interval, min(pause, longestBackOff))
}

// stale returns an error when the newest sample is too old to go by.
func stale(question Question, measurement analysis.Measurement) error {
	const oldest = 3 * time.Minute
	if measurement.Latest.IsZero() {
		return nil
	}
	age := question.Query.Now.Sub(measurement.Latest)
	if age <= max(oldest, 3*question.Interval) {
		return nil
	}
	return fmt.Errorf("the newest sample is %s old: is the mesh still scraped?", age.Round(time.Second))
}

// IsFieldError says whether only an edit of the Rollout helps.
func (a Answer) IsFieldError() bool {
	_, is := errors.AsType[*analysis.FieldError](a.Err)
	return is
}
