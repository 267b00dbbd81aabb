package notifier_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/weighlock/weighlock/notifier"
)

// sink notes what it is told, and answers as the test says.
type sink struct {
	mu     sync.Mutex
	told   []notifier.Event
	answer func(notifier.Event) error
	// came is sent to with each try.
	came chan string
}

func newSink(answer func(notifier.Event) error) *sink {
	return &sink{answer: answer, came: make(chan string, 1000)}
}

func (s *sink) Deliver(_ context.Context, event notifier.Event) error {
	s.mu.Lock()
	s.told = append(s.told, event)
	s.mu.Unlock()
	defer func() { s.came <- event.Message }()
	if s.answer == nil {
		return nil
	}
	return s.answer(event)
}

func (s *sink) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var messages []string
	for _, event := range s.told {
		messages = append(messages, event.Message)
	}
	return messages
}

func (s *sink) await(t *testing.T, tries int) {
	t.Helper()
	for range tries {
		select {
		case <-s.came:
		case <-time.After(time.Minute):
			t.Fatalf("waited in vain for the sink to be told; it was told %q", s.messages())
		}
	}
}

// desk is a dispatcher that runs on a clock of the test's.
type desk struct {
	*notifier.Dispatcher
	clock    *clocktesting.FakeClock
	registry *prometheus.Registry
	stop     func()
}

func newDesk(t *testing.T, o notifier.Options) *desk {
	t.Helper()
	d := &desk{clock: newClock(), registry: prometheus.NewRegistry()}
	o.Clock, o.Registerer, o.Log = d.clock, d.registry, logr.Discard()
	made, err := notifier.NewDispatcher(o)
	if err != nil {
		t.Fatal(err)
	}
	d.Dispatcher = made
	return d
}

func (d *desk) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Start(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("the dispatcher doesn't stop")
		}
	})
	t.Cleanup(d.stop)
}

func (d *desk) send(sinks []string, messages ...string) {
	for _, message := range messages {
		d.Send(sinks, &notifier.Event{At: d.clock.Now(), Message: message})
	}
}

// pass waits until somebody waits for the clock, and moves it on.
func (d *desk) pass(t *testing.T, by time.Duration) {
	t.Helper()
	for range 2000 {
		if d.clock.HasWaiters() {
			d.clock.Step(by)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("nobody waits for the clock")
}

// measured compares a metric, as it is exposed without its help and type. Counters that stand at 0 are left out.
func (d *desk) measured(t *testing.T, name string, want ...string) {
	t.Helper()
	var got []string
	for range 400 {
		got = nil
		families, err := d.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				if family.GetName() != name || m.GetCounter() != nil && m.GetCounter().GetValue() == 0 {
					continue
				}
				var labels []string
				for _, label := range m.GetLabel() {
					labels = append(labels, label.GetValue())
				}
				got = append(got, fmt.Sprintf("%s %v", strings.Join(labels, " "), m.GetCounter().GetValue()+m.GetGauge().GetValue()))
			}
		}
		if slices.Equal(got, want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s (-want +got):\n%s", name, cmp.Diff(want, got))
}

// unmoved says that a sink which failed isn't tried again as long as the clock stands.
func (d *desk) unmoved(t *testing.T, s *sink) {
	t.Helper()
	select {
	case <-s.came:
		t.Error("the sink is tried again before its time")
	case <-time.After(50 * time.Millisecond):
	}
}

type deliver func(context.Context, notifier.Event) error

func (f deliver) Deliver(ctx context.Context, event notifier.Event) error { return f(ctx, event) }

func newClock() *clocktesting.FakeClock {
	return clocktesting.NewFakeClock(time.Unix(1_764_000_000, 0))
}
