package cli

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The codes that the plugin exits with.
const (
	// ExitReached says that all is as asked.
	ExitReached = 0
	// ExitError says that something failed.
	ExitError = 1
	// ExitUsage says that the command was called in a wrong way.
	ExitUsage = 2
	// ExitRolledBack says that the rollout was, or is being, rolled back.
	ExitRolledBack = 3
	// ExitWaiting says that the rollout waits for a person.
	ExitWaiting = 4
	// ExitTimeout says that the time was over first.
	ExitTimeout = 5
	// exitUntold says that something failed, where ExitError says that things differ.
	exitUntold = 128
	// exitInterrupted says that the user ended it, as shells do.
	exitInterrupted = 130
)

// exitError ends the plugin with a code of its own. Without an error nothing more is printed: the command has told already.
type exitError struct {
	code int
	err  error
}

// Error tells what failed.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap gives what failed.
func (e *exitError) Unwrap() error { return e.err }

// exitWith ends the plugin with a code, after the command has told why.
func exitWith(code int) error {
	if code == ExitReached {
		return nil
	}
	return &exitError{code: code}
}

// usagef is an error of the caller's.
func usagef(format string, args ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, args...)}
}

// exitCode is what the plugin exits with after a command that ended so.
func exitCode(err error) int {
	var coded *exitError
	switch {
	case err == nil:
		return ExitReached
	case errors.As(err, &coded):
		return coded.code
	}
	return ExitError
}

// describe is the error as the user is to read it.
func describe(cmd *cobra.Command, err error) string {
	if coded, ok := errors.AsType[*exitError](err); ok {
		switch {
		case coded.err == nil:
			return ""
		case coded.code == ExitUsage:
			return fmt.Sprintf("error: %s\nsee %s --help", harmless(err.Error()), cmd.CommandPath())
		}
	}
	return "error: " + harmless(explain(err))
}

// harmless is clean for several lines: errors, too, hold what others wrote.
func harmless(lines string) string {
	split := strings.Split(lines, "\n")
	for i := range split {
		split[i] = clean(split[i])
	}
	return strings.Join(split, "\n")
}

// explain puts what commonly goes wrong into words of its own.
func explain(err error) string {
	var address *url.Error
	var network net.Error
	switch {
	case noKind(err):
		return "Weighlock is not in this cluster, or an older one is: the API server doesn't know what was asked for (" + err.Error() + ")"
	case errors.As(err, &address) && errors.As(err, &network):
		return fmt.Sprintf("can't reach the API server: %v (is --context, or --kubeconfig, the right one?)", address)
	}
	return err.Error()
}

// noKind says whether the server doesn't know the kind that was asked for. It answers as it does for a missing object, but without
// a name.
func noKind(err error) bool {
	if meta.IsNoMatchError(err) {
		return true
	}
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	if details == nil {
		return false
	}
	for _, cause := range details.Causes {
		if cause.Type == metav1.CauseTypeUnexpectedServerResponse {
			return true
		}
	}
	return false
}
