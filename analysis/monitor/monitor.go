package monitor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
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

// Monitor looks at the metrics at intervals, and keeps the newest verdicts. It is safe for concurrent use.
type Monitor struct {
	provider analysis.Provider
	clock    clock.WithTicker
	options  Options

	mutex   sync.Mutex
	watched map[string]*watch
	queue   workqueue.TypedDelayingInterface[string] // nil unless running
}

// watch is a question and what is known of it.
type watch struct {
	question Question
	// resting says that nothing is asked at present.
	resting bool
	// weighing is touched by one poll at a time only.
	weighing weighing
	answer   Answer
	answered bool
	// told is the answer that OnChange spoke of last.
	told     Answer
	reported report
	failures int
}

// New makes a Monitor; Start sets it to work.
func New(provider analysis.Provider, clock clock.WithTicker, options Options) (*Monitor, error) {
	if options.Workers <= 0 {
		options.Workers = defaultWorkers
	}
	if options.OnChange == nil {
		options.OnChange = func(string) {}
	}
	m := &Monitor{provider: provider, clock: clock, options: options, watched: map[string]*watch{}}
	if options.Registerer != nil {
		if err := options.Registerer.Register(collector{m}); err != nil {
			return nil, fmt.Errorf("registering the metrics of rollouts: %w", err)
		}
	}
	return m, nil
}

// Watch has a rollout's question asked from now on. When it continues the one before, what was found stays; else all is weighed from
// its first stage on. Saying the same again changes nothing. The key is namespace/name.
func (m *Monitor) Watch(key string, question Question) {
	question = question.copied()
	m.mutex.Lock()
	defer m.mutex.Unlock()
	known := m.watched[key]
	switch {
	case known == nil || !question.continues(known.question):
		m.watched[key] = &watch{question: question, weighing: weighing{provider: m.provider}}
	case known.resting || len(question.Stages) > len(known.question.Stages):
		known.question, known.resting = question, false
	default:
		known.question = question
		return
	}
	if m.queue != nil {
		m.queue.Add(key)
	}
}

// Rest has nothing asked for a rollout until it is watched again. What was found stays.
func (m *Monitor) Rest(key string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if known := m.watched[key]; known != nil {
		known.resting = true
	}
}

// Latest returns the newest answer on the present stage that had something new to act on; false while there is none. But for
// what was measured since, it is the same until there is another, so that who reports it does so once, however often he looks.
func (m *Monitor) Latest(key string) (Answer, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if known := m.watched[key]; known != nil && known.answered && known.told.Stage == known.question.present().ID {
		answer := known.told
		answer.Newest, answer.Late = known.answer.Newest, known.answer.Late
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

// poll asks a rollout's question once, and returns when to ask again; 0 for not before it is watched anew.
func (m *Monitor) poll(ctx context.Context, key string) time.Duration {
	m.mutex.Lock()
	asked := m.watched[key]
	if asked == nil || asked.resting {
		m.mutex.Unlock()
		return 0
	}
	question := asked.question
	m.mutex.Unlock()
	now := m.clock.Now()
	limited, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	err := asked.weighing.advance(limited, question, now)
	var answer Answer
	if err == nil {
		answer = asked.weighing.answer(question, now)
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
	asked.take(question, answer, now, err)
	changed := asked.reported.update(asked.answer)
	if changed {
		asked.told = asked.answer
	}
	pause, known := asked.pause(), asked.answer.Err
	m.mutex.Unlock()
	m.logOutage(key, before, known)
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

// take keeps an answer, or makes one of an error.
func (w *watch) take(question Question, answer Answer, at time.Time, err error) {
	if err != nil {
		answer = w.answer
		if stage := question.present().ID; stage != answer.Stage {
			answer = Answer{Stage: stage}
		}
		answer.At, answer.Err = at, err
	}
	if answer.Err == nil {
		w.failures = 0
	} else {
		w.failures++
		answer.Verdict = unavailable(answer)
		answer.Since = w.answer.Since
		if w.answer.Err == nil {
			answer.Since = at
		}
	}
	w.answer, w.answered = answer, true
}

// unavailable is the verdict of an outage.
func unavailable(answer Answer) analysis.Verdict {
	if answer.Verdict.Outcome == v1alpha1.OutcomeFail {
		return answer.Verdict
	}
	return analysis.Verdict{Outcome: v1alpha1.OutcomeInconclusive, Message: "no verdict without numbers: " + answer.Err.Error()}
}

// pause grows with each failure, so that a server that is away does not keep the workers from the others.
func (w *watch) pause() time.Duration {
	pause := w.question.Interval
	for range min(w.failures-1, 5) {
		pause *= 2
	}
	return max(w.question.Interval, min(pause, longestBackOff))
}
