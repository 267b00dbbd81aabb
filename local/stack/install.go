package stack

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/slack"
)

const (
	// slackFolder and secretsFolder are where Weighlock finds its Secrets'
	// keys as files.
	slackFolder   = "/etc/weighlock/slack"
	secretsFolder = "/etc/weighlock/secrets" //nolint:gosec // a folder's name
	// The keys of the webhook's.
	webhookURLKey, webhookSecretKey = "audit-url", "audit-secret"
	// WebhookSecret signs what the webhook is told.
	WebhookSecret = "the-webhooks-secret"
)

// kustomization installs Weighlock from folders of this checkout, with the
// configuration beside it, as an administrator's own overlay would.
const kustomization = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ` + Namespace + `
resources:
- %s
components:
- %s
configMapGenerator:
- name: weighlock
  behavior: replace
  files: [config.yaml]
  options: {disableNameSuffixHash: true}
`

// shortLease patches in how long a leader that is gone is taken to be there.
const shortLease = `patches:
- target: {kind: Deployment, name: ` + Deployment + `}
  patch: |-
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --leader-election-lease-duration=%s}
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --leader-election-renew-deadline=%s}
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: --leader-election-retry-period=%s}
`

// namespaces are those that Slack is told of: each message there takes a second.
const namespaces = `["` + address.ShopNamespace + `", "slack-*"]`

// SocketMode is a configuration by which clicks in Slack come by a socket, made
// from one by which Slack calls Weighlock.
func SocketMode(configuration string) string {
	return strings.NewReplacer(
		"mode: http", "mode: socket",
		"signingSecret: {file: "+slackFolder+"/"+slack.SigningSecretFile, "appToken: {file: "+slackFolder+"/"+slack.AppTokenFile,
	).Replace(configuration)
}

// Configure gives Weighlock a configuration, which it finds soon after.
func (s *Stack) Configure(ctx context.Context, configuration string) error {
	var manifest strings.Builder
	manifest.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: weighlock, namespace: " + Namespace + "}\ndata:\n  config.yaml: |\n")
	for line := range strings.Lines(configuration) {
		manifest.WriteString("    " + line)
	}
	if err := s.Apply(ctx, []byte(manifest.String())); err != nil {
		return fmt.Errorf("configure Weighlock: %w", err)
	}
	return nil
}

// Configuration is the administrator's, for Weighlock, that it was installed
// with.
func (s *Stack) Configuration() string {
	text := `apiVersion: weighlock.dev/v1alpha1
kind: Configuration
slack:
  mode: http
  apiURL: ` + address.SlackURL + `/api/
  botToken: {file: ` + slackFolder + `/` + slack.BotTokenFile + `}
  signingSecret: {file: ` + slackFolder + `/` + slack.SigningSecretFile + `}
  approvers:
  - namespaces: ` + namespaces + `
    users: [` + slack.Alice.ID + `, ` + slack.Bob.ID + `]
    groups: [` + slack.Releasers + `]
  people:
    ` + slack.Alice.ID + `: ` + Alice + `
    ` + slack.Bob.ID + `: ` + Bob + `
    ` + slack.Dana.ID + `: ` + Dana + `
sinks:
- name: releases
  slack: {channel: ` + slack.Channel + `, approvals: true}
`
	routes := "routes:\n- namespaces: " + namespaces + "\n  sinks: [releases]\n"
	if s.handover.Webhook != "" {
		text += "- name: audit\n  webhook:\n    url: {file: " + secretsFolder + "/" + webhookURLKey + "}\n    secret: {file: " + secretsFolder + "/" + webhookSecretKey + "}\n"
		routes += "- sinks: [audit]\n"
	}
	return text + routes
}

// overlay writes the kustomization that Weighlock is installed from, and
// returns its folder.
func (s *Stack) overlay() (string, error) {
	failed := func(err error) (string, error) { return "", fmt.Errorf("write Weighlock's kustomization: %w", err) }
	folder, err := s.TempDir("kustomize")
	if err != nil {
		return "", err
	}
	base, err := way(folder, s.handover.Kustomize)
	if err != nil {
		return failed(err)
	}
	component, err := way(folder, filepath.Join(s.Root, "kustomize", "components", "slack"))
	if err != nil {
		return failed(err)
	}
	text := fmt.Sprintf(kustomization, base, component)
	if lease := s.handover.Lease; lease > 0 {
		text += fmt.Sprintf(shortLease, lease, lease*3/4, lease/12)
	}
	for name, content := range map[string]string{"kustomization.yaml": text, "config.yaml": s.Configuration()} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			return failed(err)
		}
	}
	return folder, nil
}

// way is the way from a folder to another, as Kustomize wants it: it follows
// links first.
func way(from, to string) (string, error) {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return "", err
	}
	if to, err = filepath.EvalSymlinks(to); err != nil {
		return "", err
	}
	return filepath.Rel(from, to)
}

// secrets are the Secrets that the configuration's files come from.
func (s *Stack) secrets() ([]byte, error) {
	var manifest strings.Builder
	add := func(key, value string) {
		manifest.WriteString("  " + key + ": " + base64.StdEncoding.EncodeToString([]byte(value)) + "\n")
	}
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {namespace: " + Namespace + ", name: "
	manifest.WriteString(head + "weighlock-slack}\ndata:\n")
	for _, name := range []string{slack.BotTokenFile, slack.AppTokenFile, slack.SigningSecretFile} {
		content, err := os.ReadFile(filepath.Join(s.slackSecrets(), name))
		if err != nil {
			return nil, fmt.Errorf("read Slack's secrets: %w", err)
		}
		add(name, string(content))
	}
	manifest.WriteString("---\n" + head + "weighlock-notifications}\ndata:\n")
	add(webhookURLKey, s.handover.Webhook)
	add(webhookSecretKey, WebhookSecret)
	manifest.WriteString("---\n")
	return []byte(manifest.String()), nil
}
