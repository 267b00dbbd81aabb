package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	// Namespace is where Weighlock runs.
	Namespace = "weighlock-system"
	// Deployment is what runs it.
	Deployment = "weighlock"

	installTimeout = 60 * time.Second
	installPoll    = 100 * time.Millisecond
	// logEnd is how much of Weighlock's log is shown when it doesn't start.
	logEnd = 2000
)

// installWeighlock installs Weighlock as a user does, from the kustomization,
// and waits until it is available.
func (s *Stack) installWeighlock(ctx context.Context) error {
	folder, err := s.overlay()
	if err != nil {
		return err
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return fmt.Errorf("build Weighlock's manifests in %s: %w", folder, err)
	}
	manifests, err := built.AsYaml()
	if err != nil {
		return fmt.Errorf("build Weighlock's manifests in %s: %w", folder, err)
	}
	secrets, err := s.secrets()
	if err != nil {
		return err
	}
	// Secrets come first, and their namespace before them: the controller reads them when it starts.
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + Namespace + "}\n---\n"
	if err := s.Apply(ctx, slices.Concat([]byte(namespace), secrets, manifests)); err != nil {
		return fmt.Errorf("install Weighlock: %w", err)
	}
	return s.awaitWeighlock(ctx)
}

func (s *Stack) awaitWeighlock(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	for deadline := time.Now().Add(installTimeout); ; {
		deployment, err := client.AppsV1().Deployments(Namespace).Get(ctx, Deployment, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("wait for Weighlock: %w", err)
		}
		for _, c := range deployment.Status.Conditions {
			if c.Type == appsv1.DeploymentAvailable && c.Status == corev1.ConditionTrue && deployment.Status.ObservedGeneration >= deployment.Generation {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("weighlock is not available after %v: %w", installTimeout, s.whyNot(ctx, client))
		}
		if err := pause(ctx, installPoll); err != nil {
			return err
		}
	}
}

// whyNot finds out why Weighlock doesn't run: what its pods' containers say,
// and the end of the log.
func (s *Stack) whyNot(ctx context.Context, client kubernetes.Interface) error {
	pods, err := client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list its pods: %w", err)
	}
	if len(pods.Items) == 0 {
		return errors.New("it has no pod; see 'kubectl -n " + Namespace + " describe replicaset'")
	}
	var reasons []string
	for _, pod := range pods.Items {
		for _, c := range pod.Status.ContainerStatuses {
			switch {
			case c.State.Waiting != nil:
				reasons = append(reasons, fmt.Sprintf("%s waits: %s: %s", pod.Name, c.State.Waiting.Reason, c.State.Waiting.Message))
			case !c.Ready:
				reasons = append(reasons, pod.Name+" is not ready")
			}
		}
	}
	return fmt.Errorf("%s; the end of its log:\n%s", strings.Join(reasons, "; "), s.podLog())
}

// podLog is the end of Weighlock's newest log.
func (s *Stack) podLog() string {
	var newest string
	var modified time.Time
	_ = filepath.WalkDir(filepath.Join(s.Logs, "pods"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(path, Namespace) {
			return nil //nolint:nilerr // it only helps to explain another error
		}
		if info, err := entry.Info(); err == nil && info.ModTime().After(modified) {
			newest, modified = path, info.ModTime()
		}
		return nil
	})
	content, err := os.ReadFile(newest)
	if err != nil {
		return ""
	}
	if len(content) > logEnd {
		content = content[len(content)-logEnd:]
	}
	return string(content)
}
