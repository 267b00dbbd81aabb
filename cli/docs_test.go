package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/cli"
)

func TestReference_IsTheOneThatIsRead(t *testing.T) {
	folder := filepath.Join("..", "docs", "cli")
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[file.Name()] = string(content)
	}
	if diff := cmp.Diff(cli.Reference(), got); diff != "" {
		t.Errorf("docs/cli is not what the commands are (-commands +docs/cli), make generate writes it:\n%s", diff)
	}
}

func TestReference_HasNothingOfTheMachine(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil || len(home) < 2 {
		t.Skip("no home to look for")
	}
	for name, page := range cli.Reference() {
		if strings.Contains(page, home) {
			t.Errorf("%s holds %s", name, home)
		}
	}
}

func TestCommands_AllExplainThemselves(t *testing.T) {
	root := cli.New(cli.Options{})
	seen := 0
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			look(child)
		}
		if !cmd.IsAvailableCommand() {
			return
		}
		if cmd.Name() == "completion" || cmd.Parent() != nil && cmd.Parent().Name() == "completion" {
			return // cobra's own
		}
		seen++
		if page := cli.Reference()[cmd.Name()+".md"]; cmd.HasParent() && !strings.Contains(page, "# "+cmd.CommandPath()+"\n") {
			t.Errorf("%s has no page in the reference", cmd.CommandPath())
		}
		if cmd.Short == "" || cmd.Example == "" || cmd.Args == nil {
			t.Errorf("%s lacks a description, examples or a check of its arguments", cmd.CommandPath())
		}
		if !strings.Contains(cmd.Example, "kubectl weighlock "+cmd.Name()) && cmd.HasParent() {
			t.Errorf("the examples of %s don't call it:\n%s", cmd.CommandPath(), cmd.Example)
		}
	}
	look(root)
	if seen < 15 {
		t.Errorf("there are only %d commands", seen)
	}
}
