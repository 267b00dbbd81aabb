package notifier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
		case <-time.After(20 * time.Second):
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
		case <-time.After(20 * time.Second):
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

// measured compares a metric, as it is exposed without its help and type.
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
				if family.GetName() != name {
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

func TestDispatcher_TellsEachSinkInOrder(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	first, second := newSink(nil), newSink(nil)
	d.Use(map[string]notifier.Sink{"first": first, "second": second})
	d.send([]string{"first", "second", "nobody"}, "a", "b")
	d.start(t)
	d.send([]string{"first"}, "c")
	first.await(t, 3)
	second.await(t, 2)
	if diff := cmp.Diff([]string{"a", "b", "c"}, first.messages()); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, second.messages()); diff != "" {
		t.Errorf("second (-want +got):\n%s", diff)
	}
	d.measured(t, "weighlock_notifications_total", "delivered first 3", "delivered second 2")
	d.measured(t, "weighlock_notifications_queue_length", "first 0", "second 0")
}

func TestDispatcher_TriesAgainWithGrowingPausesAndKeepsTheOrder(t *testing.T) {
	d := newDesk(t, notifier.Options{FirstPause: time.Second, LongestPause: 4 * time.Second})
	fails := 4
	s := newSink(nil)
	s.answer = func(notifier.Event) error {
		if fails--; fails >= 0 {
			return errors.New("away")
		}
		return nil
	}
	d.Use(map[string]notifier.Sink{"s": s})
	d.start(t)
	d.send([]string{"s"}, "a", "b")
	for _, longest := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
		s.await(t, 1)
		// Pauses are of half that length at least: before it nothing happens.
		d.pass(t, longest/2-time.Millisecond)
		select {
		case <-s.came:
			t.Fatalf("it was tried again before half of %s was over", longest)
		case <-time.After(30 * time.Millisecond):
		}
		d.pass(t, longest/2+time.Millisecond)
	}
	s.await(t, 2)
	if diff := cmp.Diff([]string{"a", "a", "a", "a", "a", "b"}, s.messages()); diff != "" {
		t.Errorf("tries (-want +got):\n%s", diff)
	}
	if s.told[0].ID == "" || s.told[0].ID != s.told[4].ID || s.told[0].ID == s.told[5].ID {
		t.Errorf("ids %q, %q and %q: repeated deliveries have the same, others another", s.told[0].ID, s.told[4].ID, s.told[5].ID)
	}
	d.measured(t, "weighlock_notifications_total", "delivered s 2", "retried s 4")
}

func TestDispatcher_WaitsAsLongAsTheSinkSays(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	limited := true
	s := newSink(nil)
	s.answer = func(notifier.Event) error {
		if limited {
			limited = false
			return fmt.Errorf("telling: %w", &notifier.RetryError{After: 40 * time.Second, Err: errors.New("rate limited")})
		}
		return nil
	}
	d.Use(map[string]notifier.Sink{"s": s})
	d.start(t)
	d.send([]string{"s"}, "a")
	s.await(t, 1)
	d.pass(t, 39*time.Second)
	select {
	case <-s.came:
		t.Fatal("it was tried again too early")
	case <-time.After(30 * time.Millisecond):
	}
	d.pass(t, time.Second)
	s.await(t, 1)
}

func TestDispatcher_GivesUpWhatIsNoUse(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	s := newSink(func(e notifier.Event) error {
		switch e.Message {
		case "refused":
			return fmt.Errorf("telling: %w", &notifier.PermanentError{Err: errors.New("no such channel")})
		case "answered":
			return &notifier.AnswerError{Err: errors.New("500")}
		}
		return nil
	})
	d.Use(map[string]notifier.Sink{"s": s})
	d.start(t)
	d.send([]string{"s"}, "refused", "answered", "fine")
	s.await(t, 1)
	for range 9 {
		s.await(t, 1)
		d.pass(t, time.Minute)
	}
	s.await(t, 2)
	if got := s.messages(); len(got) != 12 || got[11] != "fine" {
		t.Errorf("tries %q: want one of what is refused, ten of what is answered, and then the next", got)
	}
	d.measured(t, "weighlock_notifications_total", "delivered s 1", "failed s 2", "retried s 9")
}

func TestDispatcher_GivesUpWhatIsTooOld(t *testing.T) {
	d := newDesk(t, notifier.Options{MaxAge: 10 * time.Minute})
	s := newSink(func(e notifier.Event) error {
		if e.Message == "old" {
			return errors.New("away")
		}
		return nil
	})
	d.Use(map[string]notifier.Sink{"s": s})
	d.start(t)
	d.send([]string{"s"}, "old")
	s.await(t, 1)
	d.pass(t, 10*time.Minute)
	s.await(t, 1)
	d.send([]string{"s"}, "new")
	s.await(t, 1)
	if diff := cmp.Diff([]string{"old", "old", "new"}, s.messages()); diff != "" {
		t.Errorf("tries (-want +got):\n%s", diff)
	}
	d.measured(t, "weighlock_notifications_dropped_total", "expired s 1")
}

