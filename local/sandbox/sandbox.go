// Package sandbox gives the local stack a machine of its own: a mount, network
// and pid namespace (and, for an ordinary user, a user namespace) in which
// every address of Pods and Services can be listened on, and which takes every
// process in it along when it ends.
//
// A program enters by running itself again, with the same arguments:
//
//	outside   the process the user started; opens ports on 127.0.0.1, hands
//	          them in, passes signals on, and waits
//	init      pid 1 inside; sets the namespaces up, forwards the ports, reaps
//	          orphans, and runs ...
//	inside    ... the program proper
//
// All three reach the same call of Run, and only the last calls the function
// given to it. So whatever comes before Run happens three times; what must
// happen once, outside, is guarded by Outside.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The environment variables by which one stage tells the next what it is.
const (
	stageVariable = "WEIGHLOCK_SANDBOX_STAGE"
	plotVariable  = "WEIGHLOCK_SANDBOX"

	stageInit   = "init"
	stageInside = "inside"
)

// started is the stage this process was started as.
var started = os.Getenv(stageVariable)

// Port is a port that is opened outside and served from inside.
type Port struct {
	// Name is what Inside.Ports calls it.
	Name string
	// Listen is the address outside, such as 127.0.0.1:0 for any free port.
	Listen string
	// To is host:port inside; the host may be a name that the cluster's DNS
	// knows, and is looked up for each connection.
	To string
}

// Options say what the sandbox looks like.
type Options struct {
	// Ports are opened before the sandbox is entered.
	Ports []Port
	// Values are handed to the function inside, as Inside.Values. They are
	// taken from the process outside only.
	Values map[string]string
	// StopTimeout is how long the function may take to return after its
	// context has ended; then everything is killed. The default is 30 s.
	StopTimeout time.Duration
}

// Inside is what the function inside learns from the process outside.
type Inside struct {
	// Ports maps a Port's name to its address outside.
	Ports map[string]string
	// Values are those of Options.
	Values map[string]string
}

// ExitError is returned outside when the program inside ended with another
// exit code than 0. The program has said itself what was wrong.
type ExitError struct {
	Code int
}

// Error names the exit code.
func (e *ExitError) Error() string {
	return fmt.Sprintf("ended with exit code %d", e.Code)
}

// plot is what the stages hand on to each other.
type plot struct {
	Ports  []openPort        `json:"ports,omitempty"`
	Values map[string]string `json:"values,omitempty"`
	// TryOnly ends init when everything is set up.
	TryOnly bool `json:"tryOnly,omitempty"`
}

// openPort is a Port whose listening socket is handed in, in the same order.
type openPort struct {
	Name    string `json:"name"`
	Outside string `json:"outside"`
	To      string `json:"to"`
}

// Outside says whether this process is the one that the user started.
func Outside() bool {
	return started == ""
}

// Run runs inner in the sandbox and returns what it returned (inside), or an
// ExitError (outside). The context given to inner ends at SIGINT and SIGTERM,
// of which each reaches it once, whether sent to the process outside or typed
// on its terminal.
func Run(ctx context.Context, options Options, inner func(context.Context, Inside) error) error {
	if options.StopTimeout == 0 {
		options.StopTimeout = 30 * time.Second
	}
	switch started {
	case "":
		return enter(ctx, options, false)
	case stageInit:
		os.Exit(runInit(ctx))
	}
	var p plot
	if err := takePlot(&p); err != nil {
		return err
	}
	inside := Inside{Ports: map[string]string{}, Values: p.Values}
	for _, port := range p.Ports {
		inside.Ports[port.Name] = port.Outside
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return inner(ctx, inside)
}

// ExitCode is the exit code that a program should end with after err.
func ExitCode(err error) int {
	var exit *ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	default:
		return 1
	}
}

// takePlot reads what the stage before handed on, and clears it from the
// environment so that programs started from here on can enter a sandbox of
// their own.
func takePlot(p *plot) error {
	text := os.Getenv(plotVariable)
	if err := json.Unmarshal([]byte(text), p); err != nil {
		return fmt.Errorf("read %s: %w", plotVariable, err)
	}
	return errors.Join(os.Unsetenv(plotVariable), os.Unsetenv(stageVariable))
}

// environment is this process's own, with the stage and the plot set.
func environment(stage string, p plot) ([]string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", plotVariable, err)
	}
	return append(os.Environ(), stageVariable+"="+stage, plotVariable+"="+string(text)), nil
}
