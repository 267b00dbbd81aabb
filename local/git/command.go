package git

import (
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/address"
)

// Command is the subcommand that serves repositories.
func Command() *cobra.Command {
	var listen, folder string
	var repositories []string
	cmd := &cobra.Command{
		Use:   "git",
		Short: "Serve git repositories over http, for everyone to push to",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			folder, err := filepath.Abs(folder)
			if err != nil {
				return err
			}
			for _, name := range repositories {
				if err := Create(ctx, filepath.Join(folder, name)); err != nil {
					return err
				}
			}
			return Serve(ctx, listen, folder)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", address.Git, "the address to serve")
	cmd.Flags().StringVar(&folder, "folder", "repositories", "the folder that holds the repositories")
	cmd.Flags().StringSliceVar(&repositories, "repository", []string{address.ShopRepository}, "a repository to make; repeatable")
	return cmd
}
