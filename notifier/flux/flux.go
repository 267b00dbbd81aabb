// Package flux forwards events in Flux's form, as its own controllers do, so that its notification-controller takes them further.
package flux

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/runtime/events"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/post"
)

const (
	controllerName = "weighlock"
	// timeout of a request, its answer included.
	timeout = 10 * time.Second
	// mostAnswer is how much of an answer is read, so that the connection can be used again.
	mostAnswer = 4 << 10
	// mostEvent is how large an event may be, in bytes.
	mostEvent = 1 << 20
	// metaCandidateCommit is the key of a commit that notification-controller takes for no revision of the involved object's: by those that
	// it does (commit, originRevision, revision) it sets the statuses of commits.
	metaCandidateCommit = "candidateCommit"
)

// silent is a log that Flux's recorder can ask for its sink, as it can't ask logr.Discard: the dispatcher logs.
var silent = funcr.New(func(string, string) {}, funcr.Options{})

// Sink forwards events to one receiver.
type Sink struct {
	mu        sync.Mutex
	recorder  *events.Recorder
	transport *transport
}

var _ notifier.Sink = &Sink{}

// New makes a sink for a receiver at an address.
func New(address string, scheme *runtime.Scheme, now clock.PassiveClock) (*Sink, error) {
	// The recorder returns nothing: what came of an event is seen by its transport. Retries are the dispatcher's.
	recorder, err := events.NewRecorderForScheme(scheme, nowhere{}, silent, address, controllerName)
	if err != nil {
		return nil, errors.New("the address of the receiver of Flux's events is no address")
	}
	t := &transport{clock: now, inner: &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 1}}
	recorder.Client.RetryMax = 0
	recorder.Client.HTTPClient = &http.Client{Transport: t, Timeout: timeout, CheckRedirect: post.Within}
	return &Sink{recorder: recorder, transport: t}, nil
}

// Deliver forwards one event.
func (s *Sink) Deliver(ctx context.Context, event notifier.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	severity := corev1.EventTypeNormal
	if event.Warning {
		severity = corev1.EventTypeWarning
	}
	object, annotations := involved(event)
	message := event.Message
	if object.Kind != event.Object.Kind {
		message = event.Object.Kind + " " + event.Key() + ": " + message
	}
	s.transport.ctx, s.transport.at, s.transport.err = ctx, event.At, errors.New("the event wasn't sent: Flux's recorder refused it")
	s.recorder.AnnotatedEventf(object, annotations, severity, event.Reason, "%s", message)
	return s.transport.err
}

// Labels by which Flux marks what it applied, and the kinds that applied it.
var appliers = []struct{ prefix, kind, version string }{
	{"kustomize.toolkit.fluxcd.io", "Kustomization", "v1"},
	{"helm.toolkit.fluxcd.io", "HelmRelease", "v2"},
}

// involved is the object that an event is told of, with what is known beside its message. An Alert of Flux can name kinds of Flux's
// only, so that of a Rollout which Flux applied is told under the Kustomization or HelmRelease that did. Labels are no proof of that: the
// Rollout's name comes first in the message then, and under an object of another namespace only what Weighlock knows is told.
func involved(event notifier.Event) (*corev1.ObjectReference, map[string]string) {
	object := event.Object
	if event.Rollout == nil {
		return &object, maps.Clone(event.Annotations)
	}
	for _, a := range appliers {
		name, namespace := event.Rollout.Labels[a.prefix+"/name"], event.Rollout.Labels[a.prefix+"/namespace"]
		if name != "" && namespace != "" {
			object = corev1.ObjectReference{APIVersion: a.prefix + "/" + a.version, Kind: a.kind, Namespace: namespace, Name: name}
			break
		}
	}
	if object.Namespace != event.Object.Namespace {
		return &object, known(event, metaCandidateCommit)
	}
	metadata := map[string]string{}
	maps.Copy(metadata, event.Annotations)
	for name, value := range event.Rollout.Annotations {
		if strings.HasPrefix(name, eventv1.Group+"/") {
			metadata[name] = value
		}
	}
	maps.Copy(metadata, known(event, eventv1.MetaCommitKey))
	return &object, metadata
}

// known is what Weighlock itself knows of a Rollout, with the commit under a key.
func known(event notifier.Event, commitKey string) map[string]string {
	metadata := map[string]string{eventv1.Group + "/rollout": event.Key()}
	if c := event.Rollout.Status.Candidate; c != nil {
		metadata[eventv1.Group+"/candidate"] = c.Revision
		if c.Commit != "" {
			metadata[eventv1.Group+"/"+commitKey] = c.Commit
		}
	}
	return metadata
}

// transport sees what came of the one event that is under way.
type transport struct {
	clock clock.PassiveClock
	inner http.RoundTripper
	ctx   context.Context //nolint:containedctx // Flux's recorder takes none, so that this is the only way to give one to its request.
	at    time.Time
	err   error
}

// RoundTrip sends a request, and remembers what that means for the event.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	request, t.err = dated(request.Clone(ctx), t.at)
	if t.err != nil {
		return nil, t.err
	}
	response, err := t.inner.RoundTrip(request)
	if err != nil {
		t.err = fmt.Errorf("calling %s: %w", request.URL.Host, err)
		return nil, t.err
	}
	// The recorder leaves the answer unread and open.
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		answer = nil // The status is what counts.
	}
	response.Body = io.NopCloser(bytes.NewReader(answer))
	t.err = nil
	// With 429, notification-controller says that it had the same event a moment ago.
	if response.StatusCode != http.StatusTooManyRequests {
		t.err = post.Judge(request.URL.Host, response, answer, t.clock.Now())
	}
	return response, nil
}

// dated writes into a request when its event happened: the recorder knows only when it is told of.
func dated(request *http.Request, at time.Time) (*http.Request, error) {
	defer request.Body.Close()
	var event eventv1.Event
	if err := json.NewDecoder(io.LimitReader(request.Body, mostEvent)).Decode(&event); err != nil {
		return nil, &notifier.PermanentError{Err: fmt.Errorf("reading what Flux's recorder sends: %w", err)}
	}
	event.Timestamp = metav1.NewTime(at)
	body, err := json.Marshal(event)
	if err != nil {
		return nil, &notifier.PermanentError{Err: fmt.Errorf("writing an event of Flux's form: %w", err)}
	}
	request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	request.Body, err = request.GetBody()
	request.ContentLength = int64(len(body))
	return request, err
}

// nowhere takes the events of Kubernetes that Flux's recorder makes as well: they were made before.
type nowhere struct{}

var _ record.EventRecorder = nowhere{}

func (nowhere) Event(runtime.Object, string, string, string)          {}
func (nowhere) Eventf(runtime.Object, string, string, string, ...any) {}

func (nowhere) AnnotatedEventf(runtime.Object, map[string]string, string, string, string, ...any) {
}
