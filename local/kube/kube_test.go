package kube_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weighlock/weighlock/local/fetch"
	"github.com/weighlock/weighlock/local/kube"
	"github.com/weighlock/weighlock/local/sandbox"
	"github.com/weighlock/weighlock/local/supervise"
)

func TestMain(m *testing.M) {
	ports := []sandbox.Port{{Name: "kubernetes", Listen: "127.0.0.1:0", To: "10.96.0.1:443"}}
	err := sandbox.Run(context.Background(), sandbox.Options{Ports: ports}, func(_ context.Context, in sandbox.Inside) error {
		outside = in.Ports["kubernetes"]
		if code := m.Run(); code != 0 {
			return fmt.Errorf("tests failed")
		}
		return nil
	})
	os.Exit(sandbox.ExitCode(err))
}

// outside is where the API server can be reached from outside the sandbox.
var outside string

func TestStart_ServesAClusterThatRunsDeployments(t *testing.T) {
	programs, err := fetch.Cached(fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	supervisor, err := supervise.New(filepath.Join(state, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	defer supervisor.Stop()
	started := time.Now()
	cluster, err := kube.Start(t.Context(), kube.Options{Program: programs.Kube, State: state, Outside: outside, Supervisor: supervisor, Started: func(part string) {
		t.Logf("%s is ready after %v", part, time.Since(started))
	}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": "web"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			},
		},
	}
	if _, err := client.AppsV1().Deployments("default").Create(t.Context(), deployment, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		pods, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			t.Fatal(err)
		}
		if len(pods.Items) == 1 {
			if len(pods.Items[0].Spec.Volumes) == 0 {
				t.Error("the pod has no volume for its service account's token")
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the Deployment got no pod")
		}
	}
	t.Logf("a pod after %v", time.Since(started))
	if version, err := client.Discovery().ServerVersion(); err != nil || version.GitVersion != "v1.37.2" {
		t.Errorf("version %v, %v; want the one it was built from", version, err)
	}
}