func TestDispatcher_DropsTheOldestWhenTooManyWait(t *testing.T) {
	d := newDesk(t, notifier.Options{Waiting: 2})
	s := newSink(nil)
	d.Use(map[string]notifier.Sink{"s": s})
	d.send([]string{"s"}, "a", "b", "c", "d")
	d.measured(t, "weighlock_notifications_queue_length", "s 2")
	d.start(t)
	s.await(t, 2)
	if diff := cmp.Diff([]string{"c", "d"}, s.messages()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	d.measured(t, "weighlock_notifications_dropped_total", "full s 2")
}

func TestDispatcher_AHangingSinkDelaysNobody(t *testing.T) {
	d := newDesk(t, notifier.Options{Waiting: 2})
	hold := make(chan struct{})
	hanging, quick := newSink(func(notifier.Event) error { <-hold; return nil }), newSink(nil)
	d.Use(map[string]notifier.Sink{"hanging": hanging, "quick": quick})
	d.start(t)
	start := time.Now()
	for i := range 100 {
		d.send([]string{"hanging", "quick"}, fmt.Sprint(i))
		quick.await(t, 1)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("telling the quick one took %s", took)
	}
	close(hold)
}

func TestDispatcher_LimitsATry(t *testing.T) {
	d := newDesk(t, notifier.Options{Timeout: 20 * time.Millisecond})
	ended := make(chan error, 10)
	d.Use(map[string]notifier.Sink{"s": deliver(func(ctx context.Context, _ notifier.Event) error {
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	})})
	d.start(t)
	d.send([]string{"s"}, "a")
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the try doesn't end")
	}
}

type deliver func(context.Context, notifier.Event) error

func (f deliver) Deliver(ctx context.Context, event notifier.Event) error { return f(ctx, event) }

func TestDispatcher_ANewSinkTakesWhatWaitedForTheOneOfItsName(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	old, other := newSink(func(notifier.Event) error { return errors.New("away") }), newSink(nil)
	d.Use(map[string]notifier.Sink{"s": old})
	d.start(t)
	d.send([]string{"s"}, "a", "b")
	old.await(t, 1)
	// It is in a pause of which the clock says nothing.
	d.Use(map[string]notifier.Sink{"s": other})
	other.await(t, 2)
	if diff := cmp.Diff([]string{"a", "b"}, other.messages()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestDispatcher_ARemovedSinkIsToldNoMore(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	s, stays := newSink(func(notifier.Event) error { return errors.New("away") }), newSink(nil)
	d.Use(map[string]notifier.Sink{"s": s, "stays": stays})
	d.start(t)
	d.send([]string{"s"}, "a", "b")
	s.await(t, 1)
	d.Use(map[string]notifier.Sink{"stays": stays})
	d.send([]string{"s", "stays"}, "c")
	stays.await(t, 1)
	d.measured(t, "weighlock_notifications_dropped_total", "removed s 2")
	d.measured(t, "weighlock_notifications_queue_length", "stays 0")
	d.stop()
	if diff := cmp.Diff([]string{"a"}, s.messages()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestDispatcher_TellsWhatWaitsBeforeItStops(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	hold := make(chan struct{})
	s := newSink(func(e notifier.Event) error {
		<-hold
		if e.Message == "b" {
			return errors.New("away")
		}
		return nil
	})
	d.Use(map[string]notifier.Sink{"s": s})
	d.start(t)
	d.send([]string{"s"}, "a", "b", "c")
	go close(hold)
	d.stop()
	// What failed before it stops is tried once more.
	if diff := cmp.Diff([]string{"a", "b", "c"}, slices.Compact(s.messages())); diff != "" || len(s.messages()) > 4 {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	d.measured(t, "weighlock_notifications_dropped_total", "shutdown s 1")
}

func TestDispatcher_StopsWhenTheFlushTakesTooLong(t *testing.T) {
	d := newDesk(t, notifier.Options{Flush: 5 * time.Second})
	began := make(chan struct{}, 10)
	d.Use(map[string]notifier.Sink{"s": deliver(func(ctx context.Context, _ notifier.Event) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})})
	d.start(t)
	d.send([]string{"s"}, "a", "b")
	<-began
	go func() {
		for !d.clock.HasWaiters() {
			time.Sleep(5 * time.Millisecond)
		}
		d.clock.Step(5 * time.Second)
	}()
	d.stop()
	d.measured(t, "weighlock_notifications_dropped_total", "shutdown s 2")
}

func TestDispatcher_CanBeMadeOncePerRegistry(t *testing.T) {
	registry := prometheus.NewRegistry()
	if _, err := notifier.NewDispatcher(notifier.Options{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	if _, err := notifier.NewDispatcher(notifier.Options{Registerer: registry}); err == nil {
		t.Error("metrics are registered twice")
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

func newClock() *clocktesting.FakeClock {
	return clocktesting.NewFakeClock(time.Unix(1_764_000_000, 0))
}
