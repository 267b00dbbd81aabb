// Command cli-docs writes the reference of the kubectl plugin into a folder, and takes out pages of commands that are no more.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/weighlock/weighlock/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: cli-docs FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "cli-docs:", err)
		os.Exit(1)
	}
}

func write(folder string) error {
	pages := cli.Reference()
	present, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		return fmt.Errorf("looking at %s: %w", folder, err)
	}
	for _, path := range present {
		if _, known := pages[filepath.Base(path)]; known {
			continue
		}
		if err := os.Remove(path); err != nil { //nolint:gosec // The folder is the caller's.
			return fmt.Errorf("removing an old page: %w", err)
		}
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(page), 0o644); err != nil { //nolint:gosec // It is for all to read.
			return fmt.Errorf("writing a page: %w", err)
		}
	}
	return nil
}
