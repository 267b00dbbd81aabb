package stack

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/slack"
	"github.com/weighlock/weighlock/local/supervise"
)

// interactivity is where Weighlock takes what members of Slack click.
const interactivity = "http://" + Deployment + "." + Namespace + ".svc." + address.ClusterDomain + ":9798/slack/interactions"

// slackSecrets is the folder of what Slack and Weighlock share.
func (s *Stack) slackSecrets() string { return filepath.Join(s.State, "slack") }

// startSlack starts the stand-in for Slack with new secrets.
func (s *Stack) startSlack(ctx context.Context) error {
	folder := s.slackSecrets()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder for Slack's secrets: %w", err)
	}
	for name, prefix := range map[string]string{slack.BotTokenFile: "xoxb-", slack.AppTokenFile: "xapp-", slack.SigningSecretFile: ""} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(prefix+rand.Text()), 0o600); err != nil {
			return fmt.Errorf("write Slack's secrets: %w", err)
		}
	}
	return s.startPart(ctx, supervise.Part{
		Name:        PartSlack,
		Path:        s.Programs.Local,
		Args:        []string{"slack", "--secrets=" + folder, "--interactivity=" + interactivity},
		Ready:       func(ctx context.Context) error { return answers(ctx, "http://"+address.Slack+"/control/state") },
		StopTimeout: 3 * time.Second,
	})
}
