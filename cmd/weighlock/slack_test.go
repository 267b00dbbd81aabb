package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/configuration"
)

const noSlack = "apiVersion: weighlock.dev/v1alpha1\nkind: Configuration\n"

func socketMode(more string) string {
	return noSlack + "slack:\n  mode: socket\n  botToken: {env: B}\n  appToken: {env: A}\n" + more
}

func httpMode(listen string) string {
	return noSlack + "slack:\n  mode: http\n  botToken: {env: B}\n  signingSecret: {env: S}\n  listen: " + listen + "\n"
}

// listening is a listener that runs, with a configuration file that can be written.
type listening struct {
	*listener
	t    *testing.T
	path string
	// loaded is sent to when a version of the file was taken.
	loaded chan struct{}
}

// listens starts a listener with a configuration.
func listens(t *testing.T, config string, l *listener) *listening {
	t.Helper()
	r := &listening{listener: l, t: t, path: filepath.Join(t.TempDir(), "config.yaml"), loaded: make(chan struct{}, 10)}
	if err := os.WriteFile(r.path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := configuration.Open(r.path, configuration.FileOptions{
		Clock: clock.RealClock{}, Log: logr.Discard(), Every: 10 * time.Millisecond,
		OnChange: func(*configuration.Configuration) {
			l.changes()
			r.loaded <- struct{}{}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.file, l.log, l.changed, l.retry = file, logr.Discard(), make(chan struct{}, 1), 10*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- file.Start(ctx) }()
	go func() { ended <- l.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Error("it doesn't end")
			}
		}
	})
	return r
}

func (r *listening) write(config string) {
	r.t.Helper()
	// In one step, as the kubelet does it.
	if err := os.WriteFile(r.path+".new", []byte(config), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.path+".new", r.path); err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-r.loaded:
	case <-time.After(time.Minute):
		r.t.Fatal("the file isn't read again")
	}
}

func TestListener_ListensAsLongAsTheConfigurationSaysSo(t *testing.T) {
	happened := make(chan string, 10)
	next := func(want string) {
		t.Helper()
		select {
		case got := <-happened:
			if got != want {
				t.Fatalf("it %s, want that it %s", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("waited in vain for it to %s", want)
		}
	}
	r := listens(t, noSlack, &listener{mode: configuration.ModeSocket, listen: func(ctx context.Context, s configuration.Slack) error {
		happened <- "connects to " + s.APIURL
		<-ctx.Done()
		happened <- "ends"
		return ctx.Err()
	}})
	r.write(socketMode(""))
	next("connects to ")
	// What has nothing to do with it ends no connection.
	r.write(socketMode("  people: {U1: alice}\n"))
	r.write(socketMode("  apiURL: https://slack.example.com/\n"))
	next("ends")
	next("connects to https://slack.example.com/")
	r.write(httpMode(":9798"))
	next("ends")
	r.write(socketMode(""))
	next("connects to ")
	r.write(noSlack)
	next("ends")
}

func TestListener_TriesAgain(t *testing.T) {
	tries := make(chan struct{}, 100)
	listens(t, socketMode(""), &listener{mode: configuration.ModeSocket, listen: func(context.Context, configuration.Slack) error {
		tries <- struct{}{}
		return errors.New("away")
	}})
	for range 3 {
		select {
		case <-tries:
		case <-time.After(time.Minute):
			t.Fatal("it isn't tried again")
		}
	}
}

// free is an address on which nobody listens.
func free(t *testing.T) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return socket.Addr().String()
}

func TestServeSlack_MovesWithTheConfiguration(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
	first, second := free(t), free(t)
	r := listens(t, httpMode(first), &listener{mode: configuration.ModeHTTP, listen: func(ctx context.Context, s configuration.Slack) error {
		return serveSlack(ctx, s.Listen, handler)
	}})
	ask := func(address string) string {
		response, err := http.DefaultTransport.RoundTrip(httptest.NewRequest(http.MethodPost, "http://"+address+"/slack/interactions", strings.NewReader("payload")))
		if err != nil {
			return "nobody there"
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 1000))
		if err != nil {
			return err.Error()
		}
		return string(body)
	}
	until := func(address, want string) {
		t.Helper()
		got := ""
		for range 400 {
			if got = ask(address); got == want {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s says %q, want %q", address, got, want)
	}
	until(first, "/slack/interactions")
	r.write(httpMode(second))
	until(second, "/slack/interactions")
	until(first, "nobody there")
}
