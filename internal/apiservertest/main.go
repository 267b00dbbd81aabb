package apiservertest

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// Main runs the tests of a package, which share one server, and ends the process. Prepare is called once the server is there.
// All temporary files of the process are made in one folder; it goes when the process ends, and so do the processes that were started
// with it, however that end comes. A fuzzing worker gets no server: targets ask none.
func Main(m *testing.M, options Options, prepare func(*Server) error) {
	if flag.Parse(); flag.Lookup("test.fuzzworker").Value.String() == "true" {
		os.Exit(m.Run())
	}
	code, err := run(m, options, prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M, options Options, prepare func(*Server) error) (code int, err error) {
	left, err := newSweeper()
	if err != nil {
		return 1, err
	}
	defer left.sweep()
	if err := os.Setenv("TMPDIR", left.folder); err != nil {
		return 1, fmt.Errorf("moving temporary files: %w", err)
	}
	server, err := start(options)
	if err != nil {
		return 1, err
	}
	defer func() {
		// It is killed where it doesn't stop in time, which says nothing about what was tested.
		if err := server.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	if err := prepare(server); err != nil {
		return 1, fmt.Errorf("preparing the API server: %w", err)
	}
	return m.Run(), nil
}
