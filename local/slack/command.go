package slack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/address"
)

// stopTimeout is how long calls in hand may take when the server stops.
const stopTimeout = 2 * time.Second

// Command is the subcommand that serves a workspace.
func Command() *cobra.Command {
	var listen, secrets string
	options := Options{}
	cmd := &cobra.Command{
		Use:   "slack",
		Short: "Stand in for Slack: a channel on a web page, for an app that calls the Web API",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name, to := range map[string]*string{BotTokenFile: &options.BotToken, AppTokenFile: &options.AppToken, SigningSecretFile: &options.SigningSecret} {
				content, err := os.ReadFile(secrets + "/" + name)
				if err != nil {
					return fmt.Errorf("read what the app and Slack share: %w", err)
				}
				*to = strings.TrimSpace(string(content))
			}
			return serve(cmd.Context(), listen, New(options))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", address.Slack, "the address to serve")
	cmd.Flags().StringVar(&secrets, "secrets", "", "folder with the files "+BotTokenFile+", "+AppTokenFile+" and "+SigningSecretFile)
	cmd.Flags().StringVar(&options.URL, "url", address.SlackURL, "the server's own URL, as the app calls it")
	cmd.Flags().StringVar(&options.Interactivity, "interactivity", "", "the app's URL for what members click, unless it is connected by a socket")
	return cmd
}

// The files in the folder of secrets.
const (
	BotTokenFile      = "bot-token"
	AppTokenFile      = "app-token"
	SigningSecretFile = "signing-secret"
)

func serve(ctx context.Context, listen string, workspace *Workspace) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("serve Slack's stand-in: %w", err)
	}
	server := &http.Server{Handler: workspace, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve Slack's stand-in: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		_ = server.Close()
	}
	return nil
}
