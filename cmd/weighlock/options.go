package main

import (
	"time"

	"github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/spf13/pflag"
)

// options are what the flags say.
type options struct {
	metricsAddr    string
	healthAddr     string
	eventsAddr     string
	config         string
	prometheusAddr string
	replicaLabels  []string
	concurrent     int
	grace          time.Duration

	client   client.Options
	log      logger.Options
	leader   leaderelection.Options
	limiter  controller.RateLimiterOptions
	watching controller.WatchOptions
}

func (o *options) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.metricsAddr, "metrics-addr", ":9797", "The address that serves Weighlock's own metrics.")
	flags.StringVar(&o.healthAddr, "health-addr", ":9440", "The address that serves /healthz and /readyz.")
	flags.StringVar(&o.config, "config", "",
		"The configuration file: who is told of rollouts, and who may decide through Slack. It is read again when it changes. weighlock check-config checks one.")
	flags.StringVar(&o.eventsAddr, "events-addr", "",
		"The address of a receiver of events in Flux's form, such as its notification-controller, that is told of everything.")
	flags.StringVar(&o.prometheusAddr, "prometheus-address", "",
		"The address of the Prometheus-compatible server to ask for metrics, such as http://prometheus.monitoring:9090, or several with commas: where one is away the next is asked. A Rollout may name its own.")
	flags.StringSliceVar(&o.replicaLabels, "prometheus-replica-labels", []string{"prometheus_replica", "__replica__"},
		"The labels by which the same series, scraped by several servers, differ: such series are counted once.")
	flags.IntVar(&o.concurrent, "concurrent", 8, "How many objects of each kind are worked on at a time.")
	flags.DurationVar(&o.grace, "graceful-shutdown-timeout", 20*time.Second, "How long work under way may take to end after a signal to stop.")
	o.client.BindFlags(flags)
	o.log.BindFlags(flags)
	o.leader.BindFlags(flags)
	o.limiter.BindFlags(flags)
	o.watching.BindFlags(flags)
}
