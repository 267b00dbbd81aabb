package notifier

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// answeredTries is how often an event is tried to which the sink answers with an error that may be the event's own fault.
const answeredTries = 10

// worker brings events to one sink, one after another.
type worker struct {
	name     string
	o        *Options
	measures *measures
	sink     atomic.Pointer[Sink]
	queue    *queue
	// replaced is signalled when there is another sink: it need not be waited for any longer.
	replaced chan struct{}
	// removed and draining are closed when the sink is gone, and when what waits is tried a last time.
	removed, draining chan struct{}
}

func newWorker(name string, sink Sink, o *Options, m *measures) *worker {
	w := &worker{
		name: name, o: o, measures: m, queue: newQueue(o.Waiting),
		replaced: make(chan struct{}, 1), removed: make(chan struct{}), draining: make(chan struct{}),
	}
	w.sink.Store(&sink)
	m.begin(name)
	return w
}

func (w *worker) put(event *Event) {
	length, dropped := w.queue.put(event)
	w.measures.waiting.WithLabelValues(w.name).Set(float64(length))
	if dropped {
		w.drop(droppedFull, 1)
	}
}

func (w *worker) replace(sink Sink) {
	if before := w.sink.Swap(&sink); *before == sink {
		return
	}
	select {
	case w.replaced <- struct{}{}:
	default:
	}
}

// remove ends it after the try that is under way, when there may be another worker of its name already.
func (w *worker) remove() {
	w.measures.waiting.DeleteLabelValues(w.name)
	close(w.removed)
}

func (w *worker) drain() { close(w.draining) }

func (w *worker) run(ctx context.Context) {
	for {
		if closed(w.removed) || ctx.Err() != nil {
			w.leave(ctx)
			return
		}
		event, left := w.queue.take()
		if event != nil {
			w.measures.waiting.WithLabelValues(w.name).Set(float64(left))
			w.deliver(ctx, event)
			continue
		}
		if closed(w.draining) {
			return
		}
		select {
		case <-w.queue.filled:
		case <-w.removed:
		case <-w.draining:
		case <-ctx.Done():
		}
	}
}

// leave counts what is given up.
func (w *worker) leave(ctx context.Context) {
	reason := droppedRemoved
	if ctx.Err() != nil {
		reason = droppedShutdown
	}
	if n := w.queue.empty(); n > 0 {
		w.drop(reason, n)
	}
}

// deliver tries until it is done or no use.
func (w *worker) deliver(ctx context.Context, event *Event) {
	pause, answered := w.o.FirstPause, 0
	for try := 1; ; try++ {
		err := w.try(ctx, event)
		if err == nil {
			w.measures.tries.WithLabelValues(w.name, resultDelivered).Inc()
			return
		}
		log := w.o.Log.WithValues("sink", w.name, "event", event.ID, "reason", event.Reason, "object", event.Key(), "try", try)
		if _, answer := errors.AsType[*AnswerError](err); answer {
			answered++
		}
		if _, permanent := errors.AsType[*PermanentError](err); permanent || answered == answeredTries {
			w.measures.tries.WithLabelValues(w.name, resultFailed).Inc()
			log.Error(err, "a notification can't be delivered")
			return
		}
		w.measures.tries.WithLabelValues(w.name, resultRetried).Inc()
		wait := jittered(pause)
		var later *RetryError
		if errors.As(err, &later) && later.After > 0 {
			wait = later.After
		} else {
			pause = min(2*pause, w.o.LongestPause)
		}
		switch left := w.o.MaxAge - w.o.Clock.Since(event.At); {
		case closed(w.draining) || ctx.Err() != nil:
			w.drop(droppedShutdown, 1)
			log.Error(err, "a notification is given up: Weighlock stops")
			return
		case wait > left:
			w.drop(droppedExpired, 1)
			log.Error(err, "a notification is given up: it is too old")
			return
		}
		log.V(1).Info("a notification is tried again", "error", err.Error(), "after", wait)
		if w.wait(ctx, wait); closed(w.removed) {
			w.drop(droppedRemoved, 1)
			return
		}
	}
}

func (w *worker) try(ctx context.Context, event *Event) error {
	select {
	case <-w.replaced: // It is this try that is the new sink's first.
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, w.o.Timeout)
	defer cancel()
	start := w.o.Clock.Now()
	err := (*w.sink.Load()).Deliver(ctx, *event)
	w.measures.duration.WithLabelValues(w.name).Observe(w.o.Clock.Since(start).Seconds())
	return err
}

// wait pauses, but no longer than the sink is the same and Weighlock runs.
func (w *worker) wait(ctx context.Context, pause time.Duration) {
	timer := w.o.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-w.replaced:
	case <-w.removed:
	case <-w.draining:
	case <-ctx.Done():
	}
}

func (w *worker) drop(reason string, n int) {
	w.measures.dropped.WithLabelValues(w.name, reason).Add(float64(n))
}

// jittered is a pause of half to all of that length, so that many don't come back at once.
func jittered(pause time.Duration) time.Duration {
	return pause/2 + rand.N(pause/2+1) //nolint:gosec // Nothing depends on its being unpredictable.
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
