package cli

import (
	"github.com/spf13/cobra"
)

// usageTemplate is cobra's, but for the flags that all commands have: there are many, of kubectl's kind, and options lists them.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if and .HasAvailableSubCommands (not .HasParent)}}
  {{.CommandPath}} COMMAND [flags]{{end}}{{if .HasAvailableSubCommands}}{{$all := .Commands}}{{range $group := .Groups}}

{{$group.Title}}{{range $all}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}

Else:{{range $all}}{{if and (eq .GroupID "") .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if and .HasParent .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{if and .HasAvailableSubCommands (not .HasParent)}}
"kubectl weighlock COMMAND --help" tells more of a command, "kubectl weighlock options" the flags that all have: --namespace, --context
and the like.{{else}}
"kubectl weighlock options" tells the flags that all commands have: --namespace, --context, --color and the like.{{end}}
`

// completionLong tells how words are completed behind kubectl, and behind the program's own name.
const completionLong = `kubectl completes the words of "kubectl weighlock" by itself, once its own completion is set up, where a program kubectl_complete-weighlock
is in the PATH: a link to kubectl-weighlock is one.

    ln -s "$(command -v kubectl-weighlock)" /usr/local/bin/kubectl_complete-weighlock

The scripts that this command writes are for calls by the program's own name, kubectl-weighlock.`

// newHelpCommand tells of another command what --help does.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Tell more of a command",
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if len(args) == 0 {
				for _, other := range cmd.Root().Commands() {
					if other.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(other.Name(), other.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noCommand(cmd.Root(), args)
			}
			about.InitDefaultHelpFlag() // Only running it would add the flag.
			return about.Help()
		},
	}
}

// newOptionsCommand lists the flags that all commands have.
func newOptionsCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "options",
		Short:   "List the flags that all commands have",
		Example: "  kubectl weighlock options",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.line("All commands have these flags, most of them kubectl's own:\n\n%s", cmd.Root().PersistentFlags().FlagUsages())
			return nil
		},
	}
}
