package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The people of the stack, who have accounts of Kubernetes and of Slack.
const (
	// Alice and Bob release.
	Alice = "alice"
	Bob   = "bob"
	// Dana develops: she may change everything in the shop's namespace, and
	// decide on no rollout.
	Dana = "dana"
)

// Users are they, as Kubernetes knows them.
var Users = []string{Alice, Bob, Dana}

// Grant gives the people their roles in a namespace.
func (s *Stack) Grant(ctx context.Context, namespace string) error {
	var manifest strings.Builder
	for _, role := range []struct{ user, name string }{
		{Alice, "view"}, {Alice, "weighlock-promoter"}, {Bob, "view"}, {Bob, "weighlock-promoter"}, {Dana, "edit"},
	} {
		_, _ = fmt.Fprintf(&manifest, `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s-%[2]s, namespace: %[3]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[2]s}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: %[1]s}]
---
`, role.user, role.name, namespace)
	}
	if err := s.Apply(ctx, []byte(manifest.String())); err != nil {
		return fmt.Errorf("give people their roles in %s: %w", namespace, err)
	}
	return nil
}

// Kubectl is the stack's kubectl, with its plugin, as one of Users calls it, or
// an administrator, where none is named.
func (s *Stack) Kubectl(ctx context.Context, user string, arguments ...string) *exec.Cmd {
	kubeconfig := s.Kubeconfig
	if user != "" {
		kubeconfig = s.Of[user]
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, "kubectl"), arguments...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+s.Bin+":"+os.Getenv("PATH"))
	return cmd
}

// bin makes a folder with kubectl and its plugin, by the names by which kubectl
// finds it and what completes its commands.
func (s *Stack) bin() (string, error) {
	folder := filepath.Join(s.State, "bin")
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // it holds public programs
		return "", fmt.Errorf("make a folder for kubectl: %w", err)
	}
	links := map[string]string{"kubectl": s.Programs.Kubectl}
	if s.Programs.Plugin != "" {
		links["kubectl-weighlock"], links["kubectl_complete-weighlock"] = s.Programs.Plugin, s.Programs.Plugin
	}
	for name, program := range links {
		if err := os.Symlink(program, filepath.Join(folder, name)); err != nil {
			return "", fmt.Errorf("put %s beside kubectl: %w", name, err)
		}
	}
	return folder, nil
}
