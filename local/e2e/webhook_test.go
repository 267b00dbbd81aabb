package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/stack"
)

// hooks is where this program takes what Weighlock tells a webhook.
const hooks = "10.96.0.40:8080"

// told are the requests that came there, since the tests began.
var told receiver

// receiver takes CloudEvents.
type receiver struct {
	mu       sync.Mutex
	requests []hooked
	// refusing is a namespace whose events it answers with 503, and refused
	// counts those.
	refusing string
	refused  int
}

// hooked is a request to a webhook.
type hooked struct {
	signature, kind string
	body            []byte
	at              time.Time
}

// cloudEvent is what a request tells.
type cloudEvent struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"`
	Time        time.Time `json:"time"`
	Data        struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
		Rollout *struct {
			State     string            `json:"state"`
			Candidate *observe.Revision `json:"candidate"`
		} `json:"rollout"`
	} `json:"data"`
}

// in says whether an event is about an object of a namespace.
func (e cloudEvent) in(namespace string) bool { return strings.HasPrefix(e.Subject, namespace+"/") }

// listen takes requests until the program ends.
func (r *receiver) listen() error {
	listener, err := net.Listen("tcp", hooks)
	if err != nil {
		return fmt.Errorf("take what a webhook is told: %w", err)
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(io.LimitReader(request.Body, 1<<20))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var event cloudEvent
	// What is no event is told by who looks for it.
	_ = json.Unmarshal(body, &event)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusing != "" && event.in(r.refusing) {
		r.refused++
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.requests = append(r.requests, hooked{
		signature: request.Header.Get("Weighlock-Signature"), kind: request.Header.Get("Content-Type"), body: body, at: time.Now(),
	})
}

// refuse has it refuse the events of a namespace, or none any more, and says how
// many it did.
func (r *receiver) refuse(namespace string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusing = namespace
	return r.refused
}

// of are the events of a namespace, whose requests are checked.
func (r *receiver) of(t *testing.T, namespace string) []cloudEvent {
	t.Helper()
	r.mu.Lock()
	requests := slices.Clone(r.requests)
	r.mu.Unlock()
	var events []cloudEvent
	for _, q := range requests {
		var event cloudEvent
		if err := json.Unmarshal(q.body, &event); err != nil {
			t.Fatalf("the webhook was told %s: %v", q.body, err)
		}
		if !event.in(namespace) {
			continue
		}
		if err := q.genuine(); err != nil {
			t.Error(err)
		}
		if event.SpecVersion != "1.0" || event.ID == "" || event.Source == "" || event.Time.IsZero() || !strings.HasPrefix(q.kind, "application/cloudevents+json") {
			t.Errorf("no CloudEvent: %s, of the type %s", q.body, q.kind)
		}
		events = append(events, event)
	}
	return events
}

// genuine says what is wrong with a request's signature.
func (q hooked) genuine() error {
	seconds, signature, ok := strings.Cut(strings.TrimPrefix(q.signature, "t="), ",v1=")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || err != nil {
		return fmt.Errorf("the signature is %q", q.signature)
	}
	if age := q.at.Sub(time.Unix(at, 0)); age > time.Minute || age < -time.Minute {
		return fmt.Errorf("the signature is %s old", age)
	}
	hash := hmac.New(sha256.New, []byte(stack.WebhookSecret))
	hash.Write([]byte(seconds + "."))
	hash.Write(q.body)
	if signature != hex.EncodeToString(hash.Sum(nil)) {
		return errors.New("the signature is wrong")
	}
	return nil
}

func TestWebhook_IsToldOfARolloutInOrderThoughItWasAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, "hooked")
	r.edit = shorter
	r.open()
	stop := r.load(100)
	told.refuse(r.namespace)
	defer told.refuse("")
	commit := r.commit(shop.Version{Name: "2"})
	r.inStep("a-quarter")
	// What takes the events is away: the rollout doesn't wait for it.
	if told.refuse("") == 0 {
		t.Error("nothing was told while it was away")
	}
	r.promoted(commit)
	unharmed(t, stop())

	want := []string{"Started", "StepEntered", "StepEntered", "StepEntered", "Promoted", "Completed"}
	var got, ids []string
	r.until("the webhook to be told of the rollout", func(observe.View) error {
		got, ids = nil, nil
		for _, event := range told.of(t, r.namespace) {
			if event.Subject != r.namespace+"/"+shop.Name || !slices.Contains(want, event.Data.Reason) {
				continue
			}
			got, ids = append(got, event.Data.Reason), append(ids, event.ID)
			if event.Type != "dev.weighlock.rollout."+strings.ToLower(event.Data.Reason) || event.Data.Message == "" || event.Data.Rollout == nil {
				t.Errorf("it is told %+v", event)
			}
		}
		if len(got) < len(want) {
			return fmt.Errorf("it was told of %v", got)
		}
		return nil
	})
	if !slices.Equal(got, want) {
		t.Errorf("it was told of %v, want %v", got, want)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != len(want) {
		t.Errorf("something was told twice: %v", ids)
	}
}
