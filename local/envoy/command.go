package envoy

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/address"
)

// Command is the `envoy` subcommand: it becomes Envoy.
func Command() *cobra.Command {
	var program string
	var c Config
	cmd := &cobra.Command{
		Use:   "envoy",
		Short: "Run Envoy under the mesh's control",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := exec.LookPath(program)
			if err != nil {
				return fmt.Errorf("find Envoy: %w", err)
			}
			args, err := Args(c)
			if err != nil {
				return err
			}
			if err := syscall.Exec(path, append([]string{path}, args...), os.Environ()); err != nil {
				return fmt.Errorf("run Envoy: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&program, "program", "envoy", "the Envoy program, a path or a name to look for in PATH")
	cmd.Flags().StringVar(&c.Node, "node", "local", "name that the control plane knows this Envoy by")
	cmd.Flags().StringVar(&c.Admin, "admin", address.EnvoyAdmin, "address of the admin interface and of /stats/prometheus")
	cmd.Flags().StringVar(&c.XDS, "xds", address.MeshXDS, "address of the control plane")
	cmd.Flags().StringVar(&c.LogLevel, "log-level", "warning", "Envoy's log level")
	return cmd
}
