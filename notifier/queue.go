package notifier

import "sync"

// queue holds what waits for one sink, in order. When it is full, the oldest goes.
type queue struct {
	mu    sync.Mutex
	items []*Event
	limit int
	// filled is signalled when something was put into it.
	filled chan struct{}
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, filled: make(chan struct{}, 1)}
}

// put adds an event. It returns the length afterwards, and whether the oldest had to go.
func (q *queue) put(event *Event) (length int, dropped bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == q.limit {
		q.items[0] = nil
		q.items, dropped = q.items[1:], true
	}
	q.items = append(q.items, event)
	select {
	case q.filled <- struct{}{}:
	default:
	}
	return len(q.items), dropped
}

// take removes the oldest; nil when there is none.
func (q *queue) take() (event *Event, left int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil, 0
	}
	event, q.items[0] = q.items[0], nil
	q.items = q.items[1:]
	return event, len(q.items)
}

// empty removes all, and returns how many there were.
func (q *queue) empty() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.items)
	q.items = nil
	return n
}
