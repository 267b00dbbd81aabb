package e2e_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/shop"
)

// answerTimeout is how long users wait for an answer: slow is not lost.
const answerTimeout = 60 * time.Second

// users send requests to the shop.
type users struct {
	t         *testing.T
	generator *load.Generator
	cancel    context.CancelFunc
	done      chan error
}

// users begin to send requests, to the rig's shop.
func (r *rig) users(options load.Options) *users {
	r.t.Helper()
	options.URL, options.Timeout = r.url(), answerTimeout
	generator, err := load.New(options)
	if err != nil {
		r.t.Fatal(err)
	}
	u := &users{t: r.t, generator: generator, done: make(chan error, 1)}
	var ctx context.Context
	ctx, u.cancel = context.WithCancel(r.t.Context())
	go func() { u.done <- generator.Run(ctx) }()
	r.t.Cleanup(u.cancel)
	return u
}

// stop has them send no more, and waits for the answers.
func (u *users) stop() load.Stats {
	u.t.Helper()
	u.cancel()
	if err := <-u.done; err != nil {
		u.t.Fatal(err)
	}
	return u.generator.Stats()
}

// load sends requests to the shop until the returned function is called.
func (r *rig) load(rate float64) (stop func() load.Stats) {
	r.t.Helper()
	return r.users(load.Options{Rate: rate}).stop
}

func (r *rig) url() string {
	return "http://" + shop.Name + "." + r.namespace + ".svc." + address.ClusterDomain + "/"
}

// served waits until the shop answers with a version.
func (r *rig) served(version string) {
	r.t.Helper()
	r.servedAt(r.url(), version)
}

func (r *rig) servedAt(url, version string) {
	r.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var got string
		if got, err = answer(r.t.Context(), client, url); err == nil && got == version {
			return
		}
	}
	r.t.Fatalf("%s does not answer with version %s: %v", url, version, err)
}

// answered waits until the shop answers.
func (r *rig) answered() {
	r.t.Helper()
	client := &http.Client{Timeout: time.Second}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := answer(r.t.Context(), client, r.url()); err == nil {
			return
		}
	}
	r.t.Fatal("the shop does not answer")
}

func answer(ctx context.Context, client *http.Client, url string) (string, error) {
	response, err := get(ctx, client, url)
	if err != nil {
		return "", err
	}
	return response.version, nil
}

// reply is what came back from an address.
type reply struct {
	version string
	body    []byte
}

func get(ctx context.Context, client *http.Client, url string) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return reply{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return reply{}, err
	}
	if response.StatusCode != http.StatusOK {
		return reply{}, errors.New(response.Status)
	}
	return reply{version: response.Header.Get(load.VersionHeader), body: body}, nil
}

// unharmed fails the test if users saw a failure but by the versions named.
func unharmed(t *testing.T, stats load.Stats, except ...string) {
	t.Helper()
	wholeVersions(t, stats, except...)
	if stats.Sent == 0 || stats.FailedOnTheWay > 0 || stats.Dropped > 0 {
		t.Errorf("of %d requests %d failed on the way, %d were dropped: %+v", stats.Sent, stats.FailedOnTheWay, stats.Dropped, stats.Failures)
	}
}

// wholeVersions fails the test if a version answered with a failure, but those
// named.
func wholeVersions(t *testing.T, stats load.Stats, except ...string) {
	t.Helper()
	for _, v := range stats.Versions {
		if v.Version != "" && v.Failed > 0 && !slices.Contains(except, v.Version) {
			t.Errorf("%d of %d requests failed by version %q", v.Failed, v.Requests, v.Version)
		}
	}
}
