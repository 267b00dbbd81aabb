package notifier_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier"
)

// told is a recorder before one of Kubernetes', and a sink called s.
type told struct {
	*notifier.Recorder
	*desk
	events *record.FakeRecorder
	sink   *sink
	asked  []string
}

func newTold(t *testing.T, route notifier.Route) *told {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	r := &told{desk: newDesk(t, notifier.Options{}), events: record.NewFakeRecorder(100), sink: newSink(nil)}
	if route == nil {
		route = func(_ client.Object, reason string, warning bool) ([]string, []string) {
			if warning {
				reason += "!"
			}
			r.asked = append(r.asked, reason)
			return []string{"s"}, nil
		}
	}
	r.Use(map[string]notifier.Sink{"s": r.sink})
	r.start(t)
	r.Recorder = notifier.NewRecorder(r.events, r.Dispatcher, route, scheme, r.clock)
	return r
}

func checkout() *v1alpha1.Rollout {
	return &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout", UID: "u1", Annotations: map[string]string{v1alpha1.AnnotationNotify: "s"}},
		Status: v1alpha1.RolloutStatus{
			Attempt:   3,
			Candidate: &v1alpha1.RevisionStatus{Revision: "7d4b9", Commit: "main@sha1:0123456789abcdef0123456789abcdef01234567", Author: "Alice"},
			Step:      &v1alpha1.StepStatus{Index: 1, Position: "2/3", Name: "half"},
			Traffic:   &v1alpha1.TrafficStatus{Asked: "50%", Measured: "49.8%"},
			Verdict: &v1alpha1.VerdictStatus{Metrics: []v1alpha1.MetricStatus{
				{Name: "errors", Candidate: "4.6%", Incumbent: "0%"}, {Name: "latency", Incumbent: "p99 80 ms"}, {Name: "queue"},
			}},
		},
	}
}

func TestRecorder_MakesEventsAndTellsSinks(t *testing.T) {
	r := newTold(t, nil)
	rollout := checkout()
	r.Event(rollout, corev1.EventTypeNormal, "StepEntered", "step 1")
	r.Eventf(rollout, corev1.EventTypeWarning, "RolledBack", "%d%% failed", 5)
	r.AnnotatedEventf(rollout, map[string]string{"a": "b"}, corev1.EventTypeNormal, "Completed", "all %s", "done")
	rollout.Status.Attempt = 4
	r.sink.await(t, 3)
	for _, want := range []string{"Normal StepEntered step 1", "Warning RolledBack 5% failed", "Normal Completed all done"} {
		if got := <-r.events.Events; !strings.HasPrefix(got, want) {
			t.Errorf("the event of Kubernetes is %q, want %q", got, want)
		}
	}
	got := r.sink.told[1]
	if !got.Warning || got.Reason != "RolledBack" || got.Message != "5% failed" || !got.At.Equal(r.clock.Now()) || got.Key() != "shop/checkout" ||
		got.Object.Kind != "Rollout" || got.Object.APIVersion != "weighlock.dev/v1alpha1" {
		t.Errorf("told %+v", got)
	}
	if got.Rollout.Status.Attempt != 3 {
		t.Error("the Rollout is not as it was then")
	}
	if r.sink.told[2].Annotations["a"] != "b" || r.sink.told[0].Warning {
		t.Errorf("told %+v and %+v", r.sink.told[0], r.sink.told[2])
	}
	if diff := cmp.Diff([]string{"StepEntered", "RolledBack!", "Completed"}, r.asked); diff != "" {
		t.Errorf("routed (-want +got):\n%s", diff)
	}
}

func TestRecorder_TellsOfWhatIsNoRollout(t *testing.T) {
	r := newTold(t, nil)
	r.Event(&v1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "git"}}, corev1.EventTypeWarning, "FetchFailed", "away")
	r.sink.await(t, 1)
	if got := r.sink.told[0]; got.Rollout != nil || got.Object.Kind != "GitSource" || got.Facts() != nil {
		t.Errorf("told %+v", got)
	}
}

