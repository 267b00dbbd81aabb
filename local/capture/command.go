// Package capture makes the pictures of the guides: what kubectl's plugin and the
// page of the stand-in for Slack show in a rollout that a person approves, on a
// stack that is started for it.
package capture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/fetch"
	"github.com/weighlock/weighlock/local/stack"
	"github.com/weighlock/weighlock/local/up"
)

// Command is the subcommand that makes the pictures.
func Command() *cobra.Command {
	var options stack.Options
	var folder, browser string
	cmd := &cobra.Command{
		Use:   "capture",
		Short: "Start the whole stack and take the pictures of docs/images that show people at work",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if folder == "" {
				root, err := fetch.Root(options.Root)
				if err != nil {
					return err
				}
				folder = filepath.Join(root, "docs", "images")
			}
			folder, err := filepath.Abs(folder)
			if err != nil {
				return fmt.Errorf("find the folder of pictures: %w", err)
			}
			return stack.Run(cmd.Context(), options, func(ctx context.Context, s *stack.Stack) error {
				c := &camera{stack: s, folder: folder, browser: browser, say: cmd.ErrOrStderr()}
				return c.run(ctx)
			})
		},
	}
	up.Flags(cmd, &options)
	cmd.Flags().StringVar(&folder, "folder", "", "folder for the pictures (default: docs/images of the checkout)")
	cmd.Flags().StringVar(&browser, "browser", os.Getenv("BROWSER"), "a Chromium that takes pictures of the page; none are taken without")
	return cmd
}
