package stack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/slack"
	"github.com/weighlock/weighlock/local/supervise"
)

// slackSecretName is the Secret that Weighlock gets Slack's secrets from.
const slackSecretName = "weighlock-slack"

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

// slackSecret is the Secret that Weighlock gets them from.
func (s *Stack) slackSecret() ([]byte, error) {
	var manifest strings.Builder
	manifest.WriteString("apiVersion: v1\nkind: Secret\nmetadata: {name: " + slackSecretName + ", namespace: " + Namespace + "}\ndata:\n")
	for _, name := range []string{slack.BotTokenFile, slack.AppTokenFile, slack.SigningSecretFile} {
		content, err := os.ReadFile(filepath.Join(s.slackSecrets(), name))
		if err != nil {
			return nil, fmt.Errorf("read Slack's secrets: %w", err)
		}
		manifest.WriteString("  " + name + ": " + base64.StdEncoding.EncodeToString(content) + "\n")
	}
	return []byte(manifest.String()), nil
}
