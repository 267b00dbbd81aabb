package cli

import (
	"github.com/spf13/cobra"
)

// newVersionCommand tells the version of the plugin.
func newVersionCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this plugin",
		Example: "  kubectl weighlock version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s.line("kubectl-weighlock %s", s.version)
			return nil
		},
	}
}
