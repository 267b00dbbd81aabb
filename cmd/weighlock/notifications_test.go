package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/configuration"
	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/post"
)

// Such an address would take every event, and tell nobody.
func TestNotifications_RefuseAnAddressThatIsNone(t *testing.T) {
	for _, address := range []string{"notification-controller.flux-system", "notification-controller:80", "http://", "http://user:hush@example.com/"} {
		_, err := newNotifications(nil, options{eventsAddr: address})
		if err == nil || !strings.HasPrefix(err.Error(), "--events-addr: ") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

// A sink that asked for a rest is left alone when the configuration changes elsewhere, and tried at once when it is another itself.
func TestNotifications_KeepSinksThatStayAsTheyAre(t *testing.T) {
	tries := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries <- r.Header.Get("Authorization")
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	t.Setenv("WEIGHLOCK_TEST_URL", server.URL)
	t.Setenv("WEIGHLOCK_TEST_AUTHORIZATION", "Bearer x")
	dispatcher, err := notifier.NewDispatcher(notifier.Options{Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	n := &notifications{log: logr.Discard(), client: post.New(nil, clock.RealClock{}), dispatcher: dispatcher}
	use := func(more string) {
		t.Helper()
		c, err := configuration.Parse(strings.NewReader(noSlack + "sinks:\n- name: audit\n  webhook:\n    url: {env: WEIGHLOCK_TEST_URL}\n" + more))
		if err != nil {
			t.Fatal(err)
		}
		n.use(c)
	}
	tried := func(want string) {
		t.Helper()
		select {
		case got := <-tries:
			if got != want {
				t.Errorf("tried with %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatal("the sink isn't tried")
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	use("")
	go func() { ended <- dispatcher.Start(ctx) }()
	dispatcher.Send([]string{"audit"}, &notifier.Event{At: time.Now()})
	tried("")
	use("- name: other\n  discord: {url: {env: X}}\n")
	select {
	case <-tries:
		t.Error("the change of another sink ends the rest")
	case <-time.After(100 * time.Millisecond):
	}
	use("    headers: {Authorization: {env: WEIGHLOCK_TEST_AUTHORIZATION}}\n")
	tried("Bearer x")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
