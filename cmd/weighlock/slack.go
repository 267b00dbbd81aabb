package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/configuration"
	"github.com/weighlock/weighlock/notifier/slack"
)

const (
	// slackRetry is the pause before Slack is listened to again after a failure.
	slackRetry = 5 * time.Second
	// slackRequest is how long a request may take to come: Slack itself waits no longer for the answer.
	slackRequest = 3 * time.Second
	// slackEnd is how long requests under way may take when it stops.
	slackEnd = 5 * time.Second
)

// newSlack makes the Slack app. It is there without a configuration of Slack too, and has nothing to do then, since one may come.
func newSlack(mgr ctrl.Manager, file *configuration.File) (*slack.App, error) {
	secret := func(of func(*configuration.Slack) configuration.Secret) func() (string, error) {
		return func() (string, error) {
			s := file.Current().Slack
			if s == nil {
				return "", errors.New("the configuration has no Slack app")
			}
			return of(s).Value()
		}
	}
	app, err := slack.New(slack.Options{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}, Log: ctrl.Log.WithName("slack"), Registerer: ctrlmetrics.Registry,
		BotToken:      secret(func(s *configuration.Slack) configuration.Secret { return s.BotToken }),
		AppToken:      secret(func(s *configuration.Slack) configuration.Secret { return s.AppToken }),
		SigningSecret: secret(func(s *configuration.Slack) configuration.Secret { return s.SigningSecret }),
		APIURL: func() string {
			if s := file.Current().Slack; s != nil {
				return s.APIURL
			}
			return ""
		},
		Channels: func(rollout *v1alpha1.Rollout) []slack.Channel {
			var channels []slack.Channel
			for _, sink := range file.Current().Channels(rollout) {
				channels = append(channels, slack.Channel{Sink: sink.Name, ID: sink.Slack.Channel, Approvals: sink.Slack.Approvals})
			}
			return channels
		},
		Approvers: func(namespace string) (users, groups []string) {
			if s := file.Current().Slack; s != nil {
				return s.ApproversIn(namespace)
			}
			return nil, nil
		},
		Person: func(member string) string {
			if s := file.Current().Slack; s != nil {
				return s.People[member]
			}
			return ""
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the Slack app: %w", err)
	}
	return app, nil
}

// setupSlack makes the Slack app, and what listens to Slack for it: each replica, where Slack calls Weighlock, and the leader, where
// Weighlock calls Slack.
func (n *notifications) setupSlack(concurrent int) error {
	app, err := newSlack(n.mgr, n.file)
	if err != nil {
		return err
	}
	n.slack = app
	if err := app.SetupWithManager(n.mgr, concurrent); err != nil {
		return fmt.Errorf("setting up the Slack app: %w", err)
	}
	log := ctrl.Log.WithName("slack")
	n.listeners = []*listener{
		{
			mode: configuration.ModeHTTP, file: n.file, log: log, changed: make(chan struct{}, 1), retry: slackRetry,
			listen: func(ctx context.Context, s configuration.Slack) error {
				go app.Prepare(ctx)
				return serveSlack(ctx, s.Listen, app.Handler())
			},
		},
		{
			mode: configuration.ModeSocket, file: n.file, log: log, changed: make(chan struct{}, 1), retry: slackRetry, leader: true,
			listen: func(ctx context.Context, _ configuration.Slack) error { return app.Socket(ctx) },
		},
	}
	for _, l := range n.listeners {
		if err := n.mgr.Add(l); err != nil {
			return fmt.Errorf("adding what listens to Slack: %w", err)
		}
	}
	return nil
}

// listener listens to Slack in one of the modes, as long as the configuration says so.
type listener struct {
	mode string
	file *configuration.File
	log  logr.Logger
	// leader says that only the leader listens.
	leader bool
	// listen returns when the context ends, or when it failed.
	listen func(context.Context, configuration.Slack) error
	// retry is the pause after that.
	retry time.Duration
	// changed is signalled when the configuration did.
	changed chan struct{}
}

// NeedLeaderElection says whether only the leader listens.
func (l *listener) NeedLeaderElection() bool { return l.leader }

// changes says that the configuration did.
func (l *listener) changes() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Start listens until the context ends. A failure is no reason to end the program: rollouts go on, and kubectl works.
func (l *listener) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		s := l.wanted()
		part, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if s.Mode == l.mode {
				l.keep(part, s)
			}
		}()
		for ctx.Err() == nil && reflect.DeepEqual(s, l.wanted()) {
			select {
			case <-l.changed:
			case <-ctx.Done():
			}
		}
		stop()
		<-ended
	}
	return nil
}

// wanted is what the configuration says of listening; empty where there is no app.
func (l *listener) wanted() configuration.Slack {
	s := l.file.Current().Slack
	if s == nil {
		return configuration.Slack{}
	}
	return configuration.Slack{Mode: s.Mode, BotToken: s.BotToken, AppToken: s.AppToken, Listen: s.Listen, APIURL: s.APIURL}
}

// keep listens, and does so again when that failed.
func (l *listener) keep(ctx context.Context, s configuration.Slack) {
	for {
		err := l.listen(ctx, s)
		if ctx.Err() != nil {
			return
		}
		l.log.Error(err, "Slack can't be listened to, and is tried again", "mode", l.mode)
		select {
		case <-time.After(l.retry):
		case <-ctx.Done():
			return
		}
	}
}

// serveSlack takes what Slack sends.
func serveSlack(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: slackRequest, ReadTimeout: slackRequest, WriteTimeout: slackRequest, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	var config net.ListenConfig
	socket, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(socket) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), slackEnd)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		return fmt.Errorf("ending: %w", err)
	}
	return nil
}