func TestRecorder_TellsNothingTwiceInARow(t *testing.T) {
	r := newTold(t, nil)
	rollout, other := checkout(), checkout()
	other.UID = "u2"
	say := func(rollout *v1alpha1.Rollout, message string) {
		r.Event(rollout, corev1.EventTypeNormal, "Paused", message)
	}
	say(rollout, "a")
	say(rollout, "a") // A repetition.
	say(other, "a")
	say(rollout, "b")
	say(rollout, "a")
	rollout.Status.Attempt++
	say(rollout, "a")
	r.clock.Step(59 * time.Second)
	say(rollout, "a") // A repetition.
	r.clock.Step(time.Minute)
	say(rollout, "a")
	r.sink.await(t, 6)
	r.stop()
	if diff := cmp.Diff([]string{"a", "a", "b", "a", "a", "a"}, r.sink.messages()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if len(r.events.Events) != 8 {
		t.Errorf("%d events of Kubernetes, which counts repetitions itself: want 8", len(r.events.Events))
	}
}

// Two who write a route against each other would fill a channel.
func TestRecorder_TellsOnceAnHourOfWhatGoesOnAndOn(t *testing.T) {
	r := newTold(t, nil)
	for range 361 {
		r.Event(checkout(), corev1.EventTypeWarning, "RouteReasserted", "the route was changed by argocd: writing it again")
		<-r.events.Events
		r.clock.Step(10 * time.Second)
	}
	r.stop()
	if got := len(r.sink.messages()); got != 2 {
		t.Errorf("told %d times in an hour, want at its start and at its end", got)
	}
}

// Who is told of some events only must still hear of each of them.
func TestRecorder_KnowsOfWhatCameBetweenThoughNobodyIsTold(t *testing.T) {
	r := newTold(t, func(_ client.Object, reason string, _ bool) ([]string, []string) {
		if reason == "ApprovalNeeded" {
			return []string{"s"}, nil
		}
		return nil, nil
	})
	for _, reason := range []string{"ApprovalNeeded", "Approved", "ApprovalNeeded"} {
		r.Event(checkout(), corev1.EventTypeNormal, reason, reason)
	}
	r.stop()
	if diff := cmp.Diff([]string{"ApprovalNeeded", "ApprovalNeeded"}, r.sink.messages()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestRecorder_SaysOnceWhichSinksAreNamedInVain(t *testing.T) {
	r := newTold(t, func(client.Object, string, bool) ([]string, []string) { return nil, []string{"theirs", "typo"} })
	r.Event(checkout(), corev1.EventTypeNormal, "Started", "a")
	r.clock.Step(59 * time.Minute)
	r.Event(checkout(), corev1.EventTypeNormal, "Promoted", "b")
	want := []string{"Normal Started a", "Warning NotificationRefused the annotation weighlock.dev/notify names theirs, typo: there is no such sink, or its namespaces in Weighlock's configuration leave out \"shop\"", "Normal Promoted b"}
	var got []string
	for len(r.events.Events) > 0 {
		got = append(got, <-r.events.Events)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestRecorder_KeepsEventsShort(t *testing.T) {
	r := newTold(t, func(client.Object, string, bool) ([]string, []string) {
		return nil, []string{strings.Repeat("x", 5000)}
	})
	r.Event(checkout(), corev1.EventTypeNormal, "Started", "a")
	<-r.events.Events
	if got := <-r.events.Events; len(got) > 1024 {
		t.Errorf("an event of %d characters: the API server takes 1,024", len(got))
	}
}

func TestRecorder_ForgetsRatherThanGrows(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, notifier.Options{Waiting: 20000})
	first := make(chan struct{}, 2)
	d.Use(map[string]notifier.Sink{"s": deliver(func(_ context.Context, event notifier.Event) error {
		if event.Object.Name == "first" {
			first <- struct{}{}
		}
		return nil
	})})
	route := func(client.Object, string, bool) ([]string, []string) { return []string{"s"}, nil }
	r := notifier.NewRecorder(&record.FakeRecorder{}, d.Dispatcher, route, scheme, d.clock)
	say := func(name string) {
		r.Event(&v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}, corev1.EventTypeNormal, "Started", "a")
	}
	say("first")
	for i := range 10000 {
		say(fmt.Sprint("other-", i))
	}
	say("first")
	d.start(t)
	d.stop()
	if len(first) != 2 {
		t.Error("what was told of the first object is remembered after ten thousand others")
	}
}

// BenchmarkRecorder says what telling costs a reconciler: with nobody to tell, and with three sinks.
func BenchmarkRecorder(b *testing.B) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		b.Fatal(err)
	}
	for name, sinks := range map[string][]string{"nobody": nil, "three": {"a", "b", "c"}} {
		b.Run(name, func(b *testing.B) {
			dispatcher, err := notifier.NewDispatcher(notifier.Options{})
			if err != nil {
				b.Fatal(err)
			}
			dispatcher.Use(map[string]notifier.Sink{"a": newSink(nil), "b": newSink(nil), "c": newSink(nil)})
			route := func(client.Object, string, bool) ([]string, []string) { return sinks, nil }
			r := notifier.NewRecorder(&record.FakeRecorder{}, dispatcher, route, scheme, newClock())
			rollout := checkout()
			b.ReportAllocs()
			for b.Loop() {
				rollout.Status.Attempt++
				r.Event(rollout, corev1.EventTypeNormal, "StepEntered", "step 1")
			}
		})
	}
}
