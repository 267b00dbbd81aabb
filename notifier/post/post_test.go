package post_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/post"
)

var now = time.Unix(1_764_000_000, 0)

const hush = "T0/B0/hush-hush"

// send posts to a server that answers as the handler says, at a path that is a secret.
func send(t *testing.T, handler http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return post.New(nil, clocktesting.NewFakePassiveClock(now)).JSON(t.Context(), func() (string, error) { return server.URL + "/" + hush + "?token=hush", nil }, []byte(`{"a":1}`), nil)
}

// kind is how the dispatcher takes an error.
func kind(err error) string {
	var permanent *notifier.PermanentError
	var retry *notifier.RetryError
	var answer *notifier.AnswerError
	switch {
	case err == nil:
		return "delivered"
	case errors.As(err, &permanent):
		return "permanent"
	case errors.As(err, &retry):
		return "after " + retry.After.String()
	case errors.As(err, &answer):
		return "a few times"
	default:
		return "again"
	}
}

func TestEncode_WritesNoMoreThanItNeedsTo(t *testing.T) {
	got, err := post.Encode(map[string]string{"a": "<é&\">"})
	if want := `{"a":"<é&\">"}`; err != nil || string(got) != want {
		t.Errorf("got %s and %v, want %s", got, err, want)
	}
	if _, err := post.Encode(func() {}); kind(err) != "permanent" {
		t.Errorf("got %v for what can't be written", err)
	}
}

func TestJSON_SendsTheBody(t *testing.T) {
	err := send(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1000))
		if r.Method != http.MethodPost || r.URL.Path != "/"+hush || string(body) != `{"a":1}` || r.Header.Get("Content-Type") != "application/json" || r.UserAgent() != "weighlock" {
			t.Errorf("got %s %s with %q and %v", r.Method, r.URL, body, r.Header)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestJSON_SaysWhetherAnotherTryIsAnyUse(t *testing.T) {
	for name, test := range map[string]struct {
		code       int
		retryAfter string
		want       string
	}{
		"accepted":           {202, "", "delivered"},
		"bad request":        {400, "", "permanent"},
		"forbidden":          {403, "", "a few times"},
		"not found":          {404, "", "a few times"},
		"timeout":            {408, "", "again"},
		"gone":               {410, "", "permanent"},
		"limited":            {429, "", "after 0s"},
		"limited, seconds":   {429, "7", "after 7s"},
		"limited, fractions": {429, "0.25", "after 250ms"},
		"limited, a date":    {429, now.Add(90 * time.Second).UTC().Format(http.TimeFormat), "after 1m30s"},
		"limited, for long":  {429, "999999999", "after 1h0m0s"},
		"limited, nonsense":  {429, "soon", "after 0s"},
		"error":              {500, "", "a few times"},
		"bad gateway":        {502, "", "again"},
		"unavailable":        {503, "3", "after 3s"},
		"not modified":       {304, "", "permanent"},
	} {
		t.Run(name, func(t *testing.T) {
			err := send(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.retryAfter != "" {
					w.Header().Set("Retry-After", test.retryAfter)
				}
				w.WriteHeader(test.code)
			})
			if got := kind(err); got != test.want {
				t.Errorf("got %q for %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestJSON_FollowsRedirectsThatRepeatTheRequestOnTheSameHostOnly(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was called") }))
	defer other.Close()
	for name, test := range map[string]struct {
		code     int
		location string
		want     string
	}{
		"same host":        {307, "/moved", "delivered"},
		"for good":         {308, "/moved", "delivered"},
		"another method":   {302, "/moved", "permanent"},
		"another host":     {307, other.URL, "permanent"},
		"round and round":  {307, "/" + hush, "permanent"},
		"to nothing known": {307, "ftp://example.com/", "permanent"},
	} {
		t.Run(name, func(t *testing.T) {
			err := send(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/moved" {
					if r.Method != http.MethodPost {
						t.Errorf("the method became %s", r.Method)
					}
					return
				}
				w.Header().Set("Location", test.location)
				w.WriteHeader(test.code)
			})
			if got := kind(err); got != test.want {
				t.Errorf("got %q for %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestJSON_ErrorsDoNotTellTheAddress(t *testing.T) {
	fails := map[string]func(*testing.T) error{
		"an answer": func(t *testing.T) error {
			t.Helper()
			return send(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, "no such path "+r.URL.String())
			})
		},
		"a broken connection": func(t *testing.T) error {
			t.Helper()
			return send(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		},
		"a redirect": func(t *testing.T) error {
			t.Helper()
			return send(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "://"+r.URL.String())
				w.WriteHeader(http.StatusTemporaryRedirect)
			})
		},
	}
	for name, address := range map[string]string{
		"nobody there": "http://127.0.0.1:1/" + hush, "no address": "://" + hush, "a control character": "https://example.com/" + hush + "\x7f",
		"no host": hush, "no host name": "https://hush-hush.invalid.:99999/" + hush, "a password": "http://user:" + "hush-hush@127.0.0.1:1/",
	} {
		fails[name] = func(t *testing.T) error {
			t.Helper()
			return post.New(nil, clocktesting.NewFakePassiveClock(now)).JSON(t.Context(), func() (string, error) { return address, nil }, nil, nil)
		}
	}
	for name, fail := range fails {
		t.Run(name, func(t *testing.T) {
			err := fail(t)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "T0/B0") || strings.Contains(err.Error(), ":hush") || strings.Contains(err.Error(), "token") {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func TestJSON_TellsTheWordThatSlackAnswers(t *testing.T) {
	err := send(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "action_prohibited\n")
	})
	if err == nil || !strings.HasSuffix(err.Error(), "answers 403 Forbidden: action_prohibited") {
		t.Errorf("got %v", err)
	}
}

func TestJSON_ReadsNoMoreOfAnAnswerThanItNeeds(t *testing.T) {
	ended := make(chan struct{})
	err := send(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.WriteHeader(http.StatusBadRequest)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	if kind(err) != "permanent" {
		t.Errorf("got %v", err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the answer without end is still read")
	}
}

func TestJSON_EndsWithTheContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(io.LimitReader(r.Body, 1000))
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := post.New(nil, clocktesting.NewFakePassiveClock(now)).JSON(ctx, func() (string, error) { return server.URL, nil }, nil, nil)
	if kind(err) != "again" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %q for %v", kind(err), err)
	}
}

func TestJSON_ChecksCertificates(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was told") }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	err := post.New(nil, clocktesting.NewFakePassiveClock(now)).JSON(t.Context(), func() (string, error) { return server.URL, nil }, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestJSON_WaitsForASecretThatIsNotThereYet(t *testing.T) {
	err := post.New(nil, clocktesting.NewFakePassiveClock(now)).JSON(t.Context(), func() (string, error) { return "", errors.New("reading a secret: it is empty") }, nil, nil)
	if kind(err) != "a few times" || !strings.Contains(err.Error(), "it is empty") {
		t.Errorf("got %q for %v", kind(err), err)
	}
}
