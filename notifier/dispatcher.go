package notifier

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// Options of a dispatcher. What is zero has a default.
type Options struct {
	Clock clock.Clock
	Log   logr.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Waiting is how many events wait for one sink at most. When there are more, the oldest are dropped. Default 512.
	Waiting int
	// MaxAge is how old an event may get before it is given up. Default 24 h.
	MaxAge time.Duration
	// FirstPause comes after the first failure; it doubles with each, to LongestPause. Defaults 1 s and 30 s.
	FirstPause, LongestPause time.Duration
	// Timeout is how long one try may take. Default 30 s.
	Timeout time.Duration
	// Flush is how long what waits may be sent after the signal to stop. Default 5 s.
	Flush time.Duration
}

func (o *Options) setDefaults() {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Waiting == 0 {
		o.Waiting = 512
	}
	for _, d := range []struct {
		of      *time.Duration
		usually time.Duration
	}{
		{&o.MaxAge, 24 * time.Hour},
		{&o.FirstPause, time.Second},
		{&o.LongestPause, 30 * time.Second},
		{&o.Timeout, 30 * time.Second},
		{&o.Flush, 5 * time.Second},
	} {
		if *d.of == 0 {
			*d.of = d.usually
		}
	}
}

// Dispatcher brings events to sinks: each sink has a bounded queue and a worker of its own, so that one that is slow or away delays
// neither a rollout nor the other sinks, and hears of things in their order.
type Dispatcher struct {
	o        Options
	measures *measures
	// process and sequence make the ids of events.
	process  string
	sequence atomic.Uint64

	mu      sync.RWMutex
	workers map[string]*worker
	// running is the context of Start; nil before.
	running context.Context //nolint:containedctx // Sinks that are added later run as long as Start does.
	work    sync.WaitGroup
}

// NewDispatcher makes a dispatcher without sinks.
func NewDispatcher(o Options) (*Dispatcher, error) {
	o.setDefaults()
	m, err := newMeasures(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Dispatcher{o: o, measures: m, process: strconv.FormatUint(rand.Uint64(), 36), workers: map[string]*worker{}}, nil //nolint:gosec // The id is to be unique, not secret.
}

// Use replaces the sinks. What waits for one stays with the one that has its name afterwards, and is tried at once where that is
// another than before: they are compared, so they are to be pointers.
func (d *Dispatcher) Use(sinks map[string]Sink) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, w := range d.workers {
		if _, stays := sinks[name]; !stays {
			delete(d.workers, name)
			w.remove()
		}
	}
	for name, sink := range sinks {
		if w := d.workers[name]; w != nil {
			w.replace(sink)
			continue
		}
		w := newWorker(name, sink, &d.o, d.measures)
		d.workers[name] = w
		if d.running != nil {
			d.begin(d.running, w)
		}
	}
}

// Send hands an event to sinks, and returns at once. Names of sinks that aren't there are passed over. It sets the event's id where
// it has none.
func (d *Dispatcher) Send(sinks []string, event *Event) {
	if event.ID == "" {
		event.ID = fmt.Sprintf("%s-%d", d.process, d.sequence.Add(1))
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, name := range sinks {
		if w := d.workers[name]; w != nil {
			w.put(event)
		}
	}
}

// NeedLeaderElection says that every replica runs it: only the leader has something to tell, and it tells the last of it after
// its reconcilers have stopped.
func (*Dispatcher) NeedLeaderElection() bool { return false }

// Start delivers until the context ends, and then for a moment what still waits.
func (d *Dispatcher) Start(ctx context.Context) error {
	// What is under way when the context ends may come to its end.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	d.mu.Lock()
	d.running = working
	for _, w := range d.workers {
		d.begin(working, w)
	}
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	d.running = nil
	for _, w := range d.workers {
		w.drain()
	}
	d.mu.Unlock()
	timer := d.o.Clock.NewTimer(d.o.Flush)
	defer timer.Stop()
	ended := make(chan struct{})
	go func() {
		d.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-timer.C():
		stop()
		<-ended
	}
	return nil
}

func (d *Dispatcher) begin(ctx context.Context, w *worker) {
	d.work.Go(func() { w.run(ctx) })
}
