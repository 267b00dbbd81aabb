package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	fluxclient "github.com/fluxcd/pkg/runtime/client"
	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/metrics"
	"github.com/fluxcd/pkg/runtime/pprof"
	"github.com/fluxcd/pkg/runtime/probes"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/weighlock/weighlock/analysis/monitor"
	"github.com/weighlock/weighlock/analysis/prometheus"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/controller"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/router/smi"
	"github.com/weighlock/weighlock/workload/deployment"
)

const (
	name = "weighlock"
	// changesBuffer is how many changed verdicts wait for a reconciliation. More make the monitor wait.
	changesBuffer = 1024
)

// run starts the controllers, and returns when the context ends and they have stopped.
func run(ctx context.Context, opts options) error {
	mgr, err := newManager(opts)
	if err != nil {
		return err
	}
	probes.SetupChecks(mgr, ctrl.Log.WithName("setup"))
	notify, err := newNotifications(mgr, opts)
	if err != nil {
		return err
	}
	measures := fluxcontroller.NewMetrics(mgr, metrics.MustMakeRecorder(), v1alpha1.Finalizer)
	if err := setupRollouts(mgr, opts, notify.recorder, measures); err != nil {
		return err
	}
	if err := setupGitSources(mgr, opts, notify.recorder, measures); err != nil {
		return err
	}
	stop := notify.start() //nolint:contextcheck // It goes on after this context ends.
	defer stop()
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the controllers: %w", err)
	}
	return nil
}

func newManager(opts options) (ctrl.Manager, error) {
	kinds := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(kinds); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	shard, err := fluxcontroller.GetWatchSelector(opts.watching)
	if err != nil {
		return nil, fmt.Errorf("--watch-label-selector: %w", err)
	}
	cached := cache.Options{ByObject: kept(shard)}
	if !opts.watching.AllNamespaces {
		own := os.Getenv(fluxcontroller.EnvRuntimeNamespace)
		if own == "" {
			return nil, fmt.Errorf("--watch-all-namespaces=false needs the environment variable %s: the namespace to watch", fluxcontroller.EnvRuntimeNamespace)
		}
		cached.DefaultNamespaces = map[string]cache.Config{own: {}}
	}
	election := name
	if opts.watching.LabelSelector != "" {
		election = leaderelection.GenerateID(name, opts.watching.LabelSelector)
	}
	mgr, err := ctrl.NewManager(fluxclient.GetConfigOrDie(opts.client), ctrl.Options{
		Scheme:                        kinds,
		Cache:                         cached,
		Client:                        client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics:                       metricsserver.Options{BindAddress: opts.metricsAddr, ExtraHandlers: pprof.GetHandlers()},
		HealthProbeBindAddress:        opts.healthAddr,
		LeaderElection:                opts.leader.Enable,
		LeaderElectionID:              election,
		LeaderElectionReleaseOnCancel: opts.leader.ReleaseOnCancel,
		LeaseDuration:                 &opts.leader.LeaseDuration,
		RenewDeadline:                 &opts.leader.RenewDeadline,
		RetryPeriod:                   &opts.leader.RetryPeriod,
		GracefulShutdownTimeout:       &opts.grace,
		Logger:                        ctrl.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	return mgr, nil
}

// kept says what caches keep of each kind; of Rollouts and GitSources, those that the selector of the shard selects. Who manages which
// field of Weighlock's own kinds is a good part of what they take.
func kept(shard labels.Selector) map[client.Object]cache.ByObject {
	byObject := deployment.ByObject()
	for _, obj := range []client.Object{&v1alpha1.Rollout{}, &v1alpha1.GitSource{}} {
		byObject[obj] = cache.ByObject{Label: shard, Transform: cache.TransformStripManagedFields()}
	}
	byObject[&v1alpha1.AnalysisTemplate{}] = cache.ByObject{Transform: cache.TransformStripManagedFields()}
	byObject[&v1alpha1.Decision{}] = cache.ByObject{Transform: controller.TrimDecision}
	return byObject
}

func setupRollouts(mgr ctrl.Manager, opts options, recorder record.EventRecorder, measures fluxcontroller.Metrics) error {
	provider, err := prometheus.New(prometheus.Options{
		Address: opts.prometheusAddr, ReplicaLabels: opts.replicaLabels, Registerer: ctrlmetrics.Registry, Log: ctrl.Log.WithName("prometheus"),
	})
	if err != nil {
		return fmt.Errorf("--prometheus-address: %w", err)
	}
	changes := make(chan event.GenericEvent, changesBuffer)
	watch, err := monitor.New(provider, clock.RealClock{}, monitor.Options{
		Workers:    opts.concurrent,
		OnChange:   func(key string) { changes <- controller.ChangeOf(key) },
		Registerer: ctrlmetrics.Registry,
		Log:        ctrl.Log.WithName("monitor"),
	})
	if err != nil {
		return fmt.Errorf("making the monitor: %w", err)
	}
	if err := mgr.Add(watch); err != nil {
		return fmt.Errorf("adding the monitor: %w", err)
	}
	expectations := controller.NewExpectations(mgr.GetCache(), mgr.GetScheme(), clock.RealClock{})
	reconciler := &controller.RolloutReconciler{
		Client: mgr.GetClient(),
		Workloads: deployment.New(deployment.Options{
			Reader: mgr.GetCache(), Live: mgr.GetAPIReader(), Writer: mgr.GetClient(), Mapper: mgr.GetRESTMapper(),
			Written: expectations.Written, Deleted: expectations.Deleted,
		}),
		Routers:      routers(mgr, expectations),
		Monitor:      watch,
		Expectations: expectations, Freshness: controller.NewFreshness(mgr.GetCache(), mgr.GetAPIReader()),
		Events:  recorder,
		Metrics: measures,
		Clock:   clock.RealClock{},
	}
	return reconciler.SetupWithManager(mgr, controller.RolloutOptions{
		Concurrent:  opts.concurrent,
		RateLimiter: fluxcontroller.GetRateLimiter(opts.limiter),
		Changes:     changes,
	})
}

// routers makes the adapters that the entries of spec.router name.
func routers(mgr ctrl.Manager, expectations *controller.Expectations) controller.RouterFactory {
	index := smi.NewIndex(mgr.GetFieldIndexer())
	return func(spec v1alpha1.RouterSpec, steps []v1alpha1.Step) (router.Router, error) {
		if spec.SMI == nil {
			return nil, fmt.Errorf("spec.router has an entry that names no router: write smi: {}")
		}
		o := smi.Options{
			Reader: mgr.GetCache(), Writer: mgr.GetClient(), Mapper: mgr.GetRESTMapper(),
			Index: index, Version: spec.SMI.Version, Mirror: spec.SMI.Mirror,
			Match:   slices.ContainsFunc(steps, func(s v1alpha1.Step) bool { return len(s.Match) > 0 }),
			Written: expectations.Written, Deleted: expectations.Deleted,
		}
		if spec.SMI.Settle != nil {
			o.Settle = spec.SMI.Settle.Duration
		}
		return smi.New(o), nil
	}
}

func setupGitSources(mgr ctrl.Manager, opts options, recorder record.EventRecorder, measures fluxcontroller.Metrics) error {
	reconciler := &controller.GitSourceReconciler{
		Client: mgr.GetClient(), Config: mgr.GetConfig(), Events: recorder, Metrics: measures, Clock: clock.RealClock{},
	}
	return reconciler.SetupWithManager(mgr, controller.GitSourceOptions{
		Concurrent:  opts.concurrent,
		RateLimiter: fluxcontroller.GetRateLimiter(opts.limiter),
	})
}
