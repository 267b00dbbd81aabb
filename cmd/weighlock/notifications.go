package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"time"

	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/configuration"
	"github.com/weighlock/weighlock/notifier"
	"github.com/weighlock/weighlock/notifier/discord"
	"github.com/weighlock/weighlock/notifier/flux"
	"github.com/weighlock/weighlock/notifier/post"
	"github.com/weighlock/weighlock/notifier/slack"
	"github.com/weighlock/weighlock/notifier/slackwebhook"
	"github.com/weighlock/weighlock/notifier/teams"
	"github.com/weighlock/weighlock/notifier/webhook"
)

const (
	// eventsSink is the sink that the flag makes. A file can't have one of that name.
	eventsSink = "--events-addr"
	// mostEvent is how long the message of an event of Kubernetes may be, in characters.
	mostEvent = 1000
)

// notifications tell people and other systems of rollouts, as the configuration file says.
type notifications struct {
	mgr        ctrl.Manager
	log        logr.Logger
	file       *configuration.File
	dispatcher *notifier.Dispatcher
	// client sends what goes over HTTP.
	client *post.Client
	// sinks are those in use, by their names.
	sinks map[string]made
	// recorder is that of the reconcilers.
	recorder record.EventRecorder
	// slack is the Slack app, and listeners what listens to Slack for it.
	slack     *slack.App
	listeners []*listener
}

// made is a sink, and what it was made of.
type made struct {
	of   configuration.Sink
	sink notifier.Sink
}

func newNotifications(mgr ctrl.Manager, opts options) (*notifications, error) {
	if opts.eventsAddr != "" {
		if err := configuration.CheckAddress(opts.eventsAddr); err != nil {
			return nil, fmt.Errorf("--events-addr: %w", err)
		}
	}
	log := ctrl.Log.WithName("notifications")
	n := &notifications{mgr: mgr, log: log, client: post.New(nil, clock.RealClock{})}
	events := mgr.GetEventRecorderFor(name) //nolint:staticcheck // Reconcilers, and Flux's packages, use recorders of this kind.
	var err error
	if n.dispatcher, err = notifier.NewDispatcher(notifier.Options{Log: log, Registerer: ctrlmetrics.Registry}); err != nil {
		return nil, fmt.Errorf("making the dispatcher of notifications: %w", err)
	}
	n.file, err = configuration.Open(opts.config, configuration.FileOptions{
		Clock: clock.RealClock{}, Log: ctrl.Log.WithName("configuration"), Registerer: ctrlmetrics.Registry,
		Amend:     func(c *configuration.Configuration) { addEventsSink(c, opts.eventsAddr) },
		OnChange:  n.change,
		OnInvalid: func(err error) { tellOfInvalid(events, err) },
	})
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if err := mgr.Add(n.file); err != nil {
		return nil, fmt.Errorf("adding the watch of the configuration: %w", err)
	}
	if err := n.setupSlack(opts.concurrent); err != nil {
		return nil, err
	}
	n.recorder = notifier.NewRecorder(events, n.dispatcher, n.route, mgr.GetScheme(), clock.RealClock{})
	return n, nil
}

// start delivers until the function that it returns is called. That is when the reconcilers have stopped, so that the last of what
// they did is told as well; the manager would stop it with them.
func (n *notifications) start() (stop func()) {
	n.use(n.file.Current())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := n.dispatcher.Start(ctx); err != nil {
			n.log.Error(err, "delivering notifications")
		}
	}()
	return func() {
		cancel()
		n.endClicks()
		<-ended
	}
}

// endClicks waits a little for what people clicked to become decisions, while the last of what happened is told.
func (n *notifications) endClicks() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.slack.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(slackEnd):
	}
}

// change takes a new configuration.
func (n *notifications) change(c *configuration.Configuration) {
	n.use(c)
	for _, l := range n.listeners {
		l.changes()
	}
	if err := n.slack.Refresh(context.Background()); err != nil {
		n.log.Error(err, "looking at all Rollouts again for Slack")
	}
}

// use makes the sinks of a configuration. One that stays as it was is kept: it may rest because it was asked to.
func (n *notifications) use(c *configuration.Configuration) {
	all, sinks := map[string]made{}, map[string]notifier.Sink{}
	for _, wanted := range c.Sinks {
		one := n.sinks[wanted.Name]
		if one.sink == nil || !reflect.DeepEqual(one.of, wanted) {
			sink, err := n.sink(&wanted)
			if err != nil {
				n.log.Error(err, "a sink can't be used", "sink", wanted.Name)
				continue
			}
			one = made{of: wanted, sink: sink}
		}
		all[wanted.Name], sinks[wanted.Name] = one, one.sink
	}
	n.sinks = all
	n.dispatcher.Use(sinks)
}

func (n *notifications) sink(s *configuration.Sink) (notifier.Sink, error) {
	switch {
	case s.Slack != nil:
		return n.slack.Sink(s.Name, s.Slack.Channel), nil
	case s.Webhook != nil:
		o := webhook.Options{Client: n.client, Clock: clock.RealClock{}, URL: s.Webhook.URL.Value, Headers: map[string]post.Secret{}}
		if s.Webhook.Secret.IsSet() {
			o.Secret = s.Webhook.Secret.Value
		}
		for header, secret := range s.Webhook.Headers {
			o.Headers[header] = secret.Value
		}
		return webhook.New(o), nil
	case s.SlackWebhook != nil:
		return slackwebhook.New(n.client, s.SlackWebhook.URL.Value), nil
	case s.Teams != nil:
		return teams.New(n.client, s.Teams.URL.Value), nil
	case s.Discord != nil:
		return discord.New(n.client, s.Discord.URL.Value), nil
	case s.Flux != nil:
		return flux.New(s.Flux.Address, n.mgr.GetScheme(), clock.RealClock{})
	default:
		return nil, errors.New("it says nothing of where to tell")
	}
}

// route says who is told of an event.
func (n *notifications) route(object client.Object, reason string, warning bool) (sinks, refused []string) {
	told := configuration.Told{Namespace: object.GetNamespace(), Reason: reason, Warning: warning}
	if rollout, is := object.(*v1alpha1.Rollout); is {
		told.Rollout, told.Notify = rollout.Name, rollout.Annotations[v1alpha1.AnnotationNotify]
	}
	return n.file.Current().For(told)
}

// addEventsSink makes the sink of --events-addr, which is told of everything.
func addEventsSink(c *configuration.Configuration, address string) {
	if address == "" {
		return
	}
	c.Sinks = append(c.Sinks, configuration.Sink{Name: eventsSink, Flux: &configuration.Flux{Address: address}})
	c.Routes = append(c.Routes, configuration.Route{Sinks: []string{eventsSink}})
}

// tellOfInvalid makes an event on the controller's own pod, whose name is its host's.
func tellOfInvalid(events record.EventRecorder, err error) {
	host, hostErr := os.Hostname()
	namespace := os.Getenv(fluxcontroller.EnvRuntimeNamespace)
	if hostErr != nil || namespace == "" {
		return
	}
	pod := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: host}
	events.Event(pod, corev1.EventTypeWarning, "InvalidConfiguration", notifier.Cut("the version before stays in use: "+err.Error(), mostEvent))
}
