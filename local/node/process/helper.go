package process

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// CommandName is the name of the hidden command.
const CommandName = "container"

// The files that Start hands to the helper.
const (
	specFile      = 3
	complaintFile = 4
)

// maxSpec bounds a specification, in bytes: environments can be long.
const maxSpec = 8 << 20

// Command is the hidden command that furnishes a container's namespaces, in
// which Start has already put it, and turns into the container's program.
func Command() *cobra.Command {
	return &cobra.Command{
		Use:           CommandName,
		Short:         "Turn into a container's program (used by the node itself)",
		Hidden:        true,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			return Become()
		},
	}
}

// Become reads a Spec from the file that Start has handed in and becomes its
// program. It returns only when that failed, having told Start why.
func Become() error {
	complaint := os.NewFile(complaintFile, "complaint")
	err := become()
	if _, writeErr := io.WriteString(complaint, err.Error()); writeErr != nil {
		return fmt.Errorf("%w (and the node could not be told: %w)", err, writeErr)
	}
	return err
}

func become() error {
	syscall.CloseOnExec(specFile)
	syscall.CloseOnExec(complaintFile)
	text, err := io.ReadAll(io.LimitReader(os.NewFile(specFile, "spec"), maxSpec))
	if err != nil {
		return fmt.Errorf("read the process's specification: %w", err)
	}
	var spec Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return fmt.Errorf("parse the process's specification: %w", err)
	}
	if spec.Hostname != "" {
		if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
			return fmt.Errorf("set the host name: %w", err)
		}
	}
	if err := enterRoot(spec); err != nil {
		return err
	}
	if err := enterDir(spec.Dir); err != nil {
		return err
	}
	argv := append([]string{spec.Entry}, spec.Args...)
	if err := syscall.Exec(spec.Entry, argv, spec.Env); err != nil {
		return fmt.Errorf("run %s: %w", strings.Join(argv, " "), err)
	}
	return nil
}

func enterDir(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the container's own folder
		return fmt.Errorf("make the working folder: %w", err)
	}
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("enter the working folder: %w", err)
	}
	return nil
}
