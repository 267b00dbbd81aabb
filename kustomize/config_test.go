package kustomize_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/configuration"
)

// ownConfig is what an administrator's overlay says of the configuration.
const ownConfig = `
configMapGenerator:
- name: weighlock
  namespace: weighlock-system
  behavior: replace
  files: [config.yaml]
`

// overlay is a kustomization of an administrator on top of base, with more lines and files; in the lines, .. is this folder.
func overlay(t *testing.T, more string, files map[string]string) []*unstructured.Unstructured {
	t.Helper()
	folder := t.TempDir()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	up, err := filepath.Rel(folder, here)
	if err != nil {
		t.Fatal(err)
	}
	files["kustomization.yaml"] = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [" + up + "/base]\n" +
		strings.ReplaceAll(more, "..", up)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	objects, err := build(folder)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// mounted is the folder in which the controller's container sees a volume.
func mounted(t *testing.T, pod corev1.PodSpec, is func(corev1.Volume) bool) string {
	t.Helper()
	at := slices.IndexFunc(pod.Volumes, is)
	if at < 0 {
		t.Fatalf("no such volume among %+v", pod.Volumes)
	}
	for _, mount := range pod.Containers[0].VolumeMounts {
		if mount.Name == pod.Volumes[at].Name {
			return mount.MountPath
		}
	}
	t.Fatalf("the volume %q isn't mounted", pod.Volumes[at].Name)
	return ""
}

func TestConfig_OfBaseIsReadByTheController(t *testing.T) {
	objects, err := build("base")
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := unstructured.NestedString(find(t, objects, "ConfigMap", "weighlock").Object, "data", "config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	made, err := configuration.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Sinks) > 0 || made.Slack != nil {
		t.Errorf("somebody is told before an administrator said so: %+v", made)
	}
	pod := controller(t).Spec.Template.Spec
	folder := mounted(t, pod, func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == "weighlock" })
	if want := "--config=" + folder + "/config.yaml"; !slices.Contains(pod.Containers[0].Args, want) {
		t.Errorf("the arguments %q lack %s", pod.Containers[0].Args, want)
	}
	mounted(t, pod, func(v corev1.Volume) bool {
		return v.Secret != nil && v.Secret.SecretName == "weighlock-notifications" && *v.Secret.Optional
	})
}

func TestConfig_IsReplacedByAnOverlay(t *testing.T) {
	own := "apiVersion: weighlock.dev/v1alpha1\nkind: Configuration\nsinks: []\n"
	objects := overlay(t, ownConfig, map[string]string{"config.yaml": own})
	text, _, err := unstructured.NestedString(find(t, objects, "ConfigMap", "weighlock").Object, "data", "config.yaml")
	if err != nil || text != own {
		t.Errorf("got %q and %v, want the overlay's", text, err)
	}
}

func TestSlack_ComponentMountsTheSecretAndOpensThePort(t *testing.T) {
	objects := overlay(t, "components: [../components/slack]\n", map[string]string{})
	if err := apply(t.Context(), objects, client.DryRunAll); err != nil {
		t.Error(err)
	}
	deployment, service := &appsv1.Deployment{}, &corev1.Service{}
	for object, into := range map[*unstructured.Unstructured]any{
		find(t, objects, "Deployment", "weighlock"): deployment, find(t, objects, "Service", "weighlock"): service,
	} {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into); err != nil {
			t.Fatal(err)
		}
	}
	pod := deployment.Spec.Template.Spec
	mounted(t, pod, func(v corev1.Volume) bool {
		return v.Secret != nil && v.Secret.SecretName == "weighlock-slack" && *v.Secret.Optional
	})
	at := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == 9798 })
	if at < 0 {
		t.Fatalf("the Service has no port 9798: %+v", service.Spec.Ports)
	}
	target := service.Spec.Ports[at].TargetPort.StrVal
	if !slices.ContainsFunc(pod.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == target && p.ContainerPort == 9798 }) {
		t.Errorf("the Service's port leads to %q, which the container doesn't have", target)
	}
}
