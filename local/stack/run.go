// Package stack is the whole local stack: it gets the programs, makes the
// sandbox, and starts every part in order.
package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/fetch"
	"github.com/weighlock/weighlock/local/sandbox"
	"github.com/weighlock/weighlock/local/state"
)

// The ports that are opened outside, as Options.Ports and Stack.Outside call
// them.
const (
	PortKubernetes = "kubernetes"
	PortShop       = "shop"
	PortPrometheus = "prometheus"
	PortGit        = "git"
	PortMesh       = "mesh"
	PortSlack      = "slack"
)

// Options say what stack to run.
type Options struct {
	// Root is the checkout; the default is found from the working folder.
	Root string
	// State is the folder for data and logs; the default is a temporary one
	// that is removed at the end.
	State string
	// Ports are addresses outside by the name of the port, such as
	// 127.0.0.1:8080; those not named get any free port.
	Ports map[string]string
	// Shop is host:port inside that the shop's port leads to; the default is
	// that of the address plan.
	Shop string
	// Kustomize is the folder that Weighlock is installed from; the default
	// is the SMI overlay of the checkout.
	Kustomize string
	// WithoutWeighlock leaves Weighlock out.
	WithoutWeighlock bool
	// RestartBase is the node's first back-off of a container that ends; the
	// default is a kubelet's, 10 s.
	RestartBase time.Duration
	// Lease is how long a Weighlock that was killed is taken to be alive, after
	// which another may act; 0 for Weighlock's own default.
	Lease time.Duration
	// Webhook is a URL inside that Weighlock tells of every event; empty for
	// none.
	Webhook string
	// ScrapeInterval is how often Prometheus scrapes Envoy; 0 for the default.
	ScrapeInterval time.Duration
	// OtherProgram says that this program is not the local stack's own (a
	// test is not), so that it must be built.
	OtherProgram bool
	// Progress is where to say what happens; the default is stderr.
	Progress *os.File
}

// Run gets the programs, starts a stack in a sandbox and calls use inside.
// The context given to use ends at SIGINT and SIGTERM, and when a part dies,
// which is then what Run returns; the stack is stopped when use returns.
//
// Like sandbox.Run it runs this program again with the same arguments: what
// comes before it happens three times, and use is called in the last.
func Run(ctx context.Context, options Options, use func(context.Context, *Stack) error) error {
	var handover handover
	values := map[string]string{}
	if sandbox.Outside() {
		if err := sandbox.Check(ctx); err != nil {
			return err
		}
		programs, err := get(ctx, &options)
		if err != nil {
			return err
		}
		folder, err := state.Open(options.State)
		if err != nil {
			return err
		}
		defer func() { _ = folder.Close() }()
		handover = handoverOf(options, programs, folder.Path)
		text, err := json.Marshal(handover)
		if err != nil {
			return fmt.Errorf("hand over to the sandbox: %w", err)
		}
		values["stack"] = string(text)
	}
	return sandbox.Run(ctx, sandbox.Options{Ports: ports(options), Values: values}, func(ctx context.Context, inside sandbox.Inside) error {
		if err := json.Unmarshal([]byte(inside.Values["stack"]), &handover); err != nil {
			return fmt.Errorf("take over from outside: %w", err)
		}
		handover.outside = inside.Ports
		handover.progress = progressOf(options)
		return inSandbox(ctx, handover, use)
	})
}

// handover is what the process outside has found for the one inside.
type handover struct {
	Programs         fetch.Programs `json:"programs"`
	Root             string         `json:"root"`
	State            string         `json:"state"`
	Kustomize        string         `json:"kustomize"`
	WithoutWeighlock bool           `json:"withoutWeighlock"`
	RestartBase      time.Duration  `json:"restartBase"`
	ScrapeInterval   time.Duration  `json:"scrapeInterval"`
	Webhook          string         `json:"webhook"`
	Lease            time.Duration  `json:"lease"`

	outside  map[string]string
	progress io.Writer
}

func handoverOf(options Options, programs fetch.Programs, folder string) handover {
	h := handover{
		Programs:         programs,
		Root:             options.Root,
		State:            folder,
		Kustomize:        options.Kustomize,
		WithoutWeighlock: options.WithoutWeighlock,
		RestartBase:      options.RestartBase,
		ScrapeInterval:   options.ScrapeInterval,
		Webhook:          options.Webhook,
		Lease:            options.Lease,
	}
	if h.Kustomize == "" {
		h.Kustomize = filepath.Join(h.Root, "kustomize", "overlays", "smi")
	}
	return h
}

func progressOf(options Options) *os.File {
	if options.Progress != nil {
		return options.Progress
	}
	return os.Stderr
}

// get gets the programs, and settles where the checkout is.
func get(ctx context.Context, options *Options) (fetch.Programs, error) {
	// Until the sandbox is entered nothing has to be stopped in order.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	if options.Root, err = fetch.Root(options.Root); err != nil {
		return fetch.Programs{}, err
	}
	programs, err := fetch.All(ctx, fetch.Options{
		Root:      options.Root,
		Progress:  options.Progress,
		Weighlock: !options.WithoutWeighlock,
		Local:     options.OtherProgram,
	})
	if err != nil {
		return fetch.Programs{}, err
	}
	if !options.OtherProgram {
		if programs.Local, err = os.Executable(); err != nil {
			return fetch.Programs{}, fmt.Errorf("find this program: %w", err)
		}
	}
	return programs, nil
}

func ports(options Options) []sandbox.Port {
	shop := options.Shop
	if shop == "" {
		shop = address.Shop
	}
	all := []sandbox.Port{
		{Name: PortKubernetes, To: address.APIServer},
		{Name: PortShop, To: shop},
		{Name: PortPrometheus, To: address.Prometheus},
		{Name: PortGit, To: address.Git},
		{Name: PortMesh, To: address.MeshStatus},
		{Name: PortSlack, To: address.Slack},
	}
	for i := range all {
		all[i].Listen = options.Ports[all[i].Name]
		if all[i].Listen == "" {
			all[i].Listen = "127.0.0.1:0"
		}
	}
	return all
}

// inSandbox starts the stack, has it used, and stops it.
func inSandbox(ctx context.Context, h handover, use func(context.Context, *Stack) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s, err := newStack(h)
	if err != nil {
		return err
	}
	defer s.stop()
	watching := make(chan struct{})
	defer close(watching)
	go func() {
		select {
		case death := <-s.Supervisor.Died():
			cancel(death)
		case <-watching:
		}
	}()
	err = s.start(ctx)
	if err == nil {
		err = use(ctx, s)
	}
	switch cause := context.Cause(ctx); {
	case cause != nil && !errors.Is(cause, context.Canceled):
		// What else went wrong followed from the death of a part.
		return cause
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return errors.New("interrupted")
	}
	return err
}
