package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/local/node/podstatus"
	"github.com/weighlock/weighlock/local/node/probe"
	"github.com/weighlock/weighlock/local/node/process"
)

const (
	// maxBackOff is the longest pause before a restart, and calm how long a
	// container must have run for its pauses to begin anew.
	maxBackOff = 5 * time.Minute
	calm       = 10 * time.Minute
	// prepareRetry is how soon a container that could not be prepared is
	// tried again.
	prepareRetry = time.Second
)

// container is one container of a pod; status is guarded by the worker's lock.
type container struct {
	worker *worker
	spec   corev1.Container
	isInit bool
	status podstatus.Container
	runs   int
}

// newContainer goes on from what the status says of a former run.
func newContainer(w *worker, spec corev1.Container, former []corev1.ContainerStatus) *container {
	c := &container{worker: w, spec: spec}
	c.isInit = slices.ContainsFunc(w.pod.Spec.InitContainers, func(i corev1.Container) bool { return i.Name == spec.Name })
	c.status = podstatus.Container{
		Spec:  spec,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
	}
	for _, f := range former {
		if f.Name != spec.Name || (f.State.Running == nil && f.State.Terminated == nil) {
			continue
		}
		// Its process went with the node that started it.
		c.status.Restarts = f.RestartCount
		c.status.Last = f.State
		if f.State.Running != nil {
			c.status.Last = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 128 + int32(syscall.SIGKILL), Reason: "NodeRestarted", StartedAt: f.State.Running.StartedAt, FinishedAt: metav1.Now(), ContainerID: f.ContainerID,
			}}
		}
		c.runs = 1
	}
	return c
}

// run runs the container, again and again if its pod says so, until it is done
// or the pod is to end.
func (c *container) run() {
	pause := time.Duration(0)
	for c.worker.stop.Err() == nil {
		p, err := c.start()
		if err != nil {
			c.waits(reasonOf(err), err.Error())
			c.worker.event(corev1.EventTypeWarning, "Failed", err.Error())
			c.rest(prepareRetry)
			continue
		}
		started := time.Now()
		c.watch(p, started)
		c.ends(p, started)
		if !c.again() || c.worker.stop.Err() != nil {
			break
		}
		if time.Since(started) > calm {
			pause = 0
		}
		if pause > 0 {
			message := fmt.Sprintf("back-off %v restarting failed container=%s pod=%s", pause, c.spec.Name, c.worker.key)
			c.waits("CrashLoopBackOff", message)
			c.worker.event(corev1.EventTypeWarning, "BackOff", message)
			c.rest(pause)
		}
		pause = min(max(2*pause, c.worker.node.RestartBase), maxBackOff)
	}
	c.worker.set(c, func(s *podstatus.Container) { s.Done = true })
}

// rest waits, unless the pod is to end before.
func (c *container) rest(d time.Duration) {
	select {
	case <-c.worker.stop.Done():
	case <-time.After(d):
	}
}

// again says whether a container that has ended is to run again.
func (c *container) again() bool {
	policy := c.worker.current().Spec.RestartPolicy
	if c.isInit && policy == corev1.RestartPolicyAlways {
		policy = corev1.RestartPolicyOnFailure
	}
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return !c.succeeded()
	default:
		return true
	}
}

// succeeded says whether the container has ended well.
func (c *container) succeeded() bool {
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	return c.status.State.Terminated != nil && c.status.State.Terminated.ExitCode == 0
}

// waits says that the container waits, and why.
func (c *container) waits(reason, message string) {
	c.worker.set(c, func(s *podstatus.Container) {
		if s.State.Terminated != nil {
			s.Last = s.State
		}
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
		s.Started, s.Ready = false, false
	})
}

// starts says that the container's program runs.
func (c *container) starts(p *process.Process, at time.Time) {
	c.runs++
	runs := c.runs
	c.worker.set(c, func(s *podstatus.Container) {
		if s.State.Terminated != nil {
			s.Last = s.State
		}
		if runs > 1 {
			s.Restarts++
		}
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}}
		s.ID = fmt.Sprintf("process://%d", p.Pid())
		s.Started = c.spec.StartupProbe == nil
		s.Ready = s.Started && c.spec.ReadinessProbe == nil
	})
	c.worker.event(corev1.EventTypeNormal, "Started", "Started container "+c.spec.Name)
}

// ends says how the container's program has ended.
func (c *container) ends(p *process.Process, started time.Time) {
	code := p.ExitCode()
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	c.worker.set(c, func(s *podstatus.Container) {
		s.Started, s.Ready = false, false
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: int32(code), Reason: reason, ContainerID: s.ID, //nolint:gosec // an exit code is at most 255
			StartedAt: metav1.NewTime(started), FinishedAt: metav1.Now(),
		}}
	})
}

// watch probes the container until it has ended, and ends it when it is dead
// or the pod is to end.
func (c *container) watch(p *process.Process, started time.Time) {
	c.starts(p, started)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dead := make(chan time.Duration, 1)
	go c.probe(ctx, started, dead)
	select {
	case <-p.Done():
	case <-c.worker.stop.Done():
		cancel()
		c.stop(p, c.worker.kill)
	case grace := <-dead:
		cancel()
		limited, over := context.WithTimeout(c.worker.kill, grace)
		defer over()
		c.stop(p, limited)
	}
}

