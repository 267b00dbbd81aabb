package slack_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/weighlock/weighlock/notifier/slack"
)

// FuzzHandler has whatever bytes signed: none may break the app, and what is no click of a prompt of ours is turned away.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "[]", "null", `{"type":"block_actions","actions":[null]}`, `{"type":"block_actions","actions":[{}]}`,
		`{"type":"view_submission","view":{"callback_id":"weighlock-abort","private_metadata":"x","state":{"values":{"reason":{}}}}}`,
		`{"type":"block_actions","user":{"id":"U0ALICE"},"actions":[{"action_id":"weighlock-approve","value":"nothing"}]}`,
		`{"type":"block_actions","actions":[{"type":"static_select","selected_option":7}],"state":{"values":{}}}`,
		clicked{action: "weighlock-approve", prompt: "zz", user: "U0ALICE", home: team, team: team, at: "1.1"}.payload(),
	} {
		f.Add(seed)
	}
	id := regexp.MustCompile(`[0-9a-f]{32}`)
	secret := func() (string, error) { return "secret", nil }
	f.Fuzz(func(t *testing.T, payload string) {
		if id.MatchString(payload) {
			t.Skip() // It may be a click, which would be looked for in the cluster.
		}
		app, err := slack.New(slack.Options{Log: logr.Discard(), Clock: clock.RealClock{}, SigningSecret: secret})
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, app: app}
		answer := r.send(signedAt("secret", url.Values{"payload": {payload}}.Encode(), time.Now()))
		if answer.Code != http.StatusOK && answer.Code != http.StatusBadRequest {
			t.Errorf("answered with %d", answer.Code)
		}
	})
}
