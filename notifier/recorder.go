package notifier

import (
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// ReasonRefused is the reason of the event that tells of a sink that a Rollout names and may not, or that isn't there.
const ReasonRefused = "NotificationRefused"

const (
	// repeats is how soon an event comes again that is only repeated, as when a write failed and what was done is done again, or when
	// somebody undoes it time and again. What comes later has happened anew.
	repeats = time.Minute
	// goesOn is after how long it is told again that something still comes again and again.
	goesOn = time.Hour
	// mostNames is how much is told of the names that an annotation has in vain, in characters: events of Kubernetes are short.
	mostNames = 300
	// mostRemembered is of how many objects it is known what happened last.
	mostRemembered = 8192
)

// Route says who is told of an event about an object: the names of sinks; and the names of those that were asked for in vain.
type Route func(object client.Object, reason string, warning bool) (sinks, refused []string)

// Recorder makes events of Kubernetes, and hands them to a dispatcher. It takes no longer than that: deliveries are the dispatcher's.
type Recorder struct {
	events     record.EventRecorder
	dispatcher *Dispatcher
	route      Route
	scheme     *runtime.Scheme
	clock      clock.PassiveClock

	mu   sync.Mutex
	last map[string]told
}

// told is what happened last to an object.
type told struct {
	attempt         int64
	reason, message string
	// at is when it was told, and seen when it came last.
	at, seen time.Time
}

var _ record.EventRecorder = &Recorder{}

// NewRecorder makes a recorder in front of one that makes events of Kubernetes.
func NewRecorder(events record.EventRecorder, dispatcher *Dispatcher, route Route, scheme *runtime.Scheme, now clock.PassiveClock) *Recorder {
	return &Recorder{events: events, dispatcher: dispatcher, route: route, scheme: scheme, clock: now, last: map[string]told{}}
}

// Event records an event.
func (r *Recorder) Event(object runtime.Object, eventtype, reason, message string) {
	r.events.Event(object, eventtype, reason, message)
	r.tell(object, nil, eventtype, reason, message)
}

// Eventf records an event with a message of parts.
func (r *Recorder) Eventf(object runtime.Object, eventtype, reason, messageFmt string, args ...any) {
	r.Event(object, eventtype, reason, fmt.Sprintf(messageFmt, args...))
}

// AnnotatedEventf records an event with annotations.
func (r *Recorder) AnnotatedEventf(object runtime.Object, annotations map[string]string, eventtype, reason, messageFmt string, args ...any) {
	message := fmt.Sprintf(messageFmt, args...)
	r.events.AnnotatedEventf(object, annotations, eventtype, reason, "%s", message)
	r.tell(object, annotations, eventtype, reason, message)
}

// tell hands an event to the dispatcher where somebody is to be told.
func (r *Recorder) tell(object runtime.Object, annotations map[string]string, eventtype, reason, message string) {
	about, is := object.(client.Object)
	if !is {
		return
	}
	warning := eventtype == corev1.EventTypeWarning
	now := r.clock.Now()
	said := told{reason: reason, message: message, at: now, seen: now}
	rollout, _ := about.(*v1alpha1.Rollout)
	if rollout != nil {
		said.attempt = rollout.Status.Attempt
	}
	// What nobody is told of is remembered too: what comes before and after it are two events.
	news := r.isNews(key(about), said, repeats)
	sinks, refused := r.route(about, reason, warning)
	if len(refused) > 0 {
		r.refuse(about, refused, now)
	}
	if len(sinks) == 0 || !news {
		return
	}
	reference, err := reference.GetReference(r.scheme, object)
	if err != nil {
		return // Events of Kubernetes need one too, and log that there is none.
	}
	event := &Event{At: now, Warning: warning, Reason: reason, Message: message, Object: *reference, Annotations: annotations}
	if rollout != nil {
		event.Rollout = rollout.DeepCopy()
	}
	r.dispatcher.Send(sinks, event)
}

// refuse tells of sinks that a Rollout names in vain, which it does with each event.
func (r *Recorder) refuse(object client.Object, names []string, now time.Time) {
	message := fmt.Sprintf("the annotation %s names %s: there is no such sink, or its namespaces in Weighlock's configuration leave out %q",
		v1alpha1.AnnotationNotify, Cut(strings.Join(names, ", "), mostNames), object.GetNamespace())
	if r.isNews(ReasonRefused+key(object), told{reason: ReasonRefused, message: message, at: now, seen: now}, goesOn) {
		r.events.Event(object, corev1.EventTypeWarning, ReasonRefused, message)
	}
}

// isNews says whether this is more than what happened last to the object, come again within a time, and remembers it.
func (r *Recorder) isNews(key string, said told, within time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.last[key]
	news := !known || before.attempt != said.attempt || before.reason != said.reason || before.message != said.message ||
		said.seen.Sub(before.seen) >= within || said.at.Sub(before.at) >= goesOn
	if !news {
		said.at = before.at
	}
	if !known && len(r.last) >= mostRemembered {
		r.forget(said.seen)
	}
	r.last[key] = said
	return news
}

// forget makes room: of what is old, else of everything.
func (r *Recorder) forget(now time.Time) {
	for key, said := range r.last {
		if now.Sub(said.seen) >= repeats {
			delete(r.last, key)
		}
	}
	if len(r.last) >= mostRemembered {
		clear(r.last)
	}
}

func key(object client.Object) string {
	if uid := object.GetUID(); uid != "" {
		return string(uid)
	}
	return object.GetNamespace() + "/" + object.GetName()
}
