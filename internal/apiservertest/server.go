// Package apiservertest starts real API servers for tests: kube-apiserver and etcd, without any controller.
package apiservertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Options say what a server begins with.
type Options struct {
	// CRDs has Weighlock's CustomResourceDefinitions installed.
	CRDs bool
	// ServiceRange is where Services get their addresses from; empty for 254 of them.
	ServiceRange string
}

// Server is an API server that runs.
type Server struct {
	// Config is that of an administrator, the user admin. It allows 1,000 calls a second.
	Config *rest.Config
	// KubeConfig is the same as files have it.
	KubeConfig []byte

	environment *envtest.Environment
	cleanups    []func()
	adding      sync.Mutex
}

// Start runs a server until the test ends, beside that of the package.
func Start(tb testing.TB, options Options) *Server {
	tb.Helper()
	s, err := start(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.stop(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func start(options Options) (*Server, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS must name the folder of etcd and kube-apiserver: make test sets it")
	}
	environment := &envtest.Environment{ErrorIfCRDPathMissing: true}
	if options.CRDs {
		folder, err := root()
		if err != nil {
			return nil, err
		}
		environment.CRDDirectoryPaths = []string{filepath.Join(folder, "crds")}
	}
	if options.ServiceRange != "" {
		environment.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", options.ServiceRange)
	}
	config, err := environment.Start()
	if err != nil {
		// A part of it may run.
		return nil, errors.Join(fmt.Errorf("starting the API server: %w", err), environment.Stop())
	}
	return &Server{Config: config, KubeConfig: environment.KubeConfig, environment: environment}, nil
}

// Cleanup has f called before the server is stopped: what was said last first.
func (s *Server) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *Server) stop() error {
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		f := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		f()
	}
	if err := s.environment.Stop(); err != nil {
		return fmt.Errorf("stopping the API server: %w", err)
	}
	return nil
}

// AddUser makes a user in groups, whose certificate the server takes. It may be called at any time, by several at once.
func (s *Server) AddUser(name string, groups ...string) (*envtest.AuthenticatedUser, error) {
	// The authority numbers its certificates without a lock.
	s.adding.Lock()
	defer s.adding.Unlock()
	user, err := s.environment.AddUser(envtest.User{Name: name, Groups: groups}, s.Config)
	if err != nil {
		return nil, fmt.Errorf("adding user %s to the API server: %w", name, err)
	}
	return user, nil
}
