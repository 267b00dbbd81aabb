package apiservertest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// afterwards waits until the process that started it has ended. Then it kills the processes whose command lines name the folder, and
// removes that. In an orderly end there are none left, but a panic, a timeout or a signal lets a process do nothing more by itself.
const afterwards = `read -r never
for process in /proc/[0-9]*; do
	grep -qsF "$FOLDER" "$process/cmdline" && kill -9 "${process#/proc/}"
done
rm -rf "$FOLDER" || { sleep 1; rm -rf "$FOLDER"; }`

// sweeper removes a folder of temporary files.
type sweeper struct {
	folder string
	shell  *exec.Cmd
	// input of the shell, which ends with this process.
	input io.Closer
}

func newSweeper() (*sweeper, error) {
	folder, err := os.MkdirTemp("", "weighlock-test-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for temporary files: %w", err)
	}
	shell := exec.Command("sh", "-c", afterwards)
	shell.Env = append(os.Environ(), "FOLDER="+folder)
	// A Ctrl-C is not for it.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := shell.StdinPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting what sweeps up: %w", err)
	}
	return &sweeper{folder: folder, shell: shell, input: input}, nil
}

// sweep removes the folder now.
func (s *sweeper) sweep() {
	_ = s.input.Close()
	if err := s.shell.Wait(); err != nil {
		fmt.Fprintf(os.Stderr, "sweeping up %s: %v\n", s.folder, err)
	}
}
