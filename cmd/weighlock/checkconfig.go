package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/weighlock/weighlock/configuration"
)

const checkConfigUsage = `weighlock check-config says what is wrong in a configuration file, each with its line, and asks no cluster. FILE may be -, for standard input.

Usage: weighlock check-config FILE

`

// mostConfig is how much of a configuration is read: more than one may have.
const mostConfig = 2 << 20

// runCheckConfig is the command weighlock check-config. It returns the program's exit code: 1 when something is wrong.
func runCheckConfig(args []string, in io.Reader, out, problems io.Writer) int {
	flags := pflag.NewFlagSet("weighlock check-config", pflag.ContinueOnError)
	flags.SetOutput(problems)
	flags.Usage = func() { fmt.Fprint(problems, checkConfigUsage) }
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	if err == nil && flags.NArg() != 1 {
		err = errors.New("one FILE is needed")
	}
	if err != nil {
		fmt.Fprintf(problems, "weighlock check-config: %v (see weighlock check-config --help)\n", err)
		return 2
	}
	shown := flags.Arg(0)
	content, err := readConfig(shown, in)
	if err != nil {
		fmt.Fprintf(problems, "weighlock check-config: %v\n", err)
		return 1
	}
	if shown == "-" {
		shown = "standard input"
	}
	made, err := configuration.Parse(bytes.NewReader(content))
	if err != nil {
		for _, problem := range parts(err) {
			var placed *configuration.FieldError
			switch {
			case !errors.As(problem, &placed):
				fmt.Fprintf(problems, "%s: %v\n", shown, problem)
			case placed.Path == "":
				fmt.Fprintf(problems, "%s:%d: %s\n", shown, placed.Line, placed.Message)
			default:
				fmt.Fprintf(problems, "%s:%d: %s: %s\n", shown, placed.Line, placed.Path, placed.Message)
			}
		}
		return 1
	}
	for _, unused := range made.Unused() {
		fmt.Fprintf(problems, "%s: the sink %q is told of nothing: no route names it, and no namespace's Rollouts may\n", shown, unused)
	}
	fmt.Fprintf(out, "%s is valid: %s, %s\n", shown, count(len(made.Sinks), "sink"), count(len(made.Routes), "route"))
	return 0
}

func readConfig(path string, in io.Reader) ([]byte, error) {
	if path != "-" {
		file, err := os.Open(path) //nolint:gosec // The user names it.
		if err != nil {
			return nil, fmt.Errorf("reading the configuration: %w", err)
		}
		defer file.Close()
		in = file
	}
	content, err := io.ReadAll(io.LimitReader(in, mostConfig))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return content, nil
}

// parts are the errors that one joins.
func parts(err error) []error {
	if joined, is := err.(interface{ Unwrap() []error }); is {
		return joined.Unwrap()
	}
	return []error{err}
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