// stop ends the program: first the hook, then SIGTERM, and SIGKILL when the
// time is over.
func (c *container) stop(p *process.Process, kill context.Context) { //nolint:revive // the context is what it is about, not its caller's
	if lifecycle := c.spec.Lifecycle; lifecycle != nil && lifecycle.PreStop != nil {
		c.preStop(kill, p, *lifecycle.PreStop)
	}
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Done():
		return
	case <-kill.Done():
	}
	p.Signal(syscall.SIGKILL)
	<-p.Done()
}

func (c *container) preStop(ctx context.Context, p *process.Process, hook corev1.LifecycleHandler) {
	switch {
	case hook.Sleep != nil:
		select {
		case <-ctx.Done():
		case <-p.Done():
		case <-time.After(time.Duration(hook.Sleep.Seconds) * time.Second):
		}
	case hook.HTTPGet != nil:
		if err := probe.Get(ctx, *hook.HTTPGet, c.spec, c.worker.facts.PodIP); err != nil {
			c.worker.event(corev1.EventTypeWarning, "FailedPreStopHook", err.Error())
		}
	default:
		c.worker.event(corev1.EventTypeWarning, "FailedPreStopHook", "the local node has only sleep and httpGet hooks")
	}
}

// probe runs the container's probes; dead gets the time that a container that
// must be restarted is given to end.
func (c *container) probe(ctx context.Context, started time.Time, dead chan<- time.Duration) {
	since := started
	if spec := c.spec.StartupProbe; spec != nil {
		if !c.awaitStartup(ctx, *spec, started) {
			if ctx.Err() == nil {
				dead <- c.graceOf(*spec)
			}
			return
		}
		since = time.Now()
		c.worker.set(c, func(s *podstatus.Container) {
			s.Started, s.Ready = true, c.spec.ReadinessProbe == nil
		})
	}
	if spec := c.spec.LivenessProbe; spec != nil {
		go c.probeAs(ctx, probe.Liveness, *spec, started, since, func(r probe.Result) {
			if r == probe.Failure {
				select {
				case dead <- c.graceOf(*spec):
				default:
				}
			}
		})
	}
	if spec := c.spec.ReadinessProbe; spec != nil {
		c.probeAs(ctx, probe.Readiness, *spec, started, since, func(r probe.Result) {
			c.worker.set(c, func(s *podstatus.Container) { s.Ready = r == probe.Success })
		})
	}
}

// awaitStartup says whether the container has started.
func (c *container) awaitStartup(ctx context.Context, spec corev1.Probe, started time.Time) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ok := false
	c.probeAs(ctx, probe.Startup, spec, started, started, func(r probe.Result) {
		ok = r == probe.Success
		cancel()
	})
	return ok
}

func (c *container) probeAs(ctx context.Context, kind probe.Kind, spec corev1.Probe, started, since time.Time, changed func(probe.Result)) {
	check := func(ctx context.Context) error {
		return probe.Check(ctx, spec.ProbeHandler, c.spec, c.worker.facts.PodIP)
	}
	state := probe.New(kind, spec, started, since)
	state.Run(ctx, check, func(r probe.Result, err error) {
		if r == probe.Failure && err != nil {
			c.worker.event(corev1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe failed: %v", kind, err))
		}
		changed(r)
	}, func(error) {})
}

// graceOf is how long a container is given to end after a probe has failed.
func (c *container) graceOf(spec corev1.Probe) time.Duration {
	seconds := spec.TerminationGracePeriodSeconds
	if seconds == nil {
		seconds = c.worker.current().Spec.TerminationGracePeriodSeconds
	}
	if seconds == nil {
		return corev1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return time.Duration(*seconds) * time.Second
}

// start prepares the container's root folder and starts its program in it.
func (c *container) start() (*process.Process, error) {
	program, err := c.program()
	if err != nil {
		return nil, err
	}
	spec, err := c.specification(program)
	if err != nil {
		return nil, prepareError{err}
	}
	if err := os.MkdirAll(c.worker.node.Logs, 0o755); err != nil { //nolint:gosec // logs are for everyone who may see the folder
		return nil, fmt.Errorf("make the folder for logs: %w", err)
	}
	name := strings.Join([]string{c.worker.key.Namespace, c.worker.key.Name, c.spec.Name}, "_") + ".log"
	log, err := os.OpenFile(filepath.Join(c.worker.node.Logs, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // as the folder
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = log.Close() }()
	return process.Start(c.worker.node.Helper, spec, log)
}

// imageError says that an image is not one of the list, and prepareError that
// what the container refers to is missing or wrong.
type (
	imageError   struct{ error }
	prepareError struct{ error }
)

// reasonOf is what the status calls an error of start.
func reasonOf(err error) string {
	var image imageError
	var prepare prepareError
	switch {
	case errors.As(err, &image):
		return "ErrImagePull"
	case errors.As(err, &prepare):
		return "CreateContainerConfigError"
	default:
		return "RunContainerError"
	}
}
