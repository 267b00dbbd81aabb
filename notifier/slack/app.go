// Package slack tells people in Slack of rollouts, and lets them decide there. Each rollout has one message in a channel, which
// changes as it goes, with what happens in its thread. A step that waits for people asks them there, with buttons; a click becomes a
// Decision in the person's name. What is to be remembered of that (the messages, and what a button is about) is kept in the Rollout's
// status, so that neither a restart nor an outage of Slack loses it or says anything twice.
package slack

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	slackapi "github.com/slack-go/slack"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Channel is one in which people are told of a Rollout.
type Channel struct {
	// Sink is the name that the configuration has for it, ID the channel's.
	Sink, ID string
	// Approvals says that people are asked there.
	Approvals bool
}

// Options of the app. Its secrets, channels and people are asked for each time, since the configuration may change.
type Options struct {
	// Client reads from caches, and writes decisions and statuses; Live asks the API server.
	Client client.Client
	Live   client.Reader
	Clock  clock.Clock
	Log    logr.Logger
	// APIURL is Slack's; empty for Slack's own. It ends with a slash.
	APIURL func() string
	// BotToken is the app's; AppToken that for Socket Mode; SigningSecret that for requests by HTTP.
	BotToken, AppToken, SigningSecret func() (string, error)
	// Channels in which people are told of a Rollout.
	Channels func(*v1alpha1.Rollout) []Channel
	// Approvers are the members and user groups who may decide in a namespace where a step names nobody.
	Approvers func(namespace string) (users, groups []string)
	// Person is the Kubernetes user that a member is; empty where that isn't known.
	Person func(member string) string
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
}

// App is the Slack app.
type App struct {
	o        Options
	http     *http.Client
	measures *measures
	pace     *paces
	members  members
	replays  replays
	// pieces bounds how much of requests is read at a time, and working how many clicks are worked on.
	pieces, working chan struct{}
	work            sync.WaitGroup

	mu sync.Mutex
	// threads that were made or changed here, by Rollout and sink: caches may not show them yet.
	threads map[threadKey]told
	// shown is what was last written into messages, by channel and timestamp.
	shown map[string]shown
	// doubtful are messages that may have been sent though Slack didn't say so, by their ids.
	doubtful map[string]time.Time
	home     workspace
	// unsigned is what was said last of a signing secret that can't be read.
	unsigned string
	// stopping is closed when the app is to end; stopped says that it was.
	stopping chan struct{}
	stopped  bool
	// queue has Rollouts looked at; nil where this replica doesn't.
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

const (
	// callTimeout is how long one call of Slack's may take.
	callTimeout = 10 * time.Second
	// clickTimeout is how long a click may take to become a decision.
	clickTimeout = 30 * time.Second
	// mostClicks are worked on at a time; more are turned away.
	mostClicks = 32
)

// New makes the app. It does nothing yet.
func New(o Options) (*App, error) {
	m, err := newMeasures(o.Registerer)
	if err != nil {
		return nil, err
	}
	a := &App{
		o: o, measures: m, http: newClient(), pieces: make(chan struct{}, mostPieces), working: make(chan struct{}, mostClicks),
		threads: map[threadKey]told{}, shown: map[string]shown{}, doubtful: map[string]time.Time{},
		stopping: make(chan struct{}), pace: newPaces(),
	}
	a.members.known = map[string]group{}
	a.replays.seen = map[string]time.Time{}
	return a, nil
}

// api is Slack's, with the token of the moment.
func (a *App) api() (*slackapi.Client, error) {
	token, err := a.o.BotToken()
	if err != nil {
		return nil, fmt.Errorf("reading the bot token: %w", err)
	}
	return slackapi.New(token, a.options()...), nil
}

func (a *App) options() []slackapi.Option {
	options := []slackapi.Option{slackapi.OptionHTTPClient(a.http)}
	if a.o.APIURL != nil {
		if url := a.o.APIURL(); url != "" {
			options = append(options, slackapi.OptionAPIURL(url))
		}
	}
	return options
}

// call makes one call of Slack's, when its pace allows that, and counts it. Channel is the one that it is about; empty for none. Where
// Slack has asked for a rest, whoever called, nothing is called.
func (a *App) call(ctx context.Context, method, channel string, do func(context.Context, *slackapi.Client) error) error {
	api, err := a.api()
	if err != nil {
		return &callError{method: method, err: err, unsent: true}
	}
	if err := a.pace.wait(ctx, method, channel); err != nil {
		return &callError{method: method, err: err, unsent: true}
	}
	if rest := a.pace.rest(method, channel, a.o.Clock.Now()); rest > 0 {
		return &callError{method: method, err: &restError{rest}, unsent: true}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = do(ctx, api)
	a.measures.requests.WithLabelValues(method, resultOf(err)).Inc()
	if err == nil {
		return nil
	}
	if rest := limited(err); rest > 0 {
		a.pace.leave(method, channel, a.o.Clock.Now().Add(rest))
	}
	return &callError{method: method, err: err}
}
