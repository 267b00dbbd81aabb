package notifier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weighlock/weighlock/notifier"
)

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

// An alert on the increase of a counter sees nothing of one that comes into being with its first failure.
func TestDispatcher_CountsFromZero(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	d.Use(map[string]notifier.Sink{"s": newSink(nil)})
	for name, want := range map[string]int{"weighlock_notifications_total": 3, "weighlock_notifications_dropped_total": 4} {
		if got, err := testutil.GatherAndCount(d.registry, name); err != nil || got != want {
			t.Errorf("%d series of %s before anything was told, and %v: want %d", got, name, err, want)
		}
	}
}

// Who was away, and answers with errors while it starts, is not given up for the time that it was away.
func TestDispatcher_CountsAnswersOnly(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	tries := 0
	s := newSink(nil)
	s.answer = func(notifier.Event) error {
		tries++
		switch {
		case tries <= 12:
			return errors.New("away")
		case tries <= 21:
			return &notifier.AnswerError{Err: errors.New("404")}
		}
		return nil
	}
	d.Use(map[string]notifier.Sink{"s": s})
	d.start(t)
	d.send([]string{"s"}, "a")
	for range 21 {
		s.await(t, 1)
		d.pass(t, time.Minute)
	}
	s.await(t, 1)
	d.measured(t, "weighlock_notifications_total", "delivered s 1", "retried s 21")
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
	case <-time.After(time.Minute):
		t.Error("the try doesn't end")
	}
}

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

// A change of the configuration that has nothing to do with a sink must not end the rest that it asked for.
func TestDispatcher_TheSameSinkKeepsItsRest(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	limited := newSink(func(notifier.Event) error {
		return &notifier.RetryError{After: time.Hour, Err: errors.New("rate limited")}
	})
	d.Use(map[string]notifier.Sink{"s": limited})
	d.start(t)
	d.send([]string{"s"}, "a")
	limited.await(t, 1)
	d.Use(map[string]notifier.Sink{"s": limited, "other": newSink(nil)})
	d.unmoved(t, limited)
}

func TestDispatcher_ASinkThatWasReplacedWhileNothingWaitedKeepsItsRest(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	away := newSink(func(notifier.Event) error { return errors.New("away") })
	d.Use(map[string]notifier.Sink{"s": newSink(nil)})
	d.start(t)
	d.Use(map[string]notifier.Sink{"s": away})
	d.send([]string{"s"}, "a")
	away.await(t, 1)
	d.unmoved(t, away)
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

func TestDispatcher_ASinkThatComesBackIsMeasured(t *testing.T) {
	d := newDesk(t, notifier.Options{})
	hold, began := make(chan struct{}), make(chan struct{})
	d.Use(map[string]notifier.Sink{"s": newSink(func(notifier.Event) error { close(began); <-hold; return nil })})
	d.start(t)
	d.send([]string{"s"}, "a")
	<-began
	d.Use(nil)
	d.measured(t, "weighlock_notifications_queue_length")
	d.Use(map[string]notifier.Sink{"s": newSink(nil)})
	close(hold)
	d.stop()
	d.measured(t, "weighlock_notifications_queue_length", "s 0")
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
