package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func TestEye_IsInTroubleUntilEverythingIsHeardAgain(t *testing.T) {
	t.Parallel()
	e := &eye{changed: make(chan struct{}, 1), lost: map[string]error{}}
	news := func() bool {
		select {
		case <-e.changed:
			return true
		default:
			return false
		}
	}
	denied := fmt.Errorf("%w: pods", errDenied)
	for i, step := range []struct {
		path string
		err  error
		want error
		news bool
	}{
		{"/rollouts", nil, nil, false},
		{"/events", errors.ErrUnsupported, errors.ErrUnsupported, true},
		{"/rollouts", nil, errors.ErrUnsupported, false},
		{"/events", errors.ErrUnsupported, errors.ErrUnsupported, false},
		{"/pods", denied, denied, true},
		{"/pods", nil, errors.ErrUnsupported, true},
		{"/events", nil, nil, true},
	} {
		e.hear(step.path, step.err)
		if told, got := news(), e.trouble(); told != step.news || !errors.Is(got, step.want) || (got == nil) != (step.want == nil) {
			t.Errorf("%d: after %v of %s it tells %v, news %v", i, step.err, step.path, got, told)
		}
	}
}

func TestEye_TellsThatTheServerIsAwayBeforeItHasSeenAnything(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") == "" {
			_, _ = io.WriteString(w, `{"kind": "RolloutList", "apiVersion": "weighlock.dev/v1alpha1", "metadata": {"resourceVersion": "1"}, "items": []}`)
			return
		}
		http.Error(w, "no watches here", http.StatusBadRequest)
	}))
	t.Cleanup(server.Close)
	var told bytes.Buffer
	s := newSession(Options{Streams: genericiooptions.IOStreams{ErrOut: &told}})
	none := ""
	s.flags.APIServer, s.flags.KubeConfig = &server.URL, &none
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if _, err := s.open(ctx, sight{namespace: "shop"}); err != nil {
		t.Fatal(err)
	}
	if got, want := told.String(), "the API server can't be heard, trying again: it answers 503 Service Unavailable\nthe API server answers again\n"; got != want {
		t.Errorf("it tells\n%s\nwant\n%s", got, want)
	}
}
