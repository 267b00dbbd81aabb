package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// index is the page that leads to all others.
const index = "README.md"

// exitCodes tells what the plugin exits with, for pages.
const exitCodes = `| code | what it says |
|---|---|
| 0 | done, or reached |
| 1 | an error: also a decision that was refused, or came to nothing |
| 2 | the command was called in a wrong way |
| 3 | status: the rollout was, or is being, rolled back |
| 4 | status: the rollout waits for a person |
| 5 | the time was over first: a decision that nobody answered stands and waits |
| 128 | diff --exit-code: an error, as 1 says that there are differences |
| 130 | ended by Ctrl-C |
`

// Reference is the reference of all commands: pages in Markdown, by their file names.
func Reference() map[string]string {
	root := New(Options{})
	pages := map[string]string{}
	list := &strings.Builder{}
	// As --help has them: what is in no group comes last.
	for _, group := range append(root.Groups(), &cobra.Group{Title: "Else:"}) {
		fmt.Fprintf(list, "%s\n\n", strings.TrimSuffix(group.Title, ":"))
		for _, cmd := range root.Commands() {
			if cmd.GroupID != group.ID || !cmd.IsAvailableCommand() {
				continue
			}
			name := cmd.Name() + ".md"
			pages[name] = page(cmd)
			fmt.Fprintf(list, "- [%s](%s): %s\n", cmd.Name(), name, cmd.Short)
		}
		list.WriteString("\n")
	}
	pages[index] = fmt.Sprintf(`<!-- Written by make generate from cli/. -->
# kubectl weighlock

%s

How to install it, and what one does with it, is told in [the guide](../kubectl.md).

## Commands

%s## Options of all commands

%s

## Exit status

%s`, root.Long, list, code(usages(root.PersistentFlags())), exitCodes)
	return pages
}

// page is the page of a command, in the order of manuals.
func page(cmd *cobra.Command) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "<!-- Written by make generate from cli/. -->\n# %s\n\n%s\n", cmd.CommandPath(), cmd.Short)
	section := func(title, body string) {
		if body != "" {
			fmt.Fprintf(b, "\n## %s\n\n%s\n", title, body)
		}
	}
	section("Synopsis", code(synopsis(cmd)))
	if len(cmd.Aliases) > 0 {
		section("Other names", strings.Join(cmd.Aliases, ", "))
	}
	if cmd.Long != "" && cmd.Long != cmd.Short {
		section("Description", prose(cmd.Long))
	}
	section("Examples", code(dedent(cmd.Example)))
	section("Options", code(usages(cmd.NonInheritedFlags())))
	section("See also", fmt.Sprintf("[the other commands, and the options that all of them have](%s)", index))
	return b.String()
}

// synopsis is how a command is called, or each of those that it stands for.
func synopsis(cmd *cobra.Command) string {
	if cmd.Runnable() || !cmd.HasAvailableSubCommands() {
		return cmd.UseLine()
	}
	var lines []string
	for _, child := range cmd.Commands() {
		lines = append(lines, child.UseLine())
	}
	return strings.Join(lines, "\n")
}

// prose is a text of help as Markdown: paragraphs that stand in columns keep these.
func prose(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, paragraph := range paragraphs {
		if strings.Contains(paragraph, "  ") {
			paragraphs[i] = "```text\n" + paragraph + "\n```"
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

// usages are the lines that help has on flags, without what differs from machine to machine.
func usages(flags *pflag.FlagSet) string {
	if cache := flags.Lookup("cache-dir"); cache != nil {
		cache.DefValue = "$HOME/.kube/cache"
	}
	return dedent(strings.TrimRight(flags.FlagUsages(), "\n"))
}

// code is a block of text that stands as it is.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "```text\n" + text + "\n```"
}

// dedent takes off what all lines begin with.
func dedent(text string) string {
	least := -1
	for line := range strings.Lines(text) {
		if bare := strings.TrimLeft(line, " "); strings.TrimSpace(bare) != "" {
			if indent := len(line) - len(bare); least < 0 || indent < least {
				least = indent
			}
		}
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(cmp.Or(line[min(max(least, 0), len(line)-len(strings.TrimLeft(line, " "))):], "\n"))
	}
	return out.String()
}
