package stack

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/crds"
	"github.com/weighlock/weighlock/local/fetch"
	"github.com/weighlock/weighlock/local/kube"
	"github.com/weighlock/weighlock/local/prometheus"
	"github.com/weighlock/weighlock/local/supervise"
)

// The parts that are this program, as the supervisor knows them.
const (
	PartNode  = "node"
	PartMesh  = "mesh"
	PartEnvoy = "envoy"
	PartGit   = "git"
	PartSlack = "slack"
)

// Stack is a stack that runs, seen from inside the sandbox.
type Stack struct {
	// Config and Kubeconfig are an administrator's, for use inside.
	Config     *rest.Config
	Kubeconfig string
	// UserKubeconfig is an administrator's, for use outside.
	UserKubeconfig string
	// Of are the kubeconfigs of Users, for use inside, UserOf those for use
	// outside.
	Of, UserOf map[string]string
	// Bin is a folder with kubectl and its plugin.
	Bin string
	// Root is the checkout.
	Root string
	// State is the folder that holds everything of this stack, Logs the one
	// of the parts' logs; the containers' are in its pods folder.
	State, Logs string
	// Programs are what the parts run.
	Programs fetch.Programs
	// Outside are the addresses of the ports outside, by name.
	Outside map[string]string
	// Supervisor runs the parts: tests kill and restart them.
	Supervisor *supervise.Supervisor

	handover handover
	begun    time.Time
	mu       sync.Mutex
	progress io.Writer
	apply    *applier
}

func newStack(h handover) (*Stack, error) {
	s := &Stack{
		Root:     h.Root,
		State:    h.State,
		Logs:     filepath.Join(h.State, "logs"),
		Programs: h.Programs,
		Outside:  h.outside,
		handover: h,
		begun:    time.Now(),
		progress: h.progress,
	}
	var err error
	if s.Supervisor, err = supervise.New(s.Logs); err != nil {
		return nil, err
	}
	return s, nil
}

// start starts everything: Kubernetes, what needs only that, side by side, and
// then Weighlock.
func (s *Stack) start(ctx context.Context) error {
	cluster, err := kube.Start(ctx, kube.Options{
		Program:    s.Programs.Kube,
		State:      filepath.Join(s.State, "kube"),
		Outside:    s.Outside[PortKubernetes],
		Users:      Users,
		Supervisor: s.Supervisor,
		Started:    s.started,
	})
	if err != nil {
		return err
	}
	s.Config, s.Kubeconfig, s.UserKubeconfig = cluster.Config, cluster.Kubeconfig, cluster.UserKubeconfig
	s.Of, s.UserOf = cluster.Of, cluster.UserOf
	if s.Bin, err = s.bin(); err != nil {
		return err
	}
	if s.apply, err = newApplier(s.Config); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.startPart(groupCtx, s.node()) })
	group.Go(func() error { return s.startPart(groupCtx, s.git()) })
	group.Go(func() error { return s.startSlack(groupCtx) })
	group.Go(func() error { return s.startPrometheus(groupCtx) })
	group.Go(func() error { return s.startMesh(groupCtx) })
	group.Go(func() error {
		if err := s.Apply(groupCtx, []byte(services)); err != nil {
			return fmt.Errorf("give what is not a pod its name: %w", err)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if s.handover.WithoutWeighlock {
		return nil
	}
	if err := s.installWeighlock(ctx); err != nil {
		return err
	}
	s.started("weighlock")
	return nil
}

// stop stops everything, and says so if it takes long enough to notice.
func (s *Stack) stop() {
	s.say("stopping")
	s.Supervisor.Stop()
}

// started says that something is ready, and when.
func (s *Stack) started(name string) {
	s.say("%-24s ready after %4.1f s", name, time.Since(s.begun).Seconds())
}

// say writes a line of progress.
func (s *Stack) say(format string, arguments ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.progress, fmt.Sprintf(format, arguments...)+"\n")
}

func (s *Stack) startPart(ctx context.Context, part supervise.Part) error {
	if err := s.Supervisor.Start(ctx, part); err != nil {
		return err
	}
	s.started(part.Name)
	return nil
}

func (s *Stack) startPrometheus(ctx context.Context) error {
	part, err := prometheus.Part(s.prometheus(s.handover.ScrapeInterval))
	if err != nil {
		return err
	}
	return s.startPart(ctx, part)
}

func (s *Stack) prometheus(interval time.Duration) prometheus.Options {
	return prometheus.Options{
		Program:    s.Programs.Prometheus,
		State:      filepath.Join(s.State, "prometheus"),
		Kubeconfig: s.Kubeconfig,
		Interval:   interval,
	}
}

// Scrape has Prometheus scrape Envoy at another interval from now on; 0 for the
// default.
func (s *Stack) Scrape(interval time.Duration) error {
	if err := prometheus.Configure(s.prometheus(interval)); err != nil {
		return err
	}
	return s.Supervisor.Signal(prometheus.Name, syscall.SIGHUP)
}

// startMesh brings what a mesh brings: its kinds, its control plane, its proxy.
func (s *Stack) startMesh(ctx context.Context) error {
	if err := s.Apply(ctx, crds.SMI()); err != nil {
		return fmt.Errorf("install SMI: %w", err)
	}
	if err := s.startPart(ctx, s.mesh()); err != nil {
		return err
	}
	envoy, err := s.envoy()
	if err != nil {
		return err
	}
	return s.startPart(ctx, envoy)
}

// GitURL is a repository's URL, inside.
func (s *Stack) GitURL(repository string) string {
	return address.GitURL + "/" + repository
}

// GitURLOutside is a repository's URL, outside.
func (s *Stack) GitURLOutside(repository string) string {
	return "http://" + s.Outside[PortGit] + "/" + repository
}

// TempDir makes a folder within the stack's.
func (s *Stack) TempDir(name string) (string, error) {
	folder := filepath.Join(s.State, name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for %s: %w", name, err)
	}
	return folder, nil
}
